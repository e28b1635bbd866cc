"""A notification of oslo.messaging, as Ceilometer and its like listen to. Source: oslo.messaging's
notifier (``messagingv2``) and its envelope, version 2.0.

oslo.messaging's own notifier drops what it can't send, and says so in its log only. So this publishes what that would,
with receipts: to a topic exchange that whoever listens has made, and to nobody's loss while nobody listens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

from stackferry.bus import Outgoing, Publisher
from stackferry.errors import BrokerUnavailable, Error, Unroutable

from ..events import Event, Place
from . import Away

EXCHANGE = "openstack"  # oslo.messaging's control_exchange, unless a service says another
KEY = "notifications.info"  # its topic, and the priority
SCHEMES = {"rabbit": "amqp", "amqp": "amqp", "amqps": "amqps"}


class Oslo:
    """The broker of OpenStack's services, by their ``transport_url``: ``rabbit://user:password@host:5672/vhost``.

    Whoever listens drops what comes again (``_unique_id``), as long as it's among the last few.
    """

    is_exact = True

    def __init__(self, url: str) -> None:
        self.name, parts = "oslo", urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise Error(f"STACKFERRY_TARGET: expected rabbit://, amqp:// or amqps://, not {parts.scheme}://")
        if not parts.hostname or parts.query not in ("", "ssl=1", "ssl=0") or parts.fragment:
            raise Error(
                "STACKFERRY_TARGET: expected rabbit://user:password@host:5672/vhost; ?ssl=1 for TLS, nothing else"
            )
        if "," in parts.netloc:
            raise Error(
                "STACKFERRY_TARGET: one host, please, or a name for all of them: rabbit://user:password@host:5672/"
            )
        scheme = "amqps" if parts.query == "ssl=1" else SCHEMES[parts.scheme]
        self._publisher = Publisher(parts._replace(scheme=scheme, query="").geturl(), "stackferry bridge")

    def position(self) -> Place | None:
        """It keeps none."""
        return None

    def send(self, events: list[Event]) -> Iterator[Place]:
        """Publish them all, and await each one's receipt."""
        try:
            outcomes = self._publisher.publish_all([_notification(one) for one in events])
        except BrokerUnavailable as error:
            raise Away(f"OpenStack's broker can't be reached: {error.__context__ or error}") from None
        wrong = next((one for one in outcomes if one is not None), None)
        if isinstance(wrong, Unroutable):
            raise Away(f"nobody listens to {KEY} on the exchange {EXCHANGE!r}", 30.0)
        if wrong is not None:
            raise Away(f"OpenStack's broker takes nothing now: {wrong}")
        yield events[-1].place

    def close(self) -> None:
        """Disconnect."""
        self._publisher.close()


def _notification(event: Event) -> Outgoing:
    """An event as a notification: ``event_type`` is ``stackferry.<event>``, ``payload`` the CloudEvent."""
    message = {
        "message_id": event.id,
        "publisher_id": "stackferry.bridge",
        "event_type": f"stackferry.{event.name}",
        "priority": "INFO",
        "payload": event.envelope,
        "timestamp": event.envelope.get("time", ""),
        "_unique_id": event.id,
    }
    body = json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)}).encode()
    return Outgoing(EXCHANGE, KEY, body, event.id, content_type="application/json")
