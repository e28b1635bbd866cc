"""Reading a file that somebody else has put there: a regular one, of a size that is answered in seconds."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..errors import Error

MAX_BYTES = 64 << 20  # of one file


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    """Return the text of a file; raise Error, without the file's name, for what is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would be waited for
    except OSError as error:
        raise Error(f"can't be read: {error.strerror}") from None
    with open(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise Error("is no regular file")
        if about.st_size > most:
            raise Error(f"has {about.st_size >> 20} MiB; {most >> 20} MiB can be read at most")
        try:
            return file.read(most + 1).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Error(f"can't be read: it is no text in UTF-8 ({error})") from None
        except OSError as error:
            raise Error(f"can't be read: {error.strerror}") from None
