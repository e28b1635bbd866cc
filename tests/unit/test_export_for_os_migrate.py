"""``stackferry export --os-migrate``: what OS Migrate can't be given is left out, and named."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from stackferry.documents import read_directory
from stackferry_cli.commands import data

GROUP = {"name": "web", "project_name": "%auth%", "domain_name": "%auth%"}


def rule(id_: str, **params: Any) -> dict[str, Any]:
    return {
        "type": "openstack.network.SecurityGroupRule", "_info": {"id": id_}, "_migration_params": {},
        "params": {"security_group_ref": GROUP, "direction": "ingress", "ether_type": "IPv4", **params},
    }  # fmt: skip


class Ferry:
    """A client whose one export has ended."""

    def __init__(self, *documents: dict[str, Any]) -> None:
        self.documents = documents

    def migrate(self, *_: Any, **__: Any) -> str:
        return "m1"

    def show(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"phase": "done", "steps": [{"action": "keep", "document": document} for document in self.documents]}


def test_a_rule_that_would_get_wider_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offices = {"name": "[prod] offices", "project_name": "%auth%", "domain_name": "%auth%"}
    ferry = Ferry(rule("1", remote_ip_prefix="10.0.0.0/8"), rule("2", remote_address_group_ref=offices))
    monkeypatch.setattr(data, "client", lambda: nullcontext(ferry))
    monkeypatch.setattr(data.live, "follow", lambda *_, **__: None)
    data.export(tmp_path, for_os_migrate=True)
    shown = capsys.readouterr()
    assert "left out: security_group_rule 'web: ingress IPv4 [prod] offices': OS Migrate doesn't know" in shown.err
    assert "1 resources exported" in shown.out
    assert [document["_info"]["id"] for document in read_directory(tmp_path).documents] == ["1"]
