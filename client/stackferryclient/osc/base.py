"""What all commands share: the client, and how rows become tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cliff.columns import FormattableColumn
from osc_lib.cli.format_columns import DictColumn, ListColumn
from osc_lib.command import command

from ..client import Client
from .plugin import needs_keystone

Row = dict[str, Any]
Table = tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]


class Ferry(command.Command):
    """A command of ``openstack ferry``."""

    @property
    def auth_required(self) -> bool:
        """Whether Keystone is asked: not by whoever has a token of the gateway, and knows where it is."""
        return needs_keystone(self.app.client_manager.get_configuration())

    @property
    def ferry(self) -> Client:
        """The gateway."""
        found: Client = self.app.client_manager.ferry  # type: ignore[attr-defined]  # as the plugin is called
        return found


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
    return SHOWN[column](value) if column in SHOWN and value is not None else value


def needs_person(migration: Row) -> str | None:
    """What whoever waits for a migration is told when it hasn't ended well; None when it has."""
    if migration["phase"] == "stuck":
        return f"migration {migration['id']} needs a person: {migration.get('reason')}"
    bad = {state: many for state, many in (migration.get("totals") or {}).items() if state in ("failed", "skipped")}
    if bad and migration["phase"] == "done":
        what = " and ".join(f"{many} {state}" for state, many in bad.items())
        return f"of migration {migration['id']} {what} steps: see `openstack ferry migration step list`"
    return None
