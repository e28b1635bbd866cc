"""One try of one step at a destination: run the verb, and turn whatever happens into an outcome."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from stackferry.resources import KINDS
from stackferry.resources.hints import Hints
from stackferry.resources.view import View
from stackferry_clouds.apply import Outcome
from stackferry_clouds.failures import answered, failure

Verb = Callable[[str, dict[str, Any], View, Hints], Outcome]


def attempt(verb: Verb, view: Callable[[], View], data: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the StepEnded that ends this try."""
    about = {
        "migration": data["migration"],
        "step": data["step"],
        "attempt": data["attempt"],
        "kind": data["kind"],
        "name": KINDS[data["kind"]].title(data["document"]["params"]),
    }
    began = time.monotonic()
    hints: Hints = data.get("hints") or Hints()
    try:
        outcome = dataclasses.asdict(verb(data["kind"], data["document"], view(), hints))
    except Exception as error:
        word, reason, retryable = failure(error)
        outcome = {"outcome": word, "reason": reason, "retryable": retryable, "answered": answered(error)}
    return {**about, **outcome, "seconds": round(time.monotonic() - began, 3)}
