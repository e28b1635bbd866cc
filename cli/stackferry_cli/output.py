"""What commands print: tables for people, JSON and YAML for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table


def plain_console(**options: Any) -> Console:
    """A console that prints texts as they are: a name may look like markup (``[prod] net``) or an emoji (``:a:``)."""
    return Console(markup=False, emoji=False, highlight=False, **options)


console = plain_console(soft_wrap=not sys.stdout.isatty())
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
        print(json.dumps(content, ensure_ascii=False, indent=2, default=str))
    elif format_ is Format.yaml:
        print(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), end="")
    else:
        table = Table(
            *columns, title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold"
        )
        for row in content:
            table.add_row(*(_cell(row.get(column)) for column in columns))
        console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    return str(value)


def when(seconds: float) -> str:
    """A time for people, local."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def place(value: dict[str, Any] | None) -> str:
    """A side of a migration for people."""
    if not value:
        return "-"
    return value["cloud"] + (f"/{value['project']}" if value.get("project") else "")
