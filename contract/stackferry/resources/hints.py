"""What an importer is told of a resource beside its document: what only the coordinator knows."""

from __future__ import annotations

from typing import Any, TypedDict


class SubPort(TypedDict):
    """A port inside of a trunk, at the destination."""

    port_id: str | None
    segmentation_id: int
    segmentation_type: str


class Hints(TypedDict, total=False):
    """Ids are the destination's. Times are seconds since the epoch."""

    # what is there already
    destination_id: str  # what an earlier try, or migration, has made of it
    claimed: list[str]  # what is another document's of the same name
    twins: int  # documents of that name
    made: list[str]  # what tries of this migration have made
    first_asked: float  # what is older isn't made by any of them
    since: float  # the migration's beginning: what is older isn't removed
    look: bool  # afresh, since somebody may have made it meanwhile
    only_look: bool  # and make nothing
    replaced: dict[str, dict[str, Any]]  # id → field → what stood there before this migration
    new_id: str  # the id to make it with, where the API takes one
    marker: str  # in the metadata of what is this migration's
    patience: float  # seconds to wait until what was made is ready

    # what other documents say
    automatic_rules: list[str]  # which of Neutron's rules the source's security group has kept
    prune: bool  # whether the others are taken away from a group that is there already
    led: list[str]  # ids at the source of floating IPs for which there'll be a router

    # what a part of a workload needs of the others
    mode: str  # of a floating IP: see ``migration_params``
    port_id: str | None
    sub_ports: list[SubPort]
    device_id: str | None
    port_ids: list[str | None]
    volume_ids: list[str | None]
    boot_volume: int | None  # which of these it starts from
    boot_volume_id: str | None  # of a root disk that was no volume
    given_volume_ids: list[str | None]  # volumes that people have copied themselves
    device_tags: dict[str, str]  # id → what its guest calls a port or volume
