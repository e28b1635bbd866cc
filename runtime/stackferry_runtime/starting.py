"""How a process of ours begins: with what it's told, or by saying which setting can't be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from stackferry.errors import Error

from . import logs, settings

WRONG = 2  # the exit code for settings that can't be used: to start again wouldn't help
T = TypeVar("T", bound=settings.Common)


def told(cls: type[T]) -> T:
    """Return the settings; the log is kept as they say. Ends the process for ``--help``, and as :func:`refusing`."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(settings.describe(cls))
        sys.exit(0)
    with refusing():
        found = settings.load(cls)
        logs.configure(found.log_level, found.log_format)
    return found


@contextmanager
def refusing() -> Iterator[None]:
    """End the process with the sentence of an Error, which names what is wrong, and no traceback."""
    try:
        yield
    except Error as error:
        print(error, file=sys.stderr)
        sys.exit(WRONG)
