"""How far it is, where the target can't say so itself: a file, replaced as a whole."""

from __future__ import annotations

import json
import os
from pathlib import Path

from stackferry.errors import Error


class Cursor:
    """The number of the last event that has arrived, in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> int | None:
        """Return the number; None when nothing has arrived yet. Raises Error for a file that isn't ours."""
        try:
            number = json.loads(self.file.read_text())["number"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Error(
                f"STACKFERRY_STATE_DIR: {self.file} can't be read ({error}); without it, all begins anew"
            ) from None
        if type(number) is not int or number < -1:
            raise Error(f"STACKFERRY_STATE_DIR: {self.file} holds no number of an event")
        return number

    def keep(self, number: int) -> None:
        """Note that an event has arrived, with all before it: whatever dies afterwards."""
        fresh = self.file.with_suffix(".new")
        with fresh.open("w") as content:
            content.write(json.dumps({"number": number}))
            content.flush()
            os.fsync(content.fileno())
        fresh.replace(self.file)
