"""Whether a word counts, whoever says it: workers' by the step that it's about, clients' by their role. It's audited.

The rules are in ``senders`` and ``roles``; here they are applied, and each refusal and request is a line in the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from stackferry import roles, topology
from stackferry.errors import InvalidMessage
from stackferry.roles import Client, Places
from stackferry_runtime.logs import logger

from ..plan.ledger import Ledger
from . import senders
from .clients import Clients

log = logger(__name__)
COORDINATOR = topology.COORDINATOR.service
Migrations = Iterable[dict[str, Any]]  # {source, destination, labels} of each
SUBJECT = ("migration", "step", "host", "service", "action")  # fields that say what a message is about


class Authority:
    """Judges each message by the broker's user who published it (*sender*), and raises InvalidMessage to refuse it.

    Whoever connects as the coordinator does (*own_user*) is believed in everything: it could do the same itself.
    """

    def __init__(self, own_user: str = COORDINATOR, clients: Clients | None = None) -> None:
        self.own_user, self.clients = own_user, clients or Clients()

    def heeds(self, ledger: Ledger, name: str, data: dict[str, Any], sender: str) -> bool:
        """Whether a word about a migration counts.

        A host's word about a try that is over is nothing to us: the volume may have moved to another host since.
        """
        if name in roles.NEEDS:
            request = ledger.head.request  # documents may come before it: then it will be judged
            if not request:
                self.owns(ledger, name, data, sender)
            self.ask(name, data, sender, [request] if request else [])
            return True
        if sender == self.own_user or not (wrong := senders.refused(ledger, name, data, sender)):
            return True
        if topology.Enrolled.read(sender) is None or not senders.is_over(ledger, data):
            _refuse(name, data, sender, wrong)
        log.info("about a try that is over", message=name, sender=sender, step=data.get("step"))
        return False

    def may(self, name: str, data: dict[str, Any], sender: str, about: Migrations | Places) -> None:
        """Let only a client ask that may, about these migrations, or in these places."""
        if sender != self.own_user and (wrong := roles.refused(self.clients(sender), name, data, about)):
            _refuse(name, data, sender, wrong)

    def ask(self, name: str, data: dict[str, Any], sender: str, about: Migrations | Places) -> None:
        """The same for what changes something, or asks a cloud: it's noted."""
        self.may(name, data, sender, about)
        log.info("request", audit=True, message=name, sender=sender, **_subject(data))

    def owns(self, ledger: Ledger, name: str, data: dict[str, Any], sender: str) -> None:
        """Let only who has spoken of a migration first say more of it, until it's requested."""
        if sender not in (self.own_user, ledger.head.owner) and not self._may_all(sender):
            _refuse(name, data, sender, {"migration": "somebody else has begun to ask for it"})

    def _may_all(self, sender: str) -> bool:
        """Whether this is an administrator of everything."""
        client = self.clients(sender)
        return client is not None and client.role == roles.ADMIN and client.may_see({})

    def sees(self, name: str, data: dict[str, Any], sender: str) -> Client:
        """Of what a client is told that asks something; one that isn't known may ask nothing."""
        if sender == self.own_user:
            return Client()
        client = self.clients(sender)
        if client is None:
            _refuse(name, data, sender, roles.UNKNOWN)
        return client

    def worker(self, data: dict[str, Any], sender: str) -> None:
        """Let a worker say that it's there: nobody can speak for the workers of another service."""
        if sender not in (self.own_user, data["service"]):
            _refuse("worker-seen", data, sender, {"service": f"{data['service']} speaks for itself"})

    def agent(self, data: dict[str, Any], sender: str) -> None:
        """Let an agent say that it's there: on the host, in the cloud and the project that its user was made for."""
        said = topology.Enrolled(data["host"], data["cloud"], data.get("project") or "")
        if sender != self.own_user and topology.Enrolled.read(sender) != said:
            _refuse("agent-seen", data, sender, {"host": f"agents there are the broker's user {said.user}"})


def _refuse(name: str, data: dict[str, Any], sender: str, wrong: dict[str, str]) -> NoReturn:
    """Say in the log who wanted to say what, and have the message parked with the reason."""
    log.warning("refused", audit=True, message=name, sender=sender, **_subject(data), why=wrong)
    raise InvalidMessage("refused", wrong)


def _subject(data: dict[str, Any]) -> dict[str, Any]:
    return {key: data[key] for key in SUBJECT if key in data}
