"""What of a project doesn't cross: a section of every plan and report."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from stackferry.wording.stays_behind import TITLE, lines


def print_stays_behind(migration: dict[str, Any], console: Console) -> None:
    """Print the section, if there is anything to say."""
    if entries := migration.get("stays_behind"):
        console.print(f"\n{TITLE}", style="bold")
        for line in lines(entries):
            console.print(f"  {line}")
