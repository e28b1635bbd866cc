"""Users of the broker for conversion hosts: by which command they're made, and what happens when it can't be run."""

from __future__ import annotations

import base64
import json
import re
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from stackferry import topology
from stackferry.definitions import password_hash, user_definitions
from stackferry.errors import BrokerUnavailable, Error
from stackferry.topology import Enrolled
from stackferry_cli import broker_users
from stackferry_cli.app import app
from stackferry_cli.hosts import broker
from typer.testing import CliRunner

RECORDER = """#!/bin/sh
echo "$@" >> {log}
cat >> {log}.in
exit {code}
"""


def user(host: str, project: str = "") -> topology.User:
    return topology.host_user(Enrolled(host, "src", project))


def host_definitions(hashes: dict[str, str], vhost: str = "/") -> dict[str, Any]:
    return user_definitions({user(host): hash_ for host, hash_ in hashes.items()}, vhost)


def rabbitmqctl(folder: Path, code: int = 0) -> Path:
    """A program that writes down what it's asked."""
    program = folder / "rabbitmqctl"
    program.write_text(RECORDER.format(log=folder / "log", code=code))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def test_all_users_are_made_by_one_command_and_no_secret_is_a_word_of_it(tmp_path: Path) -> None:
    control = broker_users.control(f"{rabbitmqctl(tmp_path)} --node far")
    control.make({user("s1"): "hash-1", user("s2"): "hash-2"}, "ferry")
    control.make({})
    assert (tmp_path / "log").read_text() == "--node far import_definitions\n"
    content = json.loads((tmp_path / "log.in").read_text())
    assert content == host_definitions({"s1": "hash-1", "s2": "hash-2"}, "ferry")
    assert [user["name"] for user in content["users"]] == ["host.src..s1", "host.src..s2"]


@pytest.mark.parametrize("code", [0, broker_users.GONE])
def test_users_go_with_their_hosts_and_those_that_are_gone_are_fine(tmp_path: Path, code: int) -> None:
    broker_users.control(str(rabbitmqctl(tmp_path, code))).delete([user("s1"), user("s2", "web")])
    assert (tmp_path / "log").read_text() == "delete_user host.src..s1\ndelete_user host.src.web.s2\n"


def test_a_command_that_fails_is_said(tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailable, match=r"rabbitmqctl import_definitions` failed"):
        broker_users.control(str(rabbitmqctl(tmp_path, 70))).make({user("s1"): "hash"})
    with pytest.raises(BrokerUnavailable, match="can't be run"):
        broker_users.control(str(tmp_path / "nothing")).make({user("s1"): "hash"})
    with pytest.raises(Error, match="--rabbitmqctl"):
        broker_users.control("'half a quote")


def test_with_a_broker_of_ones_own_one_must_say_how_users_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URI", "amqp://client:x@broker.example//")
    monkeypatch.delenv(broker_users.VARIABLE, raising=False)
    with pytest.raises(Error, match=r"--rabbitmqctl \(or STACKFERRY_RABBITMQCTL\) says how"):
        broker_users.control(None)


@pytest.mark.parametrize(
    ("uri", "whole", "vhost"),
    [
        ("amqps://ferry.example:5671//", "amqps://host.src.a%2520b.{server_id}:pw@ferry.example:5671//", "/"),
        ("amqp://[2001:db8::1]", "amqp://host.src.a%2520b.{server_id}:pw@[2001:db8::1]", "/"),
        ("amqp://h:1/my%2Fhost", "amqp://host.src.a%2520b.{server_id}:pw@h:1/my%2Fhost", "my/host"),
    ],
)
def test_each_host_is_told_its_own_user(uri: str, whole: str, vhost: str) -> None:
    assert not broker.names_user(uri)
    assert broker.with_own_user(uri, "pw", "src", "a b") == whole
    assert broker_users.vhost_of(uri) == vhost
    assert broker.names_user("amqp://all:pw@h//")


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["hosts", "enrol", *words])


def test_a_host_made_by_hand_gets_its_user_and_the_secret_is_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(broker.VARIABLE, "amqps://ferry.example:5671//")
    file, program = tmp_path / "uri", rabbitmqctl(tmp_path)
    file.write_text("somebody else's")
    said = run("s1", "--cloud", "src", "--to", str(file), "--rabbitmqctl", str(program))
    assert said.exit_code == 0, said.output
    uri = urlsplit(file.read_text().strip())
    assert (uri.username, uri.hostname, stat.S_IMODE(file.stat().st_mode)) == ("host.src..s1", "ferry.example", 0o600)
    assert str(uri.password) not in said.output
    hash_ = json.loads((tmp_path / "log.in").read_text())["users"][0]["password_hash"]
    assert password_hash(str(uri.password), base64.b64decode(hash_)[:4]) == hash_


def test_what_makes_no_sense_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(broker.VARIABLE, "amqps://all:pw@ferry.example//")
    more = ("--to", str(tmp_path / "uri"), "--rabbitmqctl", str(rabbitmqctl(tmp_path)), "--cloud", "src")
    assert isinstance(refused := run("s1", *more).exception, Error)
    assert "names a user" in str(refused)
    monkeypatch.setenv(broker.VARIABLE, "amqps://ferry.example//")
    assert "no server's id" in str(run("a.*", *more).exception)
    assert "can't be written" in str(run("s1", "--to", str(tmp_path / "no" / "uri"), *more[2:]).exception)
    assert not (tmp_path / "log").exists()


def test_a_host_has_no_right_over_anything_of_another() -> None:
    (rights,) = host_definitions({"s1": "hash"})["permissions"]
    topics = {t["exchange"]: t["write"] for t in host_definitions({"s1": "hash"})["topic_permissions"]}
    assert re.search(rights["read"], "stackferry.transfer.s1")
    for other in (
        "stackferry.transfer.s2",
        "stackferry.transfer.s10",
        "stackferry.transfer.xs1",
        "stackferry.importer",
    ):
        assert not re.search(rights["read"], other)
        assert not re.search(topics["stackferry.retry.5s"], other)
        assert not re.search(topics["stackferry.parked"], other)
    assert not re.search(rights["configure"], "stackferry.worker.host.src..s10.x")
    assert re.search(rights["configure"], "stackferry.worker.host.src..s1.x")


@pytest.mark.parametrize("enrolled", [Enrolled("s1", "src"), Enrolled("s1", "my.cloud", "pro.ject %2E"),
                                      Enrolled("0-a", "ü", "")])  # fmt: skip
def test_a_hosts_user_says_where_it_is(enrolled: Enrolled) -> None:
    assert Enrolled.read(enrolled.user) == enrolled
    for name in ("client", "host", "host.s1", "host.src.s1", f"{enrolled.user}.x", f"x{enrolled.user}"):
        assert Enrolled.read(name) is None
    for odd in (".*", "", "a.b", "x" * 65):
        with pytest.raises(Error, match="no server's id"):
            topology.host_user(Enrolled(odd, "src"))


def test_the_file_with_the_old_password_stays_when_the_user_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(broker.VARIABLE, "amqps://ferry.example//")
    (tmp_path / "uri").write_text("the old one")
    said = run("s1", "-c", "src", "--to", str(tmp_path / "uri"), "--rabbitmqctl", str(rabbitmqctl(tmp_path, 70)))
    assert isinstance(said.exception, BrokerUnavailable)
    assert (tmp_path / "uri").read_text() == "the old one"
    assert {file.name for file in tmp_path.iterdir()} == {"uri", "rabbitmqctl", "log", "log.in"}
