"""What a migration can be told."""

from __future__ import annotations

import argparse
from typing import Any, ClassVar

from cliff.show import ShowOne

from .base import one
from .migration import HIDDEN, Waiting, named


class Action(Waiting, ShowOne):
    """Tell a migration to do something."""

    action: ClassVar[str]
    ends: ClassVar[bool] = True  # whether there's an end that can be waited for
    may_be_cancelled: ClassVar[bool] = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = named(super().get_parser(prog_name))
        if self.ends:
            parser.add_argument("--wait", action="store_true", help="Wait until it has ended, or needs a person")
        return parser

    def take_action(self, told: argparse.Namespace) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        id_ = self.ferry.find(told.migration)["id"]
        found = self.ferry.act(id_, self.action, self.servers(told))
        return one(self.awaited(id_, self.may_be_cancelled) if self.ends and told.wait else found, *HIDDEN)

    def servers(self, _: argparse.Namespace) -> list[str] | None:
        """Which servers it's about; None: all."""
        return None


class Start(Action):
    """Carry out a plan."""

    action = "start"


class Pause(Action):
    """Ask for nothing new until `resume`; what is under way ends."""

    action, ends = "pause", False


class Resume(Action):
    """Go on after `pause`."""

    action = "resume"


class Cancel(Action):
    """Ask for nothing more; what was made stays (`undo` removes it)."""

    action, may_be_cancelled = "cancel", True


class Retry(Action):
    """Try again whatever failed, and what it held up."""

    action = "retry"


class CutOver(Action):
    """Cut warm servers over: they are stopped, copied for the last time, and started at the destination."""

    action = "cutover"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--server", metavar="<server>", action="append", default=[],
                            help="Only this server, by name or ID (repeat option for several)")  # fmt: skip
        return parser

    def servers(self, told: argparse.Namespace) -> list[str] | None:
        return list(told.server) or None


class Undo(Action):
    """Remove what a migration created at the destination. What it updated is as it was before."""

    action = "undo"
