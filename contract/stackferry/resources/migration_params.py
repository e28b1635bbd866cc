"""What a document's ``_migration_params`` can say: how it's moved, while ``params`` says what is made.

The names and defaults are OS Migrate's; those at the end of each list are ours. Keys that aren't listed are kept.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marshmallow import ValidationError, validate

from .fields import Flag, Many, Number, Portable, Struct, Text


@dataclass(frozen=True)
class MigrationParam:
    """One of them; the field says its form and its meaning. *ours*: OS Migrate doesn't know it."""

    name: str
    default: Any
    field: Portable
    ours: bool = False

    @property
    def meaning(self) -> str:
        """What the documentation says of it."""
        return str(self.field.metadata["description"])


def one_of(description: str, *words: str) -> Text:
    """A field that takes one of a few words."""
    return Text(description, validate=validate.OneOf(words, error="{input!r} is none of {choices}"))


def _cutover(value: str) -> None:
    if value not in ("auto", "manual"):
        try:
            moment(value)
        except ValueError:
            raise ValidationError(
                f"{value!r} is none of auto, manual, or a time such as 2026-01-31T02:00:00+01:00"
            ) from None


def moment(text: str) -> float:
    """A time as RFC 3339 writes it, in seconds since the epoch; ValueError for anything else, or without a zone."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return found.timestamp()


_BOOT_VOLUME: dict[str, Any] = {
    "availability_zone": Text("its availability zone"),
    "name": Text("its name"),
    "description": Text("its description"),
    "volume_type": Text("its volume type"),
}
_UUID = "id at the destination"

SERVER = (
    MigrationParam(
        "boot_disk_copy", False,
        Flag("whether the boot disk is copied into a volume; else the server starts from the image of the same name"),
    ),
    MigrationParam(
        "floating_ip_mode", "auto",
        one_of("existing: the same address, which must be there; new: any; auto: the same, else any; skip: none",
               "auto", "existing", "new", "skip"),
    ),
    MigrationParam(
        "port_creation_mode", "nova",
        one_of("for OS Migrate; here ports are always made first, with all that they have", "nova", "neutron"),
    ),
    MigrationParam(
        "data_copy", True,
        Flag("false: nothing is copied; boot_volume and additional_volumes are attached, which must be there"),
    ),
    MigrationParam(
        "boot_volume_params", dict.fromkeys(_BOOT_VOLUME),
        Struct("of the volume that a boot disk is copied into, where the source has none", **_BOOT_VOLUME),
    ),
    MigrationParam(
        "boot_volume", {"uuid": None}, Struct("without data_copy: the volume to start from", uuid=Text(_UUID))
    ),
    MigrationParam(
        "additional_volumes", [{"uuid": None}],
        Many(Struct(uuid=Text(_UUID)), "without data_copy: the volumes to attach", ordered=True),
    ),
    MigrationParam("use_nbdkit_direct", False, Flag("for OS Migrate; not read here")),
    MigrationParam("nbdkit_socket_uri", None, Text("for OS Migrate; not read here")),
    MigrationParam("nbdkit_export_name", None, Text("for OS Migrate; not read here")),
    MigrationParam(
        "source_access", "auto",
        one_of("how disks are read: from copies of snapshots, or detached from the server; auto: as the cloud allows",
               "auto", "snapshot", "detach"), ours=True,
    ),
    MigrationParam(
        "mode", "cold",
        one_of("warm: copies are made while the server runs, until it's cut over; one that is stopped is moved cold",
               "cold", "warm"), ours=True,
    ),
    MigrationParam(
        "cutover", "auto",
        Text("when a warm server is stopped for the last pass. auto: when a pass writes little, or no less than the "
             "one before; manual: when it's asked for (`stackferry cutover`); or a time (RFC 3339, with its zone)",
             validate=_cutover), ours=True,
    ),
    MigrationParam(
        "cutover_below", 64 << 20,
        Number("auto: bytes that a pass may write at most, so that the last one follows", validate=validate.Range(0)),
        ours=True,
    ),
    MigrationParam(
        "pass_interval", 300,
        Number("manual, or a time: seconds from the end of a pass to the next one", validate=validate.Range(1)),
        ours=True,
    ),
    MigrationParam(
        "shutdown", "stop",
        one_of("how a server that runs is stopped. stop: the cloud is told to, and tells the guest first; wait: "
               "whoever runs it does that, which is waited for; nor is it started again if the migration fails then",
               "stop", "wait"), ours=True,
    ),
    MigrationParam(
        "power", "source",
        one_of("how a server arrives that was stopped when it was first looked at. source: stopped, too; running: it's "
               "started. A document that doesn't say it, as OS Migrate's, means running", "source", "running"),
        ours=True,
    ),
    MigrationParam("engine", "pump", one_of("what moves the bytes", "pump", "nbd"), ours=True),
)  # fmt: skip


def defaults(declared: tuple[MigrationParam, ...]) -> dict[str, Any]:
    """Return what is meant where nothing is said."""
    return {param.name: copy.deepcopy(param.default) for param in declared}


def chosen(declared: tuple[MigrationParam, ...], document: dict[str, Any]) -> dict[str, Any]:
    """Return everything that a document says or means; null means the default."""
    said = {n: v for n, v in (document.get("_migration_params") or {}).items() if v is not None}
    return defaults(declared) | said


def wrong_choices(declared: tuple[MigrationParam, ...], said: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (name, what is wrong) of values that can't be meant, alone or together."""
    if said.get("mode") == "warm" and said.get("source_access") == "detach":
        yield "source_access", "a disk that is detached from its server can't be copied while that runs: say snapshot"
    for param in declared:
        if said.get(param.name) is not None:
            try:
                param.field.deserialize(said[param.name], param.name, said)
            except ValidationError as error:
                yield param.name, error.messages
