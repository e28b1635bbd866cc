"""What commands print: tables for people, JSON and YAML for programs.

Every text goes through :func:`stackferry.printable.printable`: names come from tenants, and may hold escape sequences.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import typer
import yaml
from rich.console import Console
from rich.table import Table
from stackferry.errors import Error
from stackferry.printable import printable, printable_json

WIDE = 100_000  # columns where nobody's window limits them
EARLIEST = 1e9  # what is smaller is a span, or a number
#: keys of answers that hold a time, in seconds since the epoch
TIMES = frozenset({"created", "changed", "first_asked", "over", "stopped", "down"})


class PlainConsole(Console):
    """A console that prints texts as they are, one a line: a name may look like markup (``[prod] net``), an emoji
    (``:a:``) or an order to the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; nothing that a text holds reaches the terminal as an order."""
        super().print(*(printable(one) if isinstance(one, str) else one for one in objects), **options)


def plain_console(**options: Any) -> Console:
    """A console for texts of any origin."""
    return PlainConsole(**options)


_WINDOW = sys.stdout.isatty()
console = plain_console(soft_wrap=not _WINDOW, width=None if _WINDOW else WIDE)
errors = plain_console(stderr=True, soft_wrap=True)

OK, SOME_FAILED, BAD_INPUT, UNAVAILABLE, NEEDS_PERSON = 0, 1, 2, 3, 4


class Format(StrEnum):
    """How to print."""

    table = "table"
    json = "json"
    yaml = "yaml"


def show(content: Any, format_: Format, columns: Sequence[str] = (), title: str = "") -> None:
    """Print rows (a list of dicts) as a table of *columns*, or anything as JSON or YAML."""
    if format_ is Format.json:
        print(printable_json(json.dumps(timed(content), ensure_ascii=False, indent=2, default=str)))
    elif format_ is Format.yaml:
        print(_yaml(timed(content)), end="")
    else:
        table = Table(
            *columns, title=printable(title) or None, title_justify="left", box=None, pad_edge=False,
            header_style="bold",
        )  # fmt: skip
        for row in content:
            table.add_row(*(_cell(row.get(column)) for column in columns))
        console.print(table)


def _yaml(content: Any) -> str:
    text: str = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    return text if printable_json(text) == text else yaml.safe_dump(content, sort_keys=False)


def tell(format_: Format, content: Any, *lines: str) -> None:
    """Print lines for people, or the same as JSON or YAML for programs."""
    if format_ is not Format.table:
        show(content, format_)
        return
    for line in lines:
        console.print(line)


def aside(format_: Format) -> Console:
    """Where to print what happens meanwhile: programs read nothing but the result on stdout."""
    return console if format_ is Format.table else errors


def confirm(question: str) -> None:
    """Ask; end the command unless the answer is yes. Raises Error where nobody can answer."""
    try:
        said = typer.confirm(printable(question), err=True)
    except (typer.Abort, RuntimeError):  # the latter where stdin is closed
        if sys.stdin is not None and sys.stdin.isatty():  # Ctrl-C
            raise
        errors.print()
        raise Error(f"{question} Nobody answers here: look, and say --yes") from None
    if not said:
        raise typer.Abort


def timed(content: Any) -> Any:
    """The same with times as RFC 3339 writes them."""
    if isinstance(content, dict):
        return {key: _time(value) if key in TIMES else timed(value) for key, value in content.items()}
    return [timed(item) for item in content] if isinstance(content, list | tuple) else content


def _time(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < EARLIEST:
        return timed(value)
    return datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    return printable(str(value))


def when(seconds: float) -> str:
    """A time for people, local."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def place(value: dict[str, Any] | None) -> str:
    """A side of a migration for people."""
    if not value:
        return "-"
    return value["cloud"] + (f"/{value['project']}" if value.get("project") else "")
