"""What can go wrong while a volume is copied; each error's sentence names the device, the block or the peer.

PumpError
├── DeviceError
│   ├── DeviceMissing    no device of this volume is here (yet)
│   ├── DeviceAmbiguous  several devices could be this volume
│   ├── DeviceBusy       somebody else holds the destination's device: it's mounted, or being copied to
│   ├── DeviceTooSmall   the device doesn't hold the whole volume
│   └── DeviceFailed     reading, writing or flushing failed, at this end
├── ProgramMissing       a program that the NBD engine or a tunnel needs isn't installed
├── JournalRefused       the journal is another copy's, or none at all
├── JournalFailed        the journal can't be read or written
├── PeerLost             the connection couldn't be made, broke, or stood still for too long
├── PeerRefused          the other end doesn't know us, or doesn't offer this copy, or means something else by it
├── Violation            the other end sent what no peer of ours sends
├── SourceFailed         the source could not read a block of its device
├── BlockCorrupted       a block never came as its hash says, though it was asked for again
└── RepairFailed         a block reads back unlike what was written
"""

from __future__ import annotations

from stackferry.errors import Error

TEXT_LIMIT = 1024  # bytes of an error's sentence


class PumpError(Error):
    """Base of everything that the pump raises on purpose, but for a stranger's certificate (``Stranger``)."""


class DeviceError(PumpError):
    """A device can't be used."""


class DeviceMissing(DeviceError):
    """No device of the volume is here, or not yet."""


class DeviceAmbiguous(DeviceError):
    """Several devices could be the volume: none is touched."""


class DeviceBusy(DeviceError):
    """Somebody else has the device open for itself."""


class DeviceTooSmall(DeviceError):
    """The volume is larger than the device."""


class DeviceFailed(DeviceError):
    """The device at this end failed; the sentence says doing what, and where."""


class ProgramMissing(PumpError):
    """What the NBD engine or a tunnel needs isn't installed on this host."""


class JournalRefused(PumpError):
    """This journal says nothing about this copy."""


class JournalFailed(PumpError):
    """The journal's own disk failed, or is full."""


class PeerLost(PumpError):
    """The connection is gone; what was journaled stays."""


class PeerRefused(PumpError):
    """The other end won't do this copy: to connect again would not help."""


class Violation(PumpError):
    """The other end doesn't keep to the protocol."""


class SourceFailed(PumpError):
    """The source can't read one of its blocks; the sentence is the source's."""


class BlockCorrupted(PumpError):
    """A block's content and its hash never agreed."""


class RepairFailed(PumpError):
    """The destination's device doesn't store what it is given."""


def quotable(text: str) -> str:
    """What a peer, or a program of others, wrote, for our logs: no control characters, and no more than a sentence."""
    return "".join(character if character.isprintable() else "?" for character in text[:TEXT_LIMIT])
