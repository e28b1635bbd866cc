"""What images promise beyond the contract of every kind: payloads, members, properties, ids of our choice."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from openstack.identity.v3.project import Project
from openstack.image.v2.image import Image
from stackferry_clouds import apply
from stackferry_clouds.export import documents as documents_in
from stackferry_clouds.view import record

from .fake_cloud import Cloud
from .fake_glance import seed_image
from .projects import Document, by_name, exported, flat, infrastructure, migrate, outcomes, view


def document_of(**attributes: Any) -> Document:
    """The document of an image with these attributes, exported by an administrator."""
    return {d["params"]["name"]: d for d in exported(with_image(**attributes), admin=True)["image"]}["image"]


def with_image(payload: bytes = b"one", **attributes: Any) -> Cloud:
    cloud = infrastructure()
    seed_image(cloud, "image", payload, **attributes)
    return cloud


def ours(cloud: Cloud) -> list[dict[str, Any]]:
    return [row for row in cloud.all(Image) if row["owner_id"] == cloud.project["id"]]


def partners(cloud: Cloud, *names: str) -> list[str]:
    return [by_name(cloud, Project, name) for name in names]


# -- payloads ------------------------------------------------------------------------------------------------


def test_an_image_without_its_payload_says_so_until_it_has_come() -> None:
    documents, destination = [document_of()], infrastructure()
    first = apply.ensure("image", documents[0], view(destination), {})
    assert (first.outcome, first.payload_missing, ours(destination)[0]["status"]) == ("created", True, "queued")
    again = apply.ensure("image", documents[0], view(destination), {})
    assert (again.outcome, again.payload_missing) == ("unchanged", True)
    assert outcomes(migrate(documents, view(destination))).popitem() == (
        f"image/{documents[0]['_info']['id']}/transfer",
        ("created", None),
    )
    last = apply.ensure("image", documents[0], view(destination), {})
    assert (last.outcome, last.payload_missing) == ("unchanged", False)


def test_a_plan_foretells_whether_a_payload_will_cross() -> None:
    document, destination = document_of(), infrastructure()
    assert apply.compare("image", document, view(destination), {}).payload_missing
    migrate([document], view(destination))
    assert not apply.compare("image", document, view(destination), {}).payload_missing


@pytest.mark.parametrize("status", ["active", "deactivated"])
def test_what_has_its_payload_is_not_to_be_filled(status: str) -> None:
    destination = with_image(status=status)
    assert not apply.ensure("image", document_of(), view(destination), {}).payload_missing


def test_another_algorithm_alone_is_no_other_payload() -> None:
    destination = with_image(hash_algo="md5", hash_value="ab" * 16)
    ended = apply.ensure("image", document_of(), view(destination), {})
    assert (ended.outcome, ended.reason, destination.writes) == ("unchanged", None, [])


def test_images_of_one_name_are_told_apart_by_their_payload() -> None:
    source, destination = with_image(b"one"), infrastructure()
    seed_image(source, "image", b"two")
    first = migrate(flat(exported(source)), view(destination))
    assert {row["size"] for row in ours(destination)} == {3}
    assert len({row["hash_value"] for row in ours(destination)}) == 2
    destination.writes.clear()
    again = migrate(flat(exported(source))[::-1], view(destination), claims=False)
    assert {key: ended.destination_id for key, ended in again.items()} == {
        k: e.destination_id for k, e in first.items()
    }
    assert destination.writes == []


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"status": "queued", "size": None}, "it's queued"),
        ({"status": "saving", "size": None}, "it's saving"),
        ({"properties": {"block_device_mapping": "[{}]"}}, "volume snapshots"),
    ],
)
def test_what_has_no_payload_of_its_own_stays_and_is_named(attributes: dict[str, Any], why: str) -> None:
    look = view(with_image(**attributes))
    assert [record["name"] for record in look.records("image")] == ["image"]
    assert documents_in("image", look) == []
    (staying,) = look.staying
    assert staying[:1] + staying[2:3] + staying[4:] == ("image", "image", "image")
    assert why in staying.reason


# -- ids of our choice -----------------------------------------------------------------------------------------


def test_an_image_gets_the_id_that_was_chosen_and_is_not_made_twice() -> None:
    document, destination = document_of(), infrastructure()
    hints = {"new_id": str(uuid.uuid4())}
    late = view(destination)
    late.records("image")  # it has looked before the other try's request took effect
    assert apply.ensure("image", document, view(destination), hints).destination_id == hints["new_id"]
    ended = apply.ensure("image", document, late, hints)
    assert (ended.outcome, ended.destination_id) == ("created", hints["new_id"])
    assert len(ours(destination)) == 1


# -- members and visibility ------------------------------------------------------------------------------------


def shared_with(*names: str, **attributes: Any) -> tuple[Document, Cloud]:
    """The document of an image that is shared with these projects, and a cloud where it has arrived."""
    source = with_image(visibility="shared")
    ours(source)[0]["members"] = partners(source, *names)
    (document,) = exported(source, admin=True)["image"]
    destination = infrastructure()
    migrate([document], view(destination, admin=True))
    return document, destination


def test_members_come_in_the_order_of_their_names_whatever_their_ids() -> None:
    source = with_image(visibility="shared")
    ids = {name: source.seed(Project, id=id_, name=name)["id"] for id_, name in (("2", "anna"), ("1", "bob"))}
    ours(source)[0]["members"] = [ids["bob"], ids["anna"]]
    (document,) = exported(source, admin=True)["image"]
    assert [ref["name"] for ref in document["params"]["members"]] == ["anna", "bob"]


def test_members_of_the_destination_stay() -> None:
    document, destination = shared_with("partner")
    (row,) = ours(destination)
    row["members"] += partners(destination, "partner2")
    destination.writes.clear()
    assert apply.ensure("image", document, view(destination, admin=True), {}).outcome == "unchanged"
    assert destination.writes == []


def test_a_new_member_is_added_to_those_that_are_there() -> None:
    document, destination = shared_with("partner")
    document["params"]["members"].append({"name": "partner2", "project_name": None, "domain_name": None})
    ended = apply.ensure("image", document, view(destination, admin=True), {})
    assert [change["field"] for change in ended.changes] == ["members"]
    assert ours(destination)[0]["members"] == partners(destination, "partner", "partner2")


def test_members_that_nobody_here_knows_are_left_out_with_a_note() -> None:
    document, destination = shared_with("partner")
    document["params"]["members"].append({"name": "nowhere", "project_name": None, "domain_name": None})
    ended = apply.ensure("image", document, view(destination, admin=True), {})
    assert (ended.outcome, len(ended.notes)) == ("unchanged", 1)
    assert "1 members were left out" in ended.notes[0]


@pytest.mark.parametrize("there", [False, True], ids=["new", "there already"])
def test_members_of_an_image_that_is_no_longer_shared_are_left_out_with_a_note(there: bool) -> None:
    document, destination = shared_with("partner")
    if not there:
        destination = infrastructure()
    document["params"]["visibility"] = "private"
    ended = apply.ensure("image", document, view(destination, admin=True), {})
    assert ended.outcome == ("updated" if there else "created")
    assert [note for note in ended.notes if "members" in note]
    again = apply.ensure("image", document, view(destination, admin=True), {})
    assert (again.outcome, again.changes) == ("unchanged", [])


def test_a_tenants_export_leaves_members_behind_with_a_note() -> None:
    source = with_image(visibility="shared")
    ours(source)[0]["members"] = partners(source, "partner", "partner2")
    look = view(source)
    (document,) = documents_in("image", look)
    assert document["params"]["members"] is None
    (note,) = look.notes
    assert "2 members stay behind" in note


def test_a_tenant_gets_a_public_image_as_his_own_with_a_note() -> None:
    document, destination = document_of(visibility="public"), infrastructure()
    ended = apply.ensure("image", document, view(destination), {})
    assert ended.outcome == "created"
    assert "administrator" in ended.notes[0]
    assert ours(destination)[0]["visibility"] == "shared"  # Glance's default
    assert apply.ensure("image", document, view(destination), {}).outcome == "unchanged"


# -- properties --------------------------------------------------------------------------------------------------


def test_properties_of_the_destination_stay() -> None:
    destination = with_image(properties={"theirs": "1", "both": "old"})
    ended = apply.ensure("image", document_of(properties={"both": "new"}), view(destination), {})
    assert ended.outcome == "updated"
    assert ours(destination)[0]["properties"] == {"theirs": "1", "both": "new"}


def test_what_the_source_keeps_for_itself_does_not_cross() -> None:
    own = {"base_image_ref": "b", "os_glance_import_task": "t", "stores": "s", "user_id": "u"}
    assert document_of(properties={**own, "kept": "1"})["params"]["properties"] == {"kept": "1"}


def test_properties_whose_names_only_begin_like_those_cross() -> None:
    free = {"filesystem": "ext4", "schema_version": "2", "self_test": "yes", "user_id_range": "1000"}
    assert document_of(properties=free)["params"]["properties"] == free


def test_a_signature_is_left_out_with_a_note() -> None:
    document, destination = document_of(properties={"img_signature": "x", "kept": "1"}), infrastructure()
    ended = apply.ensure("image", document, view(destination), {})
    assert "signature" in ended.notes[0]
    assert ours(destination)[0]["properties"] == {"kept": "1"}
    assert apply.ensure("image", document, view(destination), {}).outcome == "unchanged"


@pytest.mark.parametrize("text", ["yes", "no", "true", "False", "1"])
def test_a_property_is_the_text_that_glance_keeps(text: str) -> None:
    """openstacksdk makes a boolean of it, and takes any text for true."""
    shown = Image.existing(id="i", name="i", os_require_quiesce=text, hw_boot_menu=text)
    known = record("image", shown)
    assert (known["os_require_quiesce"], known["is_hw_boot_menu_enabled"]) == (text, text)
