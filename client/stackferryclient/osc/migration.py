"""Migrations: created, listed, shown, waited for, forgotten."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cliff.lister import Lister
from cliff.show import ShowOne
from osc_lib import exceptions
from osc_lib.cli import parseractions

from .base import Ferry, Row, Table, each, failing, one, table

COLUMNS = ("id", "name", "mode", "phase", "source", "destination", "created", "reason")
HIDDEN = ("kinds", "stays_behind")
PARTS = ("source", "destination", "labels", "selection", "migration_params")  # of a request, that are objects


def named(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the argument that says which migration."""
    parser.add_argument("migration", metavar="<migration>", help="Migration (name or ID)")
    return parser


class Waiting(Ferry):
    """A command that can wait until nothing goes on by itself."""

    def awaited(self, migration: str, may_be_cancelled: bool = False) -> Row:
        """How the migration is then; raises CommandError when it didn't end well."""
        found = self.ferry.wait(migration)
        if why := failing(found, may_be_cancelled):
            raise exceptions.CommandError(why)
        return found


class Create(Waiting, ShowOne):
    """Request a migration of a project, from one cloud to another."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("source", metavar="<source>", help="Cloud to move from, as the services name it")
        parser.add_argument("destination", metavar="<destination>", help="Cloud to move to")
        parser.add_argument("--source-project", metavar="<project>", help="Project to move, by name")
        parser.add_argument("--destination-project", metavar="<project>", help="Project to move into, by name")
        parser.add_argument("--name", metavar="<name>", help="What people call it")
        parser.add_argument("--label", metavar="<key=value>", action=parseractions.KeyValueAction, default={},
                            help="Label of it (repeat option for several)")  # fmt: skip
        parser.add_argument("--kind", metavar="<kind>", action="append", default=[],
                            help="Only this kind of resource (repeat option for several)")  # fmt: skip
        parser.add_argument("--plan", action="store_true", help="Only look what would be done: "
                            "`openstack ferry migration plan show`, then `start`")  # fmt: skip
        parser.add_argument(
            "--warm",
            action="store_true",
            help="Copy the disks of servers that run while they do, and stop them only at the end",
        )
        parser.add_argument(
            "--cutover", metavar="<when>", help="With --warm: auto, manual or a time, such as 2026-01-31T02:00:00+01:00"
        )
        parser.add_argument("--request", metavar="<file>", help="File (JSON) with more of the request, as the API "
                            "has it: selection, mapping, servers_at_once ...")  # fmt: skip
        parser.add_argument("--wait", action="store_true", help="Wait until it has ended, or needs a person")
        return parser

    def take_action(self, told: argparse.Namespace) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        made = self.ferry.request(request(told))
        if told.wait:
            self.app.stderr.write(f"migration {made['id']}\n")
            made = self.awaited(made["id"])
        return one(made, *HIDDEN)


def request(told: argparse.Namespace) -> Row:
    """The body of a request; what options say counts more than what the file says. Raises CommandError."""
    if told.cutover and not told.warm:
        raise exceptions.CommandError("--cutover says when a warm migration ends; add --warm")
    found = _file(told.request) if told.request else {}
    for side, project in (("source", told.source_project), ("destination", told.destination_project)):
        place, cloud = found.get(side) or {}, getattr(told, side)
        if place.get("cloud", cloud) != cloud:
            raise exceptions.CommandError(
                f"--request: its {side} is {place['cloud']!r}, and the command says {cloud!r}"
            )
        found[side] = {**place, "cloud": cloud, **({"project": project} if project else {})}
    found |= {"name": told.name} if told.name else {}
    found |= {"labels": {**(found.get("labels") or {}), **told.label}} if told.label else {}
    found |= {"mode": "plan"} if told.plan else {}
    if told.kind:
        found["selection"] = {**(found.get("selection") or {}), "kinds": told.kind}
    if told.warm:
        warm = {"mode": "warm", **({"cutover": told.cutover} if told.cutover else {})}
        found["migration_params"] = {**(found.get("migration_params") or {}), **warm}
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _file(name: str) -> Row:
    try:
        found = json.loads(Path(name).read_text(), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        raise exceptions.CommandError(f"--request: {name} can't be read: {error}") from None
    parts = [found.get(part) or {} for part in PARTS] if isinstance(found, dict) else [None]
    if not all(isinstance(part, dict) for part in parts):
        raise exceptions.CommandError(f"--request: {name} holds no JSON object, or one whose parts are none")
    return dict(found)


class List(Ferry, Lister):
    """List migrations."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--phase", metavar="<phase>", action="append", default=[],
                            help="Only those in this phase (repeat option for several)")  # fmt: skip
        parser.add_argument("--label", metavar="<key=value>", action=parseractions.KeyValueAction, default={},
                            help="Only those with this label (repeat option for several)")  # fmt: skip
        parser.add_argument("--newest", action="store_true", help="The newest first")
        return parser

    def take_action(self, told: argparse.Namespace) -> Table:
        return table(COLUMNS, self.ferry.migrations(told.phase, told.label, told.newest))


class Show(Ferry, ShowOne):
    """Show how a migration is."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return named(super().get_parser(prog_name))

    def take_action(self, told: argparse.Namespace) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        return one(self.ferry.find(told.migration), *HIDDEN)


class Wait(Waiting, ShowOne):
    """Wait until a migration has ended, or needs a person."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return named(super().get_parser(prog_name))

    def take_action(self, told: argparse.Namespace) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        return one(self.awaited(self.ferry.find(told.migration)["id"], may_be_cancelled=True), *HIDDEN)


class Delete(Ferry):
    """Forget migrations that are over. Nothing is deleted in a cloud."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("migrations", metavar="<migration>", nargs="+", help="Migrations (name or ID)")
        return parser

    def take_action(self, told: argparse.Namespace) -> None:
        each("migrations", told.migrations, lambda name: self.ferry.forget(self.ferry.find(name)["id"]))
