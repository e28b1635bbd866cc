"""What the steps of a workload are called when people look on."""

from __future__ import annotations

from ..step_key import WARM

CUTOVER = "waiting for cut-over"
SHUTDOWN = "waiting for its shutdown"
HOST = "waiting for a host"
#: of what waits for somebody else
WAITING = ("waiting", CUTOVER, SHUTDOWN, HOST)
#: name of a step → the phase in which it is
WORDS = {
    "check": "checking",
    "look": "checking",
    "look-again": "checking",
    "cutover": CUTOVER,
    "assign": HOST,
    "wait": SHUTDOWN,
    "stop": "stopping",
    "expose": "preparing",
    "attach-source": "preparing",
    "attach-destination": "preparing",
    "copy": "copying",
    "verify": "verifying",
    "detach-source": "releasing",
    "detach-destination": "releasing",
    "withdraw": "releasing",
    "power": "finishing",
    "settle": "finishing",
}
#: of several that are true at once, the first is said
RANKS = ("copying", "verifying", "stopping", "preparing", "checking", "releasing", "creating", "finishing",
         CUTOVER, SHUTDOWN, HOST)  # fmt: skip
#: what is still said in the moment before the next step begins
LASTING = ("copying", "verifying", "stopping", "preparing", "releasing", "creating", "finishing")
#: steps of the coordinator alone, of which no fact tells
SILENT = ("assign", "release", "cutover")


def word(kind: str, task: str) -> str:
    """Return the phase of a step that is under way."""
    if not task:
        return "creating" if kind in ("server", "floating_ip") else "preparing"
    return WORDS.get(task.removeprefix(WARM), "running")


def steady(before: str, said: str) -> str:
    """Return what to say after what was said before."""
    return before if said == "waiting" and before in LASTING else said
