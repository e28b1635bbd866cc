"""What is inside a migration: its plan, steps, workloads."""

from __future__ import annotations

import argparse

from cliff.lister import Lister
from osc_lib.cli.format_columns import ListColumn, SizeColumn

from .base import Ferry, Row, Table, table
from .migration import named

STEPS = ("kind", "name", "action", "state", "outcome", "reason")


class Plan(Ferry, Lister):
    """Show what a plan would do."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return named(super().get_parser(prog_name))

    def take_action(self, told: argparse.Namespace) -> Table:
        id_ = self.ferry.find(told.migration)["id"]
        return table(("kind", "name", "outcome", "changes", "notes", "reason"), map(_planned, self.ferry.plan(id_)))


def _planned(step: Row) -> Row:
    changes = [f"{one['field']}: {one.get('from')} -> {one.get('to')}" for one in step.get("changes") or ()]
    return {**step, "changes": ListColumn(changes), "notes": ListColumn(step.get("notes") or [])}


class Steps(Ferry, Lister):
    """List the steps of a migration."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = named(super().get_parser(prog_name))
        for name in ("state", "kind"):
            parser.add_argument(f"--{name}", metavar=f"<{name}>", action="append", default=[],
                                help=f"Only those of this {name} (repeat option for several)")  # fmt: skip
        return parser

    def take_action(self, told: argparse.Namespace) -> Table:
        return table(STEPS, self.ferry.steps(self.ferry.find(told.migration)["id"], told.state, told.kind))


class Workloads(Ferry, Lister):
    """List servers, and volumes that are attached nowhere: where each is."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return named(super().get_parser(prog_name))

    def take_action(self, told: argparse.Namespace) -> Table:
        rows = self.ferry.workloads(self.ferry.find(told.migration)["id"])["items"]
        columns = ("key", "name", "phase", "bytes", "bytes_total", "rate", "seconds_left", "downtime", "destination_id")
        return table(columns, map(_sized, rows))


def _sized(row: Row) -> Row:
    return {name: SizeColumn(value) if name.startswith("bytes") and value is not None else value
            for name, value in row.items()}  # fmt: skip
