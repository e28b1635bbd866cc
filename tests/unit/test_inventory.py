"""What an export takes along, and in which parts it travels."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openstack import exceptions
from stackferry.envelope import MAX_BYTES
from stackferry.messages import DocumentsExported
from stackferry.resources import KINDS
from stackferry.selection import selects
from stackferry_clouds.view import ProjectView
from stackferry_exporter.inventory import PART_BYTES, PART_DOCUMENTS, inventory, parts

NET = {"type": KINDS["network"].type, "params": {"name": "net"}}
NAMELESS = {"type": KINDS["network"].type, "params": {"name": ""}}
RULE = {"type": KINDS["security_group_rule"].type, "params": {"security_group_ref": {"name": "web"}}}
LEG = {"type": KINDS["router_interface"].type, "params": {"device_ref": {"name": "edge"}}}


@pytest.mark.parametrize(
    ("document", "filters", "expected"),
    [
        (NET, {}, True),
        (NET, {"network": ["net"]}, True),
        (NET, {"network": ["other"]}, False),
        (NET, {"subnet": ["other"]}, True),
        (NAMELESS, {"network": [{"regex": ".*"}]}, True),
        (NAMELESS, {"network": ["net"]}, False),
        (RULE, {"security_group": ["web"]}, True),  # goes with its group
        (RULE, {"security_group": ["db"]}, False),
        (RULE, {"security_group_rule": ["db"], "security_group": ["web"]}, False),
        (RULE, {"security_group_rule": ["web"], "security_group": ["db"]}, True),
        ({**RULE, "params": {"security_group_ref": None}}, {"security_group": ["web"]}, False),
        (LEG, {"router": [{"regex": "^e"}]}, True),
        (LEG, {"router": ["other"]}, False),
    ],
)
def test_a_filter_keeps_names_or_those_that_a_document_belongs_to(document: Any, filters: Any, expected: bool) -> None:
    assert bool(selects({"filters": filters}, document)) is expected


@pytest.mark.parametrize("selection", [None, {}, {"filters": None}])
def test_nothing_selected_keeps_everything(selection: Any) -> None:
    assert selects(selection, NET)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([10, 1000, PART_BYTES // 2, PART_BYTES, PART_BYTES * 2]), max_size=20), st.booleans())
def test_parts_hold_everything_in_order_and_stay_small(sizes: list[int], wide: bool) -> None:
    documents = [{"number": n, "text": ("ü" if wide else "x") * (size // (1 + wide))} for n, size in enumerate(sizes)]
    found = list(parts(iter(documents)))
    assert [document for part in found for document in part] == documents
    assert all(found)
    for part in found:
        assert len(part) == 1 or len(json.dumps(part, ensure_ascii=False).encode()) < PART_BYTES + 3 * len(part)


def test_many_small_documents_are_spread_over_parts() -> None:
    assert [len(part) for part in parts(iter([NET] * (2 * PART_DOCUMENTS + 1)))] == [PART_DOCUMENTS] * 2 + [1]


def test_a_full_part_fits_a_message() -> None:
    big = {**NET, "_info": {}, "params": {"name": "x" * (PART_BYTES // 2)}}
    data = {"migration": "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d", "attempt": 1, "part": 1}
    for part in parts(iter([big, big, big])):
        assert len(DocumentsExported.make("s", {**data, "documents": part}).to_bytes()) < MAX_BYTES


def cloud(**listings: Any) -> Any:
    """A connection whose listings are as given, else empty; one that is an exception is raised."""

    def listing(name: str) -> Any:
        def answer(**_: Any) -> Any:
            found = listings.get(name, [])
            if isinstance(found, Exception):
                raise found
            return iter(found)

        return answer

    class Service:
        def __getattr__(self, name: str) -> Any:
            return listing(name)

    return SimpleNamespace(network=Service(), compute=Service(), image=Service())


def net(name: str) -> Any:
    return SimpleNamespace(id=f"id-{name}", name=name, project_id="p")


def test_an_inventory_has_the_selected_kinds_only() -> None:
    view = ProjectView(cloud(networks=[net("a"), net("b")], keypairs=[SimpleNamespace(id="k", name="k")]), "p")
    found = list(inventory(view, {"kinds": ["network"], "filters": {"network": ["b"]}}))
    assert [(d["type"], d["params"]["name"]) for d in found] == [(KINDS["network"].type, "b")]


def test_an_inventory_has_prerequisites_first() -> None:
    groups = [SimpleNamespace(id="g", name="g", project_id="p")]
    rules = [SimpleNamespace(id="r", security_group_id="g", direction="egress", project_id="p")]
    view = ProjectView(cloud(security_groups=groups, security_group_rules=rules), "p")
    kinds = ["security_group_rule", "security_group"]
    assert [d["_info"]["id"] for d in inventory(view, {"kinds": kinds})] == ["g", "r"]


def test_a_listing_that_fails_fails_the_inventory() -> None:
    view = ProjectView(cloud(networks=exceptions.ForbiddenException("no")), "p")
    with pytest.raises(exceptions.ForbiddenException):
        list(inventory(view, {"kinds": ["network"]}))


@pytest.mark.parametrize(
    "error", [exceptions.NotFoundException("no path"), exceptions.ServiceDisabledException("none")]
)
def test_a_cloud_without_an_optional_api_has_none_of_it_and_says_so(error: Exception) -> None:
    if isinstance(error, exceptions.NotFoundException):
        error.status_code = 404
    view = ProjectView(cloud(networks=[net("a")], address_groups=error), "p")
    found = list(inventory(view, {"kinds": ["network", "address_group"]}))
    assert [d["params"]["name"] for d in found] == ["a"]
    assert [note for note in view.notes if "this cloud has no address groups" in note]
    with pytest.raises(type(error)):
        list(inventory(ProjectView(cloud(networks=error), "p"), {"kinds": ["network"]}))
