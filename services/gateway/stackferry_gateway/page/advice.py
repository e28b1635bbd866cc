"""What people may want to do next with a migration, and how far it is. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from stackferry.phases import refusal
from stackferry.roles import ADMIN, OPERATOR, TAKES_AWAY

from ..calls import Row

ACTIVE = ("new", "planning", "running", "undoing", "cancelling", "cleaning", "stuck", "planned")
ENDED = ("done", "undone", "cancelled")
STEPS = ("request", "read", "plan", "move")
REACHED = {"new": 0, "planning": 1, "planned": 2, "running": 3, "done": 4, "cleaning": 4}
NEAR = 0.92  # how much of the way is behind it when only the end is to be done
#: action → what the button says, and what is asked before it's done
BUTTONS = {
    "start": ("Start the migration", ""),
    "pause": ("Pause", ""),
    "resume": ("Go on", ""),
    "retry": ("Try again what failed", ""),
    "cutover": (
        "Cut over all servers",
        "Each warm server is stopped at the source, its last changes are copied, and it's started at the destination.",
    ),
    "cancel": (
        "Cancel",
        "Nothing more is asked for. Servers that are under way are taken back: they run at the source again. What is "
        "made stays at the destination; undo removes it.",
    ),
    "undo": (
        "Undo",
        "Everything that this migration has made at the destination is deleted there. The source isn't touched.",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Button:
    """Something that can be done now."""

    action: str
    label: str
    is_main: bool = False


@dataclass(frozen=True, slots=True)
class Advice:
    """How a migration stands, in a sentence; what can be done; whether a person is needed."""

    text: str
    buttons: tuple[Button, ...] = ()
    is_urgent: bool = False


def advice(migration: Row, failed: int, cutover: int, is_admin: bool, is_operator: bool) -> Advice:
    """*failed*: steps that need attention; *cutover*: warm servers that wait for somebody's word."""
    text, main, is_urgent = _says(migration, failed, cutover)
    may = {OPERATOR: is_operator, ADMIN: is_admin}
    buttons = []
    for action, (label, _) in BUTTONS.items():
        if action == "cutover" and not cutover:
            continue
        if action == "retry" and not failed and migration["phase"] in ("running", "done", "planned"):
            continue
        if refusal(migration["phase"], migration["paused"], action, migration["reason"]):
            continue
        if may[ADMIN if action in TAKES_AWAY else OPERATOR]:
            buttons.append(Button(action, label, action == main))
    return Advice(text, tuple(sorted(buttons, key=lambda one: not one.is_main)), is_urgent)


def _says(migration: Row, failed: int, cutover: int) -> tuple[str, str, bool]:
    """The sentence, the action that helps most, and whether a person is needed."""
    phase, mode = migration["phase"], migration["mode"]
    attention = f"{failed} of its resources {'needs' if failed == 1 else 'need'} attention"
    if phase == "stuck":
        return f"It needs a person: {migration['reason']}", "retry", True
    if migration["paused"] and phase not in (*ENDED, "planned"):
        return "It's paused: what is under way ends, and nothing new is asked for.", "resume", True
    if phase == "planned":
        also = f" {attention}: see what isn't possible." if failed else ""
        return f"This is what would be done. Nothing has been written.{also}", "start", True
    if phase == "running" and cutover:
        many = "1 server waits" if cutover == 1 else f"{cutover} servers wait"
        who = "It runs" if cutover == 1 else "They run"
        return f"{many} for the cut-over. {who} at the source until you say so.", "cutover", True
    if phase == "running":
        return ("It's under way." + (f" {attention}; the rest goes on." if failed else "")), "retry", bool(failed)
    if phase == "done":
        if mode == "export":
            return "The source was read. Nothing was written.", "", False
        return (f"It's over, but {attention}.", "retry", True) if failed else ("All of it has arrived.", "", False)
    return {
        "new": ("It waits for its source to be read.", "", False),
        "planning": ("The source is read, and compared with the destination.", "", False),
        "undoing": ("What it has made is being removed.", "", False),
        "undone": ("What it had made is removed; what it had changed is as it was.", "", False),
        "cancelling": ("It's being cancelled: what is under way ends first.", "", False),
        "cancelled": ("It was cancelled. What was made is still there.", "retry", False),
        "cleaning": ("What has moved is being deleted at the source.", "", False),
    }.get(phase, (str(phase), "", False))


def crossed(migration: Row, done: int = 0, total: int = 0) -> float:
    """How much of the way is behind it, from 0 to 1: by bytes where there are some, else by steps.

    The shore is reached when all is over: not with the last byte of a pass, of which there may be more.
    """
    totals = migration["totals"] or {}
    if migration["phase"] in ("done", "cleaning"):
        return float(totals.get("done", 0) / max(1, sum(totals.values())))
    if migration["mode"] != "run" or migration["phase"] in ("new", "planning", "undone"):
        return 0.0
    if total:
        return min(1.0, done / total) * NEAR
    over = sum(totals.get(state, 0) for state in ("done", "skipped", "failed", "removed"))
    return float(over / max(1, sum(totals.values()))) * NEAR
