"""MQTT 5: a topic for each migration and event. Source: CloudEvents' MQTT protocol binding, structured mode.

``stackferry/events/<source>/<destination>/<migration>/<event>``, with QoS 1. A broker of MQTT keeps no history; how
far it is says a retained message on ``stackferry/number``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from stackferry.errors import Error

from ..events import MEDIA, Event, Place
from . import Away

EVENTS, NUMBER = "stackferry/events", "stackferry/number"
TAKES = 10.0  # seconds for an answer
RETAINED = 1.0  # seconds in which a retained message comes
PORTS = {"mqtt": 1883, "mqtts": 8883}


class Mqtt:
    """A broker of MQTT: ``mqtt(s)://user:password@host:port``."""

    is_exact = True

    def __init__(self, url: str) -> None:
        self.name, self.parts = "mqtt", urlsplit(url)
        if self.parts.scheme not in PORTS:
            raise Error(f"STACKFERRY_TARGET: expected mqtt:// or mqtts://, not {self.parts.scheme}://")
        self._client: Client | None = None
        self._refused: list[str] = []

    def position(self) -> Place | None:
        """The number that the retained message says."""
        client, found, heard = self._connected(), list[bytes](), threading.Event()

        def take(_: Client, __: object, message: MQTTMessage) -> None:
            found.append(bytes(message.payload))
            heard.set()

        client.on_message = take
        client.subscribe(NUMBER, qos=1)
        heard.wait(RETAINED)
        client.unsubscribe(NUMBER)
        number, _, id_ = (found[-1] if found else b"").decode("utf-8", "replace").partition(" ")
        return Place(int(number), id_ or None) if number.isdecimal() else None

    def send(self, events: list[Event]) -> Iterator[Place]:
        """Publish them all, await each one's receipt, and then say how far it is."""
        client, properties = self._connected(), Properties(PacketTypes.PUBLISH)
        self._refused.clear()
        properties.ContentType = MEDIA
        sent = [client.publish(f"{EVENTS}/{_topic(one.key)}", one.body, 1, properties=properties) for one in events]
        self._await(sent)
        self._await([client.publish(NUMBER, " ".join(map(str, events[-1].place)), 1, retain=True)])
        yield events[-1].place

    def _await(self, sent: list[MQTTMessageInfo]) -> None:
        for one in sent:
            try:
                one.wait_for_publish(TAKES)
            except (ValueError, RuntimeError) as error:
                self.close()
                raise Away(f"MQTT takes nothing now: {error}") from None
            if not one.is_published():
                self.close()
                raise Away("MQTT doesn't confirm")
        if self._refused:  # a broker confirms what it refuses, too
            self.close()
            raise Away(f"MQTT refuses: {self._refused[0]}")

    def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _connected(self) -> Client:
        if self._client is not None and self._client.is_connected():
            return self._client
        self.close()
        client, is_there = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5), threading.Event()
        client.on_connect = lambda *about: is_there.set() if not about[3].is_failure else None
        client.on_publish = lambda *about: self._refused.append(str(about[3])) if about[3].is_failure else None
        client.max_inflight_messages_set(1)  # so that the order stays
        if self.parts.username:
            client.username_pw_set(unquote(self.parts.username), unquote(self.parts.password or ""))
        if self.parts.scheme == "mqtts":
            client.tls_set()
        try:
            client.connect(self.parts.hostname or "127.0.0.1", self.parts.port or PORTS.get(self.parts.scheme, 1883))
        except OSError as error:
            raise Away(f"MQTT can't be reached: {error}") from None
        client.loop_start()
        self._client = client
        if not is_there.wait(TAKES):
            self.close()
            raise Away("MQTT doesn't let us in")
        return client


def _topic(key: str) -> str:
    """A routing key as levels of a topic: what MQTT reads as something else is percent-encoded."""
    return "".join({".": "/", "+": "%2B", "#": "%23", "/": "%2F", "\0": "%00"}.get(c, c) for c in key) or "none"
