"""Somebody who tells a simulated migration one thing after the other, each at a random moment."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from stackferry.phases import ACTIONS, refusal
from stackferry_coordinator.plan.ledger import Ledger
from stackferry_coordinator.rules import warm_passes
from stackferry_coordinator.rules.reactions import Do

from .payloads import Violation

#: in which phases nothing more happens by itself
OVER = ("planned", "done", "undone", "cancelled", "stuck")
#: every order of two of them; only what is paused can be resumed
PAIRS = tuple(("pause", "resume", other) if one == "resume" else (one, other) for one in ACTIONS for other in ACTIONS)
#: word → what can make sense next, unless it gets stuck
NEXT = {
    "start": {"pause", "cancel", "retry", "cutover", "undo"},
    "pause": {"resume", "cancel", "retry", "cutover", "undo"},
    "resume": {"start", "pause", "cancel", "retry", "cutover", "undo"},
    "cancel": {"retry", "undo"},
    "retry": {"start", "pause", "cancel", "retry", "cutover", "undo"},
    "cutover": {"pause", "cancel", "retry", "cutover", "undo"},
}
#: how often a word that makes no sense now is kept for later
PATIENCE = 0.95


@dataclass
class Operator:
    """Says its words in their order, each once it makes sense, or not at all if it never does; then resumes what it
    has paused, and cuts over whatever waits for that. *haste*: how soon it says the next one."""

    words: list[str]
    random: random.Random
    haste: float = 0.02
    said: list[str] = field(default_factory=list)
    has_paused: bool = False
    tries: set[tuple[str, int]] = field(default_factory=set)  # that were begun

    def speaks(self, ledger: Ledger, quiet: bool) -> str | None:
        """What it says now; *quiet*: nothing will happen before it says something."""
        idle = quiet and (ledger.head.paused or ledger.head.phase in OVER)
        self._check(ledger)
        if not (idle or self.random.random() < self.haste):
            return None
        while self.words:
            if makes_sense(ledger, self.words[0]):
                return self._says(self.words.pop(0))
            if not idle and self.random.random() < PATIENCE:
                return None
            self.words.pop(0)
        if ledger.head.paused:
            return self._says("resume")
        return "cutover" if makes_sense(ledger, "cutover") and self.random.random() < 0.2 else None

    def hears(self, dues: list[Do]) -> None:
        """What is asked next, after it has spoken, or by itself."""
        new = [due for due in dues if (due.key, due.attempt) not in self.tries]
        self.tries |= {(due.key, due.attempt) for due in new}
        if new and self.has_paused:
            raise Violation(f"try {new[0].attempt} of {new[0].key} is begun, though the migration is paused")

    def _says(self, word: str) -> str:
        self.said.append(word)
        self.has_paused = word == "pause" or (self.has_paused and word == "cutover")
        return word

    def _check(self, ledger: Ledger) -> None:
        if ledger.head.paused and not self.has_paused:
            raise Violation(f"it's {ledger.head.phase} and paused, though it was told something else since")
        if ledger.head.paused and ledger.head.phase in OVER:
            raise Violation(f"it's {ledger.head.phase}, and paused: nothing of it can go on")


def makes_sense(ledger: Ledger, word: str) -> bool:
    """Whether the coordinator takes that in now."""
    if refusal(ledger.head.phase, ledger.head.paused, word) is not None:
        return False
    return word != "cutover" or warm_passes.refusal(ledger, None) is None
