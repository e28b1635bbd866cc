"""Progress: told every few seconds by whoever works, of no use a moment later, and harmless twice.

It's neither remembered nor logged. It renews a try's lease, so it's judged like every word; but not each time: whoever
has just been heard about a try is believed about the same one for some seconds. What is told of a step is its latest.
"""

from __future__ import annotations

from typing import Any

from stackferry.bus import Outgoing
from stackferry.envelope import Envelope
from stackferry.messages import StepProgressed

from ..plan.ledger import Head
from .telling import event

FLEETING = ("step-progressed",)
BELIEVED = 5.0  # seconds; a lease is far longer
PAUSE = 0.5  # seconds between two times that anything is told
Try = tuple[str, str, int, str]  # migration, step, attempt, sender


class Fleeting:
    """Progress that is to be told, and who was heard lately."""

    def __init__(self) -> None:
        self._heard: dict[Try, tuple[float, Head]] = {}
        self._latest: dict[tuple[str, str], tuple[Head, Envelope]] = {}
        self._told, self._urgent = float("-inf"), False

    def take(self, envelope: Envelope, sender: str, now: float) -> bool:
        """Take in progress whose sender was just heard about this try; return whether that is so."""
        data = envelope.data
        heard = self._heard.get((data["migration"], data["step"], data["attempt"], sender))
        if heard is None or not 0 <= now - heard[0] < BELIEVED:
            return False
        self._latest[data["migration"], data["step"]] = heard[1], envelope
        return True

    def believe(self, head: Head, envelope: Envelope, sender: str, now: float) -> None:
        """Note that this progress was judged, and counts."""
        data = envelope.data
        self._heard[data["migration"], data["step"], data["attempt"], sender] = now, head
        self._latest[data["migration"], data["step"]] = head, envelope

    def over(self, data: dict[str, Any]) -> None:
        """Something else is said of a step: what was heard before is told first, and what comes is judged anew."""
        about = data.get("migration"), data.get("step")
        self._urgent |= about in self._latest
        for known in [known for known in self._heard if known[:2] == about]:
            del self._heard[known]

    def is_due(self, now: float) -> bool:
        """Whether there is something to tell, and it's time for that."""
        return bool(self._latest) and (self._urgent or not 0 <= now - self._told < PAUSE)

    def due(self, now: float) -> list[Outgoing]:
        """Return what is to be told now."""
        if not self.is_due(now):
            return []
        latest, self._latest, self._told, self._urgent = self._latest, {}, now, False
        self._heard = {known: heard for known, heard in self._heard.items() if 0 <= now - heard[0] < BELIEVED}
        return [event(head, StepProgressed, envelope.data, envelope) for head, envelope in latest.values()]
