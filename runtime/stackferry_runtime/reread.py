"""A file of settings that is read again when it has changed: people who come and go need no restart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from marshmallow import Schema, ValidationError
from stackferry.errors import Error

from .logs import logger

log = logger(__name__)
T = TypeVar("T")


class Reread(Generic[T]):
    """What a file says, as *read* has it. Several threads may ask.

    Raises Error at the beginning when the file can't be used; later, one that can't changes nothing.
    """

    def __init__(self, file: Path, read: Callable[[Path], T]) -> None:
        self.file, self._read = file, read
        self._lock = threading.Lock()
        self._stamp = self._seen()
        self._known = read(file)

    def now(self) -> T:
        """What it says now."""
        with self._lock:
            if (stamp := self._seen()) != self._stamp:
                self._stamp = stamp
                try:
                    self._known = self._read(self.file)
                    log.info("a file was read again", file=str(self.file))
                except Error as error:
                    log.error("a file can't be read again; what it said before counts", error=str(error))
            return self._known

    def _seen(self) -> tuple[int, int] | None:
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size


def loaded(file: Path, schema: type[Schema], setting: str) -> Any:
    """Return what a file of YAML says by a schema; raise Error naming the *setting*, and what is wrong."""
    try:
        return schema().load(yaml.safe_load(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Error(f"{setting}: {file} can't be read: {error}") from None
    except ValidationError as error:
        raise Error(f"{setting}: {file}: {error.normalized_messages()}") from None
