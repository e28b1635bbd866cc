"""Ids that somebody else has chosen become parts of steps' keys: none may look like a part that we make."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from stackferry.documents.directory import read_directory
from stackferry.errors import InvalidDocument, InvalidMessage
from stackferry.messages import SubmitDocuments
from stackferry_clouds.export import documents
from stackferry_clouds.view import ProjectView

BAD: list[Any] = [
    "x/undo/y",
    "x/transfer",
    "x/finish",
    "x/surplus/y",
    "/",
    "a\x00b",
    "a\nb",
    "",
    "x" * 256,
    7,
    {},
    ["x"],
    True,
]
GOOD = ["5d1f3a52", "my key (2)", "ключ", "x" * 255, None]


def network(id_: Any) -> dict[str, Any]:
    return {"type": "openstack.network.Network", "params": {"name": "n"}, "_info": {"id": id_}, "_migration_params": {}}


def server_with(port_id: Any) -> dict[str, Any]:
    port = {"type": "openstack.network.ServerPort", "params": {}, "_info": {"id": port_id}}
    params = {"name": "s", "flavor_ref": {"name": "f"}, "ports": [port]}
    return {"type": "openstack.compute.Server", "params": params, "_info": {"id": "s"}, "_migration_params": {}}


def sent(document: dict[str, Any]) -> None:
    SubmitDocuments.make(
        "tests", {"migration": "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d", "part": 1, "documents": [document]}
    )


@pytest.mark.parametrize("id_", BAD, ids=repr)
def test_an_id_that_no_step_can_be_named_by_is_refused_by_its_field(id_: Any, tmp_path: Path) -> None:
    for document in (network(id_), server_with(id_)):
        with pytest.raises(InvalidMessage) as caught:
            sent(document)
        assert "'_info': {'id':" in str(caught.value.errors)
    (tmp_path / "networks.yml").write_text(yaml.safe_dump({"os_migrate_version": "1.0", "resources": [network(id_)]}))
    with pytest.raises(InvalidDocument, match="_info.id"):
        read_directory(tmp_path)


@pytest.mark.parametrize("id_", GOOD, ids=repr)
def test_any_other_id_is_taken(id_: Any) -> None:
    sent(network(id_))
    sent(server_with(id_))


def test_what_has_such_an_id_at_the_source_stays_behind() -> None:
    found = [SimpleNamespace(id=id_, name=id_, type="ssh", public_key="k", user_id="u") for id_ in ("fine", "x/undo/y")]
    view = ProjectView(SimpleNamespace(compute=SimpleNamespace(keypairs=lambda: found)), "p")
    assert [document["_info"]["id"] for document in documents("keypair", view)] == ["fine"]
    assert [(one.name, "slash" in one.reason) for one in view.staying] == [("x/undo/y", True)]
