"""User data of conversion hosts: what is written, and how the cloud reads it."""

import base64
import gzip
import importlib
import shlex
import sys
from typing import Any

import pytest
import yaml
from stackferry_sandbox import agents
from stackferry_sandbox.hosts import user_data
from stackferry_sandbox.layout import INSIDE


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that reads it."""
    monkeypatch.syspath_prepend(INSIDE)
    return importlib.import_module("stackferry_inside.user_data")


ENV = {"path": "/etc/stackferry/transfer.env", "content": "A=1\n"}


def config(*entries: dict[str, Any]) -> bytes:
    return b"#cloud-config\n" + yaml.safe_dump({"write_files": list(entries)}).encode()


def test_what_is_written_is_read(inside: Any) -> None:
    text = user_data({"A": 1, "URL": "amqp://ü:#@h/"}, {"tls/key.pem": "K", "/etc/motd": "hi"})
    files = {file.path: file for file in inside.files(text.encode())}
    assert set(files) == {"/etc/stackferry/transfer.env", "/etc/stackferry/tls/key.pem"}
    assert files["/etc/stackferry/tls/key.pem"].content == b"K"
    assert files["/etc/stackferry/tls/key.pem"].mode == 0o600
    env = files["/etc/stackferry/transfer.env"].content.decode()
    assert inside.variables(env) == {"A": "1", "URL": "amqp://ü:#@h/"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"#!/bin/sh\n",
        b"#cloud-config\n",
        b"#cloud-config\n- a list\n",
        b"#cloud-config\n{not: [yaml\n",
        b"\x1f\x8b binary",
        b"#cloud-config\nwrite_files: text\n",
        config({"path": "/etc/stackferry/other", "content": "x"}),
        config(ENV, {"path": "/etc/stackferry/key", "content": "not base64!", "encoding": "gz+b64"}),
        config(ENV, {"path": "/etc/stackferry/key", "content": "x", "permissions": "rwx"}),
        config({"path": "/etc/stackferry/../stackferry-not/transfer.env", "content": "x"}),
    ],
)
def test_other_user_data_asks_for_nothing(inside: Any, data: bytes) -> None:
    assert inside.files(data) == []


def test_entries_that_are_none_of_ours_need_not_make_sense(inside: Any) -> None:
    assert inside.files(config(ENV, {"path": "/etc/x", "content": "?", "encoding": "gz", "permissions": "rwx"}))


def test_nothing_is_written_elsewhere(inside: Any) -> None:
    paths = ["/etc/stackferry/../../root/x", "/etc/passwd", "etc/stackferry/relative", "/etc/stackferry"]
    found = inside.files(config(ENV, *({"path": path, "content": "x"} for path in paths)))
    assert [file.path for file in found] == ["/etc/stackferry/transfer.env"]


@pytest.mark.parametrize("encoding", ["b64", "base64", "gz+b64", "gzip+base64"])
def test_encoded_content(inside: Any, encoding: str) -> None:
    data = gzip.compress(b"secret") if "gz" in encoding else b"secret"
    entry = {"path": "/etc/stackferry/key", "encoding": encoding, "content": base64.b64encode(data).decode()}
    assert inside.files(config(ENV, entry))[1].content == b"secret"


def test_an_environment_file_is_read_as_systemd_reads_it(inside: Any) -> None:
    text = "# N=1\n;M=1\n\nA=1\nB = two words \nC=\"quo'ted\"\nD='x=y'\nE=\nno variable\nF=\"\n"
    assert inside.variables(text) == {"A": "1", "B": "two words", "C": "quo'ted", "D": "x=y", "E": "", "F": '"'}


def test_paths_lead_into_the_servers_folder(inside: Any) -> None:
    text = b"A=/etc/stackferry/a.pem\nB=/etc/stackferry\nC=/etc/stackferry-other\nD=x:/etc/stackferry/b\n"
    moved = inside.moved(text, r"/f\1")
    assert moved == b"A=/f\\1/a.pem\nB=/f\\1\nC=/etc/stackferry-other\nD=x:/f\\1/b\n"


def test_what_plays_an_agent() -> None:
    assert agents.default_command({}) == [sys.executable, "-m", "stackferry_transfer"]
    command = ["/a b/python", "agent.py"]
    assert agents.default_command({agents.VARIABLE: shlex.join(command)}) == command
