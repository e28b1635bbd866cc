"""The rules that a destination's groups have: a file without them takes none away, and undo brings back what went."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.clouds


def rules(tenant: Any, group: str = "default") -> list[tuple[Any, ...]]:
    """The rules of a group, without ids."""
    network, project = tenant.connect().network, tenant.connect().current_project_id
    (found,) = network.security_groups(name=group, project_id=project)
    return sorted(
        (r.direction, r.ether_type, str(r.protocol), r.port_range_min or 0, r.remote_group_id == found.id)
        for r in network.security_group_rules(security_group_id=found.id)
    )


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    """What somebody wrote: the groups default and web, and one rule of the first."""
    of = {"params": {"name": "default"}}
    group = {"name": "default", "project_name": None, "domain_name": None}
    rule = {"direction": "ingress", "ether_type": "IPv4", "protocol": "tcp", "port_range_min": 80,
            "port_range_max": 80, "remote_ip_prefix": "0.0.0.0/0", "security_group_ref": group}  # fmt: skip
    files = {
        "security_groups": [
            {"type": "openstack.network.SecurityGroup", **each} for each in (of, {"params": {"name": "web"}})
        ],
        "security_group_rules": [{"type": "openstack.network.SecurityGroupRule", "params": rule}],
    }
    for name, resources in files.items():
        content = {"os_migrate_version": "1.0.5", "resources": resources}
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump(content))
    return tmp_path


def test_a_file_with_one_rule_of_a_group_takes_no_other_away(by_hand: Path, destination: Any, cli: Any) -> None:
    before = rules(destination)
    assert len(before) == 4, "Neutron's own"
    assert "automatic_rules" not in cli("plan", by_hand, "-d", destination.entry)
    cli("import", by_hand, "-d", destination.entry)
    new = ("ingress", "IPv4", "tcp", 80, False)
    assert rules(destination) == sorted([*before, new])
    assert len(rules(destination, "web")) == 2, "those of any new group"


def test_pruning_is_planned_rule_by_rule_and_undone(by_hand: Path, destination: Any, cli: Any) -> None:
    before, web = rules(destination), destination.connect().network.create_security_group(name="web")
    planned = cli("plan", by_hand, "-d", destination.entry, "--prune")
    assert "update    security group default" in planned
    for name in ("egress IPv4", "egress IPv6", "ingress IPv4", "ingress IPv6"):
        assert f'automatic_rules: "{name}" → null' in planned
    assert planned.count("automatic_rules") == 4, "the files hold no rule of web"
    cli("import", by_hand, "-d", destination.entry, "--prune")
    assert rules(destination) == [("ingress", "IPv4", "tcp", 80, False)]
    assert len(rules(destination, "web")) == 2

    (migration,) = [m["id"] for m in json.loads(cli("list", "-o", "json"))
                    if m["mode"] == "run" and m["destination"]["cloud"] == destination.entry]  # fmt: skip
    cli("undo", migration, "--yes")
    cli("watch", migration)
    assert rules(destination) == before
    assert destination.connect().network.get_security_group(web.id).name == "web"
