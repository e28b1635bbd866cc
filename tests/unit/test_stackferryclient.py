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
from stackferryclient.osc.base import needs_person
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


@pytest.mark.parametrize("endpoint", ["", "ferry", "ftp://ferry", "http://[::1", "https://ferry:port"])
def test_an_address_that_is_none_is_said(endpoint: str) -> None:
    with pytest.raises(FerryError, match="is no address of a gateway"):
        Client(endpoint, token="t")


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


@pytest.mark.parametrize("content", ["[]", "{", '{"labels": 1}', '{"selection": ["server"]}', "\x00"])
def test_a_file_that_is_no_request_is_said(tmp_path: Path, content: str) -> None:
    file = tmp_path / "r.json"
    file.write_text(content)
    with pytest.raises(exceptions.CommandError, match="--request: .*r.json"):
        migration.request(told(request=str(file)))


@pytest.mark.parametrize(("state", "said"), [
    ({"phase": "done", "totals": {"done": 3}}, None),
    ({"phase": "done", "totals": {"done": 3, "failed": 1}}, "1 failed"),
    ({"phase": "undone", "totals": {"skipped": 1}}, None),
    ({"phase": "stuck", "reason": "no answer"}, "needs a person: no answer"),
])  # fmt: skip
def test_who_waited_is_told_what_did_not_end_well(state: dict[str, Any], said: str | None) -> None:
    found = needs_person({"id": "m", **state})
    assert found is None if said is None else said in str(found)


def test_keystone_is_not_asked_by_who_needs_it_not() -> None:
    assert needs_keystone({})
    assert needs_keystone({"ferry_endpoint_override": "http://x"})
    assert not needs_keystone({"ferry_endpoint_override": "http://x", "ferry_token_file": "t"})
