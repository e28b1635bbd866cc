"""What the connections of one pull share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..disk.blocks import Copy
from ..disk.devices import Device
from ..disk.journal import Journal
from .batches import Work
from .recorder import Recorder
from .tally import Tally


class Mode(StrEnum):
    """What is asked for, and what the destination says to have.

    ``full``: what the journal doesn't know. ``delta``: all, with the journal's hashes. ``rehash``: all, with hashes
    of what the destination's device holds; the journal is made anew. ``verify``: the same, but the journal tells who
    has changed. In all but the first one, what is written is read back before it's journaled.
    """

    FULL = "full"
    DELTA = "delta"
    REHASH = "rehash"
    VERIFY = "verify"

    @property
    def reads_device(self) -> bool:
        """Whether the hashes are of what the device has stored."""
        return self in (Mode.REHASH, Mode.VERIFY)

    @property
    def reads_back(self) -> bool:
        """Whether what was written is read from the device again. A full copy leaves that to the verify after it."""
        return self is not Mode.FULL


@dataclass(frozen=True)
class Task:
    """A pull. With ``fresh``, blocks of zeros that the journal doesn't know are left as they are."""

    copy: Copy
    mode: Mode
    device: Device
    journal: Journal
    recorder: Recorder
    work: Work
    tally: Tally
    compression: bool
    fresh: bool
