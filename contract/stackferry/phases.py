"""The phases of a migration, and what can be asked of it in each.

Both sides need it: a client refuses what makes no sense before sending it, the coordinator when it arrives.
"""

from __future__ import annotations

PHASES = ("new", "planning", "planned", "running", "done", "undoing", "undone", "cancelling", "cancelled", "cleaning",
          "stuck")  # fmt: skip
#: nothing is under way, and nobody needs to look
OVER = ("planned", "done", "undone", "cancelled")
#: the reason of a migration that was under way when a backup was made which was put back
RESTORED = "restored from a backup: nobody knows what was done since; migrate again, which looks at what is there"
#: begins the reason of a migration of which there is half a plan, that an error keeps from being made whole
UNPLANNED = "its plan can't be made"
#: action → the phases in which it makes sense
FITS = {
    "start": ("planned",),
    "pause": ("new", "planning", "running", "cleaning"),
    "resume": PHASES,
    "cancel": ("new", "planning", "planned", "running", "stuck"),
    "retry": ("planned", "running", "done", "cancelled", "stuck"),
    "cutover": ("running",),
    "undo": ("running", "done", "cancelled", "stuck"),
}
ACTIONS = tuple(FITS)


def refusal(phase: str, paused: bool, action: str, reason: str | None = None) -> str | None:
    """Return why an action makes no sense now; None when it does. *reason*: the migration's own."""
    if reason == RESTORED:
        return f"it was {reason}"
    if reason and reason.startswith(UNPLANNED):
        return f"{reason}; request another one"
    if phase in FITS[action] and {"pause": not paused, "resume": paused}.get(action, True):
        return None
    return f"a migration that is {phase}{' and paused' if paused else ''} can't be told to {action}"
