"""The exporter: parts of two readings are never mixed, and what is said of a reading fits a message."""

from __future__ import annotations

from typing import Any

from stackferry.envelope import MAX_BYTES
from stackferry.messages import ExportEnded, ExportProject
from stackferry_exporter.inventory import NOTES, shortened
from stackferry_exporter.service import Exporter
from stackferry_runtime.services.bus import Delivery

MIGRATION = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"


def test_what_somebody_else_may_have_begun_to_read_is_not_read_again_as_the_same_try() -> None:
    exporter, told = Exporter(), []
    exporter.publish = lambda message, data, cause: told.append((message, data))  # type: ignore[method-assign]
    command = ExportProject.make("test", {"migration": MIGRATION, "attempt": 3, "source": {"cloud": "src"}})
    exporter.export(Delivery(command, doubtful=True, sender="coordinator"))
    lost: dict[str, Any] = {"outcome": "failed", "parts": 0, "reason": "its exporter was lost", "retryable": True}
    assert told == [(ExportEnded, {"migration": MIGRATION, "attempt": 3, **lost})]


def test_notes_fit_a_message() -> None:
    assert shortened(["one", "two"]) == ["one", "two"]
    found = shortened(["x" * 5000] * (NOTES + 7))
    assert found[-1] == "and 7 more"
    data = {"migration": MIGRATION, "attempt": 1, "parts": 1, "outcome": "done", "notes": found}
    assert len(ExportEnded.make("s", data).to_bytes()) < MAX_BYTES
