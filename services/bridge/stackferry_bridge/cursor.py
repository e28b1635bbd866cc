"""How far it is, where the target can't say so itself: a file, replaced as a whole."""

from __future__ import annotations

import json
import os
from pathlib import Path

from stackferry.errors import Error

from .events import Place


class Cursor:
    """The number of the last event that has arrived, in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> Place | None:
        """Return the place; None when nothing has arrived yet. Raises Error for a file that isn't ours."""
        try:
            said = json.loads(self.file.read_text())
            number, id_ = said["number"], said.get("id")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Error(
                f"STACKFERRY_STATE_DIR: {self.file} can't be read ({error}); without it, all begins anew"
            ) from None
        if type(number) is not int or number < -1:
            raise Error(f"STACKFERRY_STATE_DIR: {self.file} holds no number of an event")
        return Place(number, id_ if isinstance(id_, str) else None)

    def keep(self, place: Place) -> None:
        """Note that an event has arrived, with all before it: whatever dies afterwards. Raises OSError."""
        fresh = self.file.with_suffix(".new")
        with fresh.open("w") as content:
            content.write(json.dumps(place._asdict()))
            content.flush()
            os.fsync(content.fileno())
        fresh.replace(self.file)
