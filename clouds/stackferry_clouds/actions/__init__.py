"""What is done with servers and volumes of either cloud on the way of a workload: one function for each action.

Each takes a view of the project, the id of the server or volume, and what earlier steps know. Each looks first, and
does only what is still to be done: so it can be asked again, whatever became of an earlier try. What a cloud is
still busy with after a while raises Unfinished, and the next try goes on waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from stackferry.errors import EndedInError
from stackferry.resources.view import View

from ..failures import answered, failure
from .access import expose, withdraw
from .attachments import attach, detach
from .cleanup import arrived, at_rest, clean_up
from .done import Done
from .power import look, power, start, stop, wait
from .room import room
from .settling import settle

Action = Callable[[View, str, dict[str, Any]], Done]
ACTIONS: dict[str, Action] = {
    "look": look,
    "wait": wait,
    "stop": stop,
    "start": start,
    "expose": expose,
    "withdraw": withdraw,
    "attach": attach,
    "detach": detach,
    "power": power,
    "settle": settle,
    "arrived": arrived,
    "at-rest": at_rest,
    "clean-up": clean_up,
    "room": room,
}


def attempt(view: Callable[[], View], data: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the StepEnded that ends one try of a PerformAction."""
    about = {name: data[name] for name in ("migration", "step", "attempt", "kind")}
    began = time.monotonic()
    try:
        done = ACTIONS[data["action"]](view(), data["resource"], data.get("known") or {})
        ended: dict[str, Any] = {"outcome": "done", "results": done.results, "notes": done.notes}
    except EndedInError as error:
        ended = {"outcome": "failed", "reason": str(error), "retryable": False}
    except Exception as error:
        outcome, reason, retryable = failure(error)
        passing = getattr(error, "status_code", None) in (400, 409)  # a server or volume is busy with something else
        ended = {"outcome": "failed" if passing else outcome, "reason": reason, "retryable": retryable or passing,
                 "answered": answered(error)}  # fmt: skip
    return {**about, **ended, "seconds": round(time.monotonic() - began, 3)}
