"""The Python client of the HTTP API: what needs no gateway."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from osc_lib import exceptions
from stackferryclient import Client, FerryError
from stackferryclient.osc import migration
from stackferryclient.osc.base import each, failing, readable, table
from stackferryclient.osc.plugin import needs_keystone
from stackferryclient.stream import Frame, frames

ENDS = st.sampled_from(["\n", "\r\n", "\r"])
#: what ends a line for Python, and not here
TEXT = st.text(
    st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]) | st.sampled_from("\u2028\x0b\x85: ")
)


@given(st.lists(st.tuples(TEXT, TEXT, st.integers(0))), ENDS, st.data())
def test_blocks_are_read_wherever_a_stream_is_cut(told: list[tuple[str, str, int]], end: str, data: Any) -> None:
    blocks = [[f"event: {name}", f"data: {text}", ": alive", f"id: {number}", "", ""] for name, text, number in told]
    sent = "".join(end.join(block) for block in blocks).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)))))
    parts = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    found = list(frames([*parts, b"\n" if end == "\r" else b""]))
    assert found == [Frame(name, text, str(number)) for name, text, number in told]


@pytest.mark.parametrize(("sent", "found"), [
    (b"data: one\ndata:two\ndata\n\n", [Frame(None, "one\ntwo\n", None)]),
    (b"retry: 1\nid: 7\n\n", [Frame(None, None, "7")]),
    (b": only a comment\n\n\n\n", []),
    (b"data: half", []),
    (b"data: \xff\n\n", [Frame(None, "\ufffd", None)]),
])  # fmt: skip
def test_blocks(sent: bytes, found: list[Frame]) -> None:
    assert list(frames([sent])) == found


@pytest.mark.parametrize("endpoint", [
    "", "ferry", "ftp://ferry", "http://[::1", "https://ferry:port", "http://u:canary@ferry", "https://ferry?a=canary",
    "https://ferry#canary", "http://", "https://ferry:99999",
])  # fmt: skip
def test_an_address_that_is_none_is_said(endpoint: str) -> None:
    with pytest.raises(FerryError, match="is no address of a gateway") as found:
        Client(endpoint, token="t")
    assert "canary" not in str(found.value)


@pytest.mark.parametrize("wrong", [
    {"key": "é"}, {"key": "a\nb"}, {"body": {"x": float("nan")}}, {"body": {"x": object()}}, {"body": {"x": {1, 2}}},
])  # fmt: skip
def test_what_can_not_be_sent_is_said_at_once(wrong: dict[str, Any]) -> None:
    with Client("http://127.0.0.1:1", token="t") as client, pytest.raises(FerryError, match="can be no|can't be JSON"):
        client.request(**{"body": {}, **wrong})
    with Client("http://127.0.0.1:1", token="t") as client, pytest.raises(FerryError, match="no migration has"):
        client.find("\udcff")


@pytest.mark.parametrize("token", ["", "a\nb", "träge"])
def test_a_token_that_can_be_none_is_said_and_not_shown(token: str) -> None:
    with pytest.raises(FerryError, match="can be no token") as found:
        Client("http://127.0.0.1", token=token)
    assert not token or token not in str(found.value)


def told(**given: Any) -> argparse.Namespace:
    absent = {"source_project": None, "destination_project": None, "name": None, "label": {}, "kind": [],
              "plan": False, "warm": False, "cutover": None, "request": None}  # fmt: skip
    return argparse.Namespace(**{"source": "src", "destination": "dst", **absent, **given})


def test_a_request_is_made_of_options_and_a_file(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text(json.dumps({
        "labels": {"a": "1", "b": "1"}, "selection": {"kinds": ["image"], "filters": {}}, "servers_at_once": 3,
        "migration_params": {"boot_disk_copy": True},
    }))  # fmt: skip
    assert migration.request(told()) == {"source": {"cloud": "src"}, "destination": {"cloud": "dst"}}
    assert migration.request(told(
        source_project="web", name="n", label={"b": "2"}, kind=["server"], plan=True, warm=True, cutover="auto",
        request=str(file),
    )) == {
        "source": {"cloud": "src", "project": "web"}, "destination": {"cloud": "dst"}, "name": "n", "mode": "plan",
        "labels": {"a": "1", "b": "2"}, "selection": {"kinds": ["server"], "filters": {}}, "servers_at_once": 3,
        "migration_params": {"boot_disk_copy": True, "mode": "warm", "cutover": "auto"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        "[" * 100_000,
        '{"servers_at_once": NaN}',
        '{"source": "src"}',
        '{"labels": 1}',
        '{"selection": ["server"]}',
        "\x00",
    ],
)
def test_a_file_that_is_no_request_is_said(tmp_path: Path, content: str) -> None:
    file = tmp_path / "r.json"
    file.write_text(content)
    with pytest.raises(exceptions.CommandError, match="--request: .*r.json"):
        migration.request(told(request=str(file)))


@pytest.mark.parametrize(("state", "said"), [
    ({"phase": "done", "totals": {"done": 3}}, None),
    ({"phase": "done", "totals": {"done": 3, "failed": 1}}, "1 failed"),
    ({"phase": "planned", "totals": {"failed": 1, "skipped": 2}}, "1 failed and 2 skipped"),
    ({"phase": "undone", "totals": {"skipped": 1}}, None),
    ({"phase": "cancelled", "totals": {}}, "was cancelled"),
    ({"phase": "running", "paused": True}, "is paused"),
    ({"phase": "stuck", "reason": "no answer"}, "needs a person: no answer"),
])  # fmt: skip
def test_who_waited_is_told_what_did_not_end_well(state: dict[str, Any], said: str | None) -> None:
    found = failing({"id": "m", **state})
    assert found is None if said is None else said in str(found)


def test_who_cancels_waits_for_that() -> None:
    assert (
        failing({"id": "m", "phase": "cancelled", "totals": {"done": 1, "skipped": 4}}, may_be_cancelled=True) is None
    )


HOSTILE = "\x1b]0;owned\x07\x1b[2Jnet\r\n\u202egnp.exe\x9b31m"


def test_names_give_a_terminal_no_orders_and_reach_programs_as_they_are() -> None:
    row = {"name": HOSTILE, "labels": {HOSTILE: HOSTILE}, "source": {"cloud": HOSTILE}, "clouds": [HOSTILE], "id": "x"}
    _, (cells,) = table(tuple(row), [row])
    for cell in cells:
        shown = cell.human_readable()
        assert all(one.isprintable() for one in shown), shown
    assert cells[0].machine_readable() == HOSTILE
    assert cells[1].machine_readable() == {HOSTILE: HOSTILE}
    assert readable("é 網 \n") == "é 網 \n"


def test_each_is_tried_and_the_names_of_those_that_failed_are_told() -> None:
    tried = []

    def forget(name: str) -> None:
        tried.append(name)
        if name == "b":
            raise FerryError("it isn't over")

    with pytest.raises(exceptions.CommandError, match=r"b: it isn't over\n1 of 3 migrations failed to delete"):
        each("migrations", ["a", "b", "c"], forget)
    assert tried == ["a", "b", "c"]


def test_a_file_keeps_its_projects_and_names_the_same_clouds(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text(json.dumps({"source": {"cloud": "src", "project": "web"}, "destination": {"project": "web2"}}))
    found = migration.request(told(request=str(file)))
    assert found["source"] == {"cloud": "src", "project": "web"}
    assert found["destination"] == {"cloud": "dst", "project": "web2"}
    assert migration.request(told(request=str(file), source_project="db"))["source"]["project"] == "db"
    with pytest.raises(exceptions.CommandError, match="its source is 'src', and the command says 'other'"):
        migration.request(told(source="other", request=str(file)))


def test_keystone_is_not_asked_by_who_needs_it_not() -> None:
    assert needs_keystone({})
    assert needs_keystone({"ferry_endpoint_override": "http://x"})
    assert not needs_keystone({"ferry_endpoint_override": "http://x", "ferry_token_file": "t"})
