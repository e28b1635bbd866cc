"""The agent's own parts: where it listens, which server it's on, which blocks a segment has."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from stackferry.envelope import Envelope
from stackferry.errors import Error
from stackferry.messages import OfferSegment
from stackferry_transfer import agent
from stackferry_transfer.disk.blocks import BLOCK, Copy
from stackferry_transfer.segments import _blocks, _ticket
from stackferry_transfer.settings import Settings


def test_it_listens_where_it_reaches_the_broker() -> None:
    assert agent.own_address("amqp://u:p@127.0.0.1:5672//") == "127.0.0.1"
    assert agent.own_address("amqp://u:p@[::1]:5672//") == "::1"
    with pytest.raises(Error, match="STACKFERRY_LISTEN_ADDRESS"):
        agent.own_address("amqp://u:p@no-such-host.invalid//")


def test_a_try_is_begun_once_and_another_migrations_alike_is_another() -> None:
    """A migration that failed may leave an offer which waits for its guest, when the next one moves the same volume."""
    begun, over = [], threading.Event()

    def offer(envelope: Envelope) -> None:
        begun.append(envelope.data["migration"])
        over.wait(20)

    one = agent.Agent(Settings(cloud="c", server_id="s"))
    one.claims = SimpleNamespace(granted=lambda envelope, again: True)  # type: ignore[assignment]
    one.segments = SimpleNamespace(offer=offer)  # type: ignore[assignment]
    with ThreadPoolExecutor(8) as one.pool:
        try:
            for migration in ("a", "b", "a"):
                data = {"migration": migration, "step": "volume/v/copy/0", "attempt": 1}
                one.take(Envelope(type=OfferSegment.type, data=data, source="test"), again=False)
        finally:
            over.set()
    assert sorted(begun) == ["a", "b"]


def test_a_tunnel_without_a_key_is_refused_at_the_start() -> None:
    with pytest.raises(Error, match="STACKFERRY_TUNNEL also needs STACKFERRY_TUNNEL_KEY"):
        agent.Agent(Settings(cloud="c", server_id="s", tunnel="me@{host}", tunnel_known_hosts="/k"))


@pytest.mark.parametrize(
    ("first", "length", "blocks"),
    [
        (0, 0, range(10)),
        (0, 4 * BLOCK, range(4)),
        (4 * BLOCK, 4 * BLOCK, range(4, 8)),
        (8 * BLOCK, 4 * BLOCK, range(8, 10)),
    ],
)
def test_a_segment_is_a_range_of_blocks(first: int, length: int, blocks: range) -> None:
    copy = Copy("c", 9 * BLOCK + 1)
    assert _blocks({"first": first, "length": length}, copy) == blocks


def test_each_try_of_each_part_is_offered_by_another_id() -> None:
    data = {"copy": "m/v", "step": "volume/v/copy/3", "attempt": 2}
    others = [{**data, "attempt": 3}, {**data, "step": "volume/v/copy/4"}, {**data, "step": "volume/v/verify/3"}]
    assert len({_ticket(each) for each in (data, *others)}) == 4


@pytest.mark.parametrize(
    ("port", "instance", "listens"),
    [(0, "1", 0), (0, "3", 0), (700, "", 700), (700, "1", 700), (700, "3", 702), (700, "a", 700)],
)
def test_the_agents_of_a_host_listen_at_ports_in_a_row(port: int, instance: str, listens: int) -> None:
    assert agent.port_of(Settings(listen_port=port, instance=instance)) == listens
