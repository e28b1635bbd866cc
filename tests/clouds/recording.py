"""A migration's log in the coordinator's database, and the state that it led to."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any


def recording(database: Path, migration: str) -> dict[str, Any]:
    """Return {messages: [[name, data, at]], head, steps} of one migration."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        facts = connection.execute("SELECT name, data, at FROM fact WHERE migration = ? ORDER BY id", [migration])
        messages = [[row["name"], json.loads(row["data"]), row["at"]] for row in facts]
        (head,) = connection.execute("SELECT phase, counts FROM migration WHERE id = ?", [migration])
        steps = connection.execute(
            'SELECT "key", state, outcome, attempt, destination_id FROM step WHERE migration = ? ORDER BY "order", "key"',
            [migration],
        )
        return {
            "messages": messages,
            "head": [head["phase"], json.loads(head["counts"])],
            "steps": sorted(list(row) for row in steps),
        }
