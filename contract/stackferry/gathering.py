"""Answers that come in several parts: those of one delivery of the question belong together. Pure."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]


class Gathering:
    """The parts of the answers to one question, as they come.

    A question may be delivered again while it's being answered: then another series of parts begins.
    """

    def __init__(self) -> None:
        self._parts: dict[str, list[Row]] = {}

    def take(self, answer: Row) -> list[Row] | None:
        """Take in one part; return all parts of its series once it's the last one."""
        parts = self._parts.setdefault(answer.get("series") or "", [])
        parts.append(answer["content"])
        return None if answer.get("more") else parts
