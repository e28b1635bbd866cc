"""What can go wrong."""

from __future__ import annotations

from typing import Any


class FerryError(Exception):
    """Something was asked for that didn't come to be."""


class Unavailable(FerryError):
    """No gateway answers there, or it can't serve now. Whether the request was taken isn't known, unless it says so."""


class Refused(FerryError):
    """The gateway doesn't do that.

    Shape of ``errors``: a list of {pointer, detail}, one for each wrong field. ``help``: the command that helps, or
    None. Source: RFC 9457, "Problem Details for HTTP APIs".
    """

    def __init__(self, status: int, detail: str, errors: list[dict[str, Any]], help: str | None = None) -> None:
        lines = [f"{one.get('pointer') or '/'}: {one.get('detail')}" for one in errors]
        super().__init__("\n".join([detail, *lines]) if status == 422 and lines else detail)
        self.status, self.detail, self.errors, self.help = status, detail, errors, help
