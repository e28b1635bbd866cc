"""Addresses of a broker that make no sense: named, and never quoted, since they hold passwords."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from stackferry.bus import connect
from stackferry.errors import BrokerUnavailable
from stackferry_cli.local.rabbitmq import CHOICE, Node, free_port, is_free

CANARY = "tweety-4711"
WRONG = [
    f"amqp://me:pa/{CANARY}@127.0.0.1:5672//",
    f"amqp://me:{CANARY}@127.0.0.1:port//",
    f"ampq://me:{CANARY}@127.0.0.1//",
]


@pytest.mark.parametrize("uri", WRONG)
def test_an_address_that_is_none_is_explained(uri: str) -> None:
    with pytest.raises(BrokerUnavailable, match="AMQP_URI") as raised:
        connect(uri, "test", timeout=1)
    assert CANARY not in str(raised.value)


def test_the_command_says_so_and_ends_with_its_code() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stackferry_cli.app", "list"],
        env={"AMQP_URI": WRONG[0]}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: the broker's URI (AMQP_URI) makes no sense")
    assert CANARY not in done.stderr


def test_a_private_node_whose_port_is_taken_says_which(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node._prepare()
    with socket.socket() as s:
        s.bind(("127.0.0.1", port := node._known()["port"]))
        s.listen()
        assert not is_free(port)
        with pytest.raises(BrokerUnavailable, match=f"its port {port} is taken by another program"):
            node._prepare()
    assert is_free(port)


def test_ports_are_not_those_of_outgoing_connections() -> None:
    assert free_port() in CHOICE
    assert CHOICE.stop <= 32768  # where Linux begins (ip_local_port_range)
