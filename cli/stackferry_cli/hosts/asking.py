"""What the coordinator is asked about hosts, and told about them."""

from __future__ import annotations

import time
from typing import Any

from stackferry.client import Client
from stackferry.errors import BrokerUnavailable, Error, NoAnswer

from .. import output
from ..connecting import client


def tell(host: str, action: str) -> dict[str, Any]:
    """Have the coordinator drain or resume a host; return what it is then."""
    with client() as ferry:
        return _told(ferry, _find(ferry, host)["id"], action)


def _told(ferry: Client, id_: str, action: str) -> dict[str, Any]:
    """Tell the coordinator, and return the host as it's listed once that was done."""
    ferry.control_host(id_, action)
    deadline = time.monotonic() + ferry.timeout
    while (row := _find(ferry, id_))["draining"] != (action == "drain"):
        if time.monotonic() > deadline:
            raise NoAnswer(f"the coordinator has not done it within {ferry.timeout:g} s")
    return row


def _find(ferry: Client, text: str) -> dict[str, Any]:
    """The one host of that name, or whose id begins so."""
    known = ferry.hosts()
    found = [row for row in known if row["name"] == text] or [row for row in known if row["id"].startswith(text)]
    if len(found) != 1:
        raise Error(f"{len(found) or 'no'} hosts are called {text!r}, or have an id that begins so; see `hosts list`")
    return found[0]


def take_out(ids: list[str]) -> None:
    """Drain these hosts, so that none gets work while it's deleted; raise Error when one has some, or nobody knows."""
    try:
        with client() as ferry:
            before = [row for row in ferry.hosts() if row["id"] in ids]
            busy = [row for row in [_told(ferry, row["id"], "drain") for row in before] if row["used"]]
            for row in before if busy else ():
                if not row["draining"]:
                    _told(ferry, row["id"], "resume")
    except (BrokerUnavailable, NoAnswer) as error:
        raise type(error)(f"{error}. Whether the hosts have work isn't known; --force deletes them anyway") from None
    if busy:
        what = ", ".join(f"{row['name']} ({row['used']} volumes)" for row in busy)
        raise Error(f"under way on {what}: `hosts drain` them first and wait until they're empty, or say --force")


def forget(ids: list[str]) -> None:
    """Hosts that are gone need not be listed any more; a coordinator that is away forgets them in a day by itself."""
    try:
        with client() as ferry:
            for id_ in ids:
                ferry.control_host(id_, "forget")
    except (BrokerUnavailable, NoAnswer) as error:
        output.errors.print(f"note: the coordinator doesn't know yet that they're gone: {error}")
