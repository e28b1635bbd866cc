"""The end of a log file, to show why something failed."""

from pathlib import Path

LINES = 15
BYTES = 16384


def tail(path: Path, lines: int = LINES) -> str:
    """The last lines of a file."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return "(no such file)"
    return "\n".join(text.splitlines()[-lines:])
