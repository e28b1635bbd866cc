"""Conversion hosts, the services' processes, and the credentials of clouds."""

from __future__ import annotations

import argparse
from typing import Any

from cliff.lister import Lister
from cliff.show import ShowOne

from .base import Ferry, Table, each, one, table


class List(Ferry, Lister):
    """List conversion hosts: how full each is, whether it gets work, and why not."""

    def take_action(self, _: argparse.Namespace) -> Table:
        columns = ("id", "name", "cloud", "project", "state", "why", "agents", "used", "slots", "version")
        return table(columns, self.ferry.hosts())


class Set(Ferry, ShowOne):
    """Tell a conversion host to take nothing new, or to go on."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="<host>", help="Conversion host (ID)")
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--drain", action="store_const", dest="action", const="drain",
                           help="Take nothing new; copies that are under way end")  # fmt: skip
        which.add_argument("--resume", action="store_const", dest="action", const="resume", help="Take work again")
        return parser

    def take_action(self, told: argparse.Namespace) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        return one(self.ferry.act_on_host(told.host, told.action) or {})


class Delete(Ferry):
    """Forget conversion hosts. Their servers stay."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("hosts", metavar="<host>", nargs="+", help="Conversion hosts (ID)")
        return parser

    def take_action(self, told: argparse.Namespace) -> None:
        each("hosts", told.hosts, lambda host: self.ferry.act_on_host(host, "forget"))


class Workers(Ferry, Lister):
    """List the exporters and importers that are there."""

    def take_action(self, _: argparse.Namespace) -> Table:
        return table(("service", "instance", "version", "clouds", "seen"), self.ferry.workers())


class CheckCloud(Ferry, ShowOne):
    """Have the services' credentials for a cloud tried."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("cloud", metavar="<cloud>", help="Cloud, as the services name it")
        parser.add_argument("--project", metavar="<project>", help="Project of it, by name")
        parser.add_argument("--destination", action="store_true",
                            help="Try the importers' credentials; absent: the exporters'")  # fmt: skip
        return parser

    def take_action(self, told: argparse.Namespace) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        side = "destination" if told.destination else "source"
        return one(self.ferry.check_cloud(told.cloud, side, told.project))
