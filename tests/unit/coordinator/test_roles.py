"""What clients may ask for: by role, by cloud and project; and the file that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stackferry.errors import Error
from stackferry.messages import HOST_ACTIONS, LETTER_ACTIONS
from stackferry.phases import ACTIONS
from stackferry.roles import EVERYWHERE, NEEDS, ROLES, Client, Places, refused
from stackferry.topology import Enrolled
from stackferry_coordinator.trust.clients import Clients

SIDES = {"source": {"cloud": "old", "project": "web"}, "destination": {"cloud": "new", "project": "web"}}
MIGRATION = {**SIDES, "labels": {"team": "web", "wave": "1"}}
PLACES = Places(tuple(SIDES.values()))


def allowed(role: str) -> set[tuple[str, str]]:
    """(request, action) of all that a role may ask for."""
    actions: dict[str, Any] = {
        "control-migration": ACTIONS,
        "control-host": HOST_ACTIONS,
        "control-dead-letters": LETTER_ACTIONS,
    }
    asked = [(name, action) for name in NEEDS for action in actions.get(name, ("",))]
    return {
        (name, action) for name, action in asked if not refused(Client(role), name, {"action": action}, [MIGRATION])
    }


def test_each_role_may_what_the_one_below_may_and_only_admins_take_away() -> None:
    viewer, operator, admin = map(allowed, ROLES)
    assert viewer == {("check-cloud", "")}
    assert admin - operator == {
        ("control-migration", "undo"), ("control-host", "forget"), ("clean-up-source", ""), ("forget-migrations", ""),
        ("control-dead-letters", "drop"),
    }  # fmt: skip
    assert {("request-migration", ""), ("submit-documents", ""), ("control-host", "drain")} < operator
    assert {action for name, action in admin if name == "control-migration"} == set(ACTIONS)


@pytest.mark.parametrize(
    ("limits", "may"),
    [
        ({}, True),
        ({"clouds": frozenset({"old", "new"})}, True),
        ({"clouds": frozenset({"old"})}, False),
        ({"clouds": frozenset()}, False),
        ({"projects": frozenset({"web"})}, True),
        ({"projects": frozenset({"shop"})}, False),
        ({"clouds": frozenset({"old", "new"}), "projects": frozenset({"web"})}, True),
        ({"labels": {"team": "web"}}, True),
        ({"labels": {"team": "web", "wave": "2"}}, False),
        ({"labels": {"owner": ""}}, False),
    ],
)
def test_a_client_touches_only_its_clouds_projects_and_labels(limits: dict[str, Any], may: bool) -> None:
    client = Client("operator", **limits)
    assert (refused(client, "request-migration", {}, [MIGRATION]) is None) == may
    assert client.may_see(MIGRATION) == may
    if "labels" not in limits:
        for name in ("check-cloud", "control-host"):
            assert (refused(client, name, {}, PLACES) is None) == may


@pytest.mark.parametrize("limits", [{"clouds": frozenset({"old"})}, {"clouds": frozenset()},
                                    {"projects": frozenset({"web"})}, {"labels": {"team": "web"}}])  # fmt: skip
def test_who_is_kept_to_anything_sees_no_parked_messages_since_these_may_be_anybodys(limits: dict[str, Any]) -> None:
    for name in ("describe-dead-letters", "control-dead-letters"):
        assert refused(Client("admin", **limits), name, {"action": "retry"}, EVERYWHERE) is not None
        assert refused(Client("admin"), name, {"action": "retry"}, EVERYWHERE) is None


def test_who_is_kept_to_labels_steers_no_host_since_hosts_have_none() -> None:
    client = Client("admin", labels={"team": "web"})
    assert refused(client, "control-host", {"action": "drain"}, PLACES) is not None
    assert refused(client, "check-cloud", {}, PLACES) is None


def test_a_place_that_names_no_project_may_be_any() -> None:
    client = Client("operator", projects=frozenset({"web"}))
    assert refused(client, "request-migration", {}, [{"source": {"cloud": "old"}}]) is not None
    assert refused(client, "request-migration", {}, [{"source": {"cloud": "old", "project": "web"}}]) is None


def test_whom_the_file_does_not_name_may_nothing(tmp_path: Path) -> None:
    assert Clients()("anybody") == Client("admin")
    for user in ("", "exporter", "coordinator", Enrolled("s1", "src").user):  # nobody, a service, a host
        assert Clients()(user) is None
    file = tmp_path / "clients.yaml"
    file.write_text("clients:\n  night: {role: operator, clouds: [old], labels: {a: b}}\n  eyes: {role: viewer}\n")
    clients = Clients(str(file))
    assert clients("night") == Client("operator", frozenset({"old"}), labels={"a": "b"})
    assert clients("eyes") == Client("viewer")
    assert clients("stranger") is None
    assert "no such client" in str(refused(None, "request-migration", {}, [MIGRATION]))


def test_the_file_is_read_again_when_it_changes_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "clients.yaml"
    file.write_text("clients: {a: {role: viewer}}")
    clients = Clients(str(file))
    for broken in ("clients: {a: {role: king}}", "[", "clients: {a: {role: admin}, more: 1}"):
        file.write_text(broken)
        assert clients("a") == Client("viewer")
    file.unlink()
    assert clients("a") == Client("viewer")
    file.write_text("clients: {a: {role: admin}}")
    assert clients("a") == Client("admin")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "can't be read"),
        ("[", "can't be read"),
        ("clients: {a: {role: king}}", r"role.*Must be one of"),
        ("clients: {a: {}}", "role.*Missing data"),
        ("clients: {a: {role: admin, cloud: x}}", "cloud.*Unknown field"),
        ("roles: {}", "clients.*Missing data"),
        ("", "Invalid input type"),
    ],
)
def test_a_file_that_cannot_be_used_at_the_start_is_named(tmp_path: Path, content: str | None, says: str) -> None:
    file = tmp_path / "clients.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Error, match=rf"(?s)STACKFERRY_CLIENTS: {file}.*{says}"):
        Clients(str(file))
