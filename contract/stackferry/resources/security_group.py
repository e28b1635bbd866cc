"""Security groups. Source: Networking API v2.0, "Security groups"."""

from __future__ import annotations

from typing import Any

from .fields import Flag, Many, Text
from .hints import Hints
from .kind import Kind, Replaced
from .view import Record, View

#: what there is to say of an automatic rule
OF_AUTOMATIC = ("direction", "ether_type", "remote_group_id", "description")


class SecurityGroup(Kind):
    """A named set of rules. Neutron puts rules of its own into a new group, and into every ``default`` group.

    ``hints.automatic_rules`` lists those that the source still has (see :func:`automatic`); the others are
    removed from a group that is made, or a group that was locked down would arrive open; from one that is here already
    only with ``hints.prune``. Sharing is a matter of RBAC policies, which don't cross.
    """

    type = "openstack.network.SecurityGroup"
    file = "security_groups"
    info = ("id", "project_id", "created_at", "updated_at", "revision_number", "rules")
    reads = ("is_shared", "security_group_rules")

    name = Text("name; every project has one named default")
    description = Text("free text")
    stateful = Flag("whether answers to allowed traffic are allowed")
    tags = Many(Text(), "labels")

    @classmethod
    def taken(cls, record: Record) -> Record:
        """How many rules it has is enough: they're resources of their own."""
        rules = record.pop("security_group_rules")
        return {**record, "rules": len(rules or ())}

    @classmethod
    def fingerprint(cls, view: View, record: Record) -> list[str] | None:
        """Groups of one name differ by their rules, but for those that every group has."""
        listed = view.records_of("security_group_rule", "security_group_id", record["id"])
        rules = [rule for rule in listed if automatic(record["id"], rule) is None]
        keys = ("direction", "ether_type", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix")
        return sorted(" ".join(str(rule[key]) for key in keys if rule[key] is not None) for rule in rules)

    @classmethod
    def create(cls, view: View, body: dict[str, Any], hints: Hints) -> Any:
        """Create, then take away the automatic rules that the source doesn't have."""
        group = super().create(view, body, hints)
        _remove(view, _unwanted(group.id, group.security_group_rules or [], hints))
        return group

    @classmethod
    def extra_changes(cls, view: View, record: Record, hints: Hints) -> list[dict[str, Any]]:
        """Automatic rules here that the source took away."""
        unwanted = _superfluous(view, record, hints)
        return [{"field": "automatic_rules", "from": automatic(record["id"], r), "to": None} for r in unwanted]

    @classmethod
    def also_replaced(cls, view: View, record: Record, hints: Hints) -> Replaced:
        gone = [{n: rule[n] for n in OF_AUTOMATIC} for rule in _superfluous(view, record, hints)]
        return {"automatic_rules": [gone, []]} if gone else {}

    @classmethod
    def bring_back(cls, view: View, record: Record, body: dict[str, Any]) -> None:
        """Make the rules anew that were taken away."""
        here = [{n: rule[n] for n in OF_AUTOMATIC} for rule in _rules(view, record)]
        for rule in body.pop("automatic_rules", ()):
            if rule not in here:
                view.proxy("network").create_security_group_rule(security_group_id=record["id"], **_said(rule))
                view.forget("security_group_rule")
        if body:
            super().bring_back(view, record, body)

    @classmethod
    def update(cls, view: View, record: Record, body: dict[str, Any], hints: Hints) -> Any:
        """Set the fields, and take away the automatic rules that the source doesn't have."""
        _remove(view, _superfluous(view, record, hints))
        return super().update(view, record, body, hints)


def automatic(group_id: str, rule: dict[str, Any]) -> str | None:
    """Name an automatic rule (``egress IPv4`` ...); None for any other rule."""
    if any(rule.get(f) for f in ("protocol", "port_range_min", "port_range_max", "remote_ip_prefix")):
        return None
    remote = rule.get("remote_group_id")
    if rule.get("remote_address_group_id") or (remote if rule["direction"] == "egress" else remote != group_id):
        return None
    return f"{rule['direction']} {rule.get('ether_type') or rule.get('ethertype')}"


def _superfluous(view: View, record: Record, hints: Hints) -> list[dict[str, Any]]:
    """What is to be taken away from a group that is here already."""
    if hints.get("automatic_rules") is None or not hints.get("prune"):
        return []
    return _unwanted(record["id"], _rules(view, record), hints)


def _rules(view: View, record: Record) -> list[Record]:
    return view.records_of("security_group_rule", "security_group_id", record["id"])


def _said(rule: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in rule.items() if value}


def _unwanted(group_id: str, rules: Any, hints: Hints) -> list[dict[str, Any]]:
    wanted = hints.get("automatic_rules")
    if wanted is None:
        return []
    return [r for r in rules if (name := automatic(group_id, r)) is not None and name not in wanted]


def _remove(view: View, rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        view.proxy("network").delete_security_group_rule(rule["id"], ignore_missing=True)
        view.forget("security_group_rule", rule["id"])
