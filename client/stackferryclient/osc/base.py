"""What all commands share: the client, and how rows become tables."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from cliff.columns import FormattableColumn
from osc_lib import exceptions
from osc_lib.cli.format_columns import DictColumn, ListColumn
from osc_lib.command import command

from ..client import Client
from ..errors import FerryError
from .plugin import needs_keystone

Row = dict[str, Any]
Table = tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]


class Ferry(command.Command):
    """A command of ``openstack ferry``."""

    @property
    def auth_required(self) -> bool:
        """Whether Keystone is asked: not by whoever has a token of the gateway, and knows where it is."""
        return needs_keystone(self.app.client_manager.get_configuration())

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run; what goes wrong is told without what a terminal would act upon."""
        try:
            return super().run(parsed_args)
        except (FerryError, exceptions.CommandError) as error:
            raise exceptions.CommandError(readable(str(error))) from None

    @property
    def ferry(self) -> Client:
        """The gateway."""
        found: Client = self.app.client_manager.ferry  # type: ignore[attr-defined]  # as the plugin is called
        return found


def readable(text: str) -> str:
    """A text with what a terminal would act upon written out: names come from tenants."""
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


class Text(FormattableColumn[Any]):
    """A value whose text is safe on a terminal; programs get it as it is."""

    def human_readable(self) -> str:
        value = self._value
        if isinstance(value, FormattableColumn):
            value = value.human_readable()
        return readable(str(value)).replace("\n", "\\n")

    def machine_readable(self) -> Any:
        value = self._value
        return value.machine_readable() if isinstance(value, FormattableColumn) else value


class Place(FormattableColumn[Row | None]):
    """A cloud and, if it's said, a project of it."""

    def human_readable(self) -> str:
        place = self._value or {}
        return "/".join(str(place[part]) for part in ("cloud", "project") if place.get(part))


SHOWN = {"source": Place, "destination": Place, "labels": DictColumn, "totals": DictColumn, "clouds": ListColumn}


def table(columns: tuple[str, ...], rows: Iterable[Row]) -> Table:
    """Rows as a Lister returns them."""
    return tuple(map(_title, columns)), (tuple(_shown(column, row.get(column)) for column in columns) for row in rows)


def one(row: Row, *without: str) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """A row as a ShowOne returns it."""
    names = tuple(name for name in row if name not in without)
    return names, tuple(_shown(name, row[name]) for name in names)


def _title(column: str) -> str:
    return "ID" if column == "id" else column.replace("_", " ").title()


def _shown(column: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return Text(SHOWN[column](value) if column in SHOWN else value)


def failing(migration: Row, may_be_cancelled: bool = False) -> str | None:
    """What whoever waits for a migration is told when it hasn't ended well; None when it has."""
    id_, phase = migration["id"], migration["phase"]
    if phase == "stuck":
        return f"migration {id_} needs a person: {migration.get('reason')}"
    if phase == "cancelled":
        return None if may_be_cancelled else f"migration {id_} was cancelled"
    if migration.get("paused"):
        return f"migration {id_} is paused: see `openstack ferry migration resume`"
    totals = {} if phase == "undone" else migration.get("totals") or {}
    if bad := [f"{totals[state]} {state}" for state in ("failed", "skipped") if totals.get(state)]:
        return f"of migration {id_} {' and '.join(bad)} steps: see `openstack ferry migration step list`"
    return None


def each(what: str, names: list[str], do: Callable[[str], object]) -> None:
    """Do something with each; raise CommandError with those that it failed for, once all were tried."""
    bad = []
    for name in names:
        try:
            do(name)
        except FerryError as error:
            bad.append(f"{name}: {error}")
    if bad:
        raise exceptions.CommandError("\n".join([*bad, f"{len(bad)} of {len(names)} {what} failed to delete."]))
