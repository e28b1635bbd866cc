"""What a shell offers when somebody presses the tab key: what the services know now; nothing when they don't answer."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable
from typing import Any

from amqp.exceptions import AMQPError
from stackferry.client import Client
from stackferry.errors import Error
from stackferry.phases import PHASES
from stackferry.resources import KINDS

from .connecting import client

Offer = tuple[str, str]  # the word, and what it stands for
PATIENCE = 2.0  # seconds: nobody waits longer for a word


def kinds(begun: str) -> list[str]:
    """Kinds of resources."""
    return [kind for kind in KINDS if kind.startswith(begun)]


def phases(begun: str) -> list[str]:
    """Phases of migrations."""
    return [phase for phase in PHASES if phase.startswith(begun)]


def clouds(begun: str) -> list[str]:
    """Clouds that an exporter or importer has credentials for."""
    known = _asked(Client.workers)
    return sorted({name for worker in known for name in worker["clouds"] or () if name.startswith(begun)})


def migrations(begun: str) -> list[Offer]:
    """Migrations by their ids and names, the newest first, and ``last``."""
    offers = [("last", "the newest that moves something")]
    for one in reversed(_asked(Client.migrations)):
        offers += [(one["id"], f"{one['phase']} {one.get('name') or ''}".strip())]
        offers += [(one["name"], one["phase"])] if one.get("name") else []
    return [offer for offer in offers if offer[0].startswith(begun)]


def hosts(begun: str) -> list[Offer]:
    """Conversion hosts by their ids and names."""
    known = _asked(Client.hosts)
    offers = [(word, f"{one['state']} in {one['cloud']}") for one in known for word in (one["id"], one["name"]) if word]
    return [offer for offer in offers if offer[0].startswith(begun)]


def _asked(ask: Callable[[Client], Iterable[Any]]) -> list[Any]:
    """What is answered; nothing of what goes wrong, which would stand amid the line that somebody types."""
    nothing = io.StringIO()
    with contextlib.suppress(Error, AMQPError, OSError), contextlib.redirect_stderr(nothing), client(PATIENCE) as ferry:
        return list(ask(ferry))
    return []
