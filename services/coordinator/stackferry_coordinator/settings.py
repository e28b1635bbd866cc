"""The coordinator's settings."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow import validate
from stackferry_runtime.settings import Common, setting


@dataclass(frozen=True)
class Settings(Common):
    """The coordinator: plans migrations, sequences their steps, and remembers everything."""

    database_url: str = setting(
        "sqlite:///stackferry.db",
        "where it remembers: sqlite:///PATH for one coordinator, postgresql+psycopg://... for several",
    )
    clients: str = setting(
        "",
        "file (YAML) that says what each client may ask for, `clients: {user: {role, clouds, projects}}`; empty: "
        "whoever may publish requests may ask for everything",
    )
    keep_days: float = setting(
        0.0, "days after which a migration that is over is forgotten, with all that is remembered of it; 0: never",
        validate.Range(min=0),
    )  # fmt: skip
    dead_letters: int = setting(
        10_000, "parked messages that the broker keeps; of more, the oldest go into a file", validate.Range(min=10)
    )
    dead_letters_dir: str = setting(
        "",
        "folder for these files, dead-letters-DATE.jsonl; empty: none is written; the broker drops the oldest of 1 GB",
    )
    tick: float = setting(
        0.5,
        "seconds between looks at the clock: how late a lease or a rest may end",
        validate.Range(0, min_inclusive=False),
    )
    volumes_per_cloud: int = setting(
        0, "volumes on all conversion hosts of a cloud at the same time, at most; 0: as they have room",
        validate.Range(min=0),
    )  # fmt: skip
    host_lost: float = setting(
        60.0,
        "seconds without a word from any agent of a conversion host after which its volumes go to other hosts",
        validate.Range(min=30),  # an agent that nobody hears of stops writing after 20
    )
