"""Whom the gateway takes for whom, by what Keystone shows of a token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from marshmallow import ValidationError
from stackferry.errors import Error
from stackferry.roles import Client
from stackferry_gateway.keystone import Rule, Shown, person_of, read
from stackferry_gateway.problems import Problem

ADMIN, MOVER = Client("admin"), Client("operator")
READER = Client("viewer")
RULES = (
    Rule("admin", "ops", "Default", ADMIN), Rule("member", client=MOVER), Rule("reader", domain="Corp", client=READER),
)  # fmt: skip


def token(*roles: str, project: str | None = "web", domain: str = "Default", **more: Any) -> dict[str, Any]:
    scope = {"project": {"name": project, "domain": {"name": domain}}} if project else {}
    user = {"id": "u1", "name": "ann", "domain": {"name": "Default"}}
    return {"user": user, "roles": [{"name": one} for one in roles], "expires_at": "2030-01-01T00:00:00.000000Z",
            **scope, **more}  # fmt: skip


@pytest.mark.parametrize(("shown", "client"), [
    (token("admin", project="ops"), ADMIN),
    (token("Admin", "member", project="ops"), ADMIN),
    (token("admin", project="ops", domain="Corp"), None),
    (token("admin", project="web"), None),
    (token("admin", "member"), MOVER),
    (token("member", project=None), MOVER),
    (token("members"), None),
    (token(), None),
    ({**token("reader", project=None), "domain": {"name": "Corp"}}, READER),
    (token("reader", project="web", domain="Corp"), READER),
    ({**token("reader", project=None), "system": {"all": True}}, None),
    ({"user": {"id": "u1"}, "expires_at": "2030-01-01T00:00:00Z", "catalog": []}, None),
])  # fmt: skip
def test_the_first_rule_that_fits_counts(shown: dict[str, Any], client: Client | None) -> None:
    if client is None:
        with pytest.raises(Problem) as found:
            person_of(Shown().load(shown), RULES, "d")
        assert found.value.status == 403
    else:
        assert person_of(Shown().load(shown), RULES, "d").client == client


def test_names_are_nobody_elses() -> None:
    def named(**user: Any) -> str:
        return person_of(Shown().load(token("member", user=user)), RULES, "d").name

    assert named(id="u1", name="ann", domain={"name": "Default"}) == "keystone:u1:ann@Default"
    assert named(id="u2", name="ann", domain={"name": "Default"}) != named(
        id="u1", name="ann", domain={"name": "Default"}
    )
    assert len(named(id="u" * 64, name="x" * 300)) == 255


@pytest.mark.parametrize("wrong", [
    {"expires_at": "soon"}, {"expires_at": None}, {"roles": [None]}, {"roles": "member"}, {"project": "web"},
    {"user": None}, {"user": []}, {"user": {"name": "ann"}}, {"user": {"id": ""}}, {"user": {"id": None}}, {"roles": [{"name": 1}]}, {"domain": []},
])  # fmt: skip
def test_what_keystone_would_not_say_is_not_believed(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Shown().load(token("member") | wrong)


RULE = {"keystone_role": "member", "role": "operator"}


@pytest.mark.parametrize(("said", "wrong"), [
    ({}, "auth_url"),
    ({"auth_url": "keystone:5000", "people": [RULE]}, "auth_url"),
    ({"auth_url": "ftp://keystone/v3", "people": [RULE]}, "auth_url"),
    ({"auth_url": "http://keystone:5000/v3", "people": []}, "people"),
    ({"auth_url": "http://keystone:5000/v3", "people": [{"role": "admin"}]}, "keystone_role"),
    ({"auth_url": "http://keystone:5000/v3", "people": [{**RULE, "role": "root"}]}, "role"),
    ({"auth_url": "http://keystone:5000/v3", "people": [{**RULE, "project": "web"}]}, "each domain may have one"),
    ({"auth_url": "http://keystone:5000/v3", "people": [{**RULE, "sha256": "x"}]}, "sha256"),
    ({"auth_url": "http://keystone:5000/v3", "people": [RULE], "cacert": "/nowhere"}, "cacert /nowhere can't be used"),
    ({"auth_url": "http://keystone:5000/v3", "people": [RULE], "password": "x"}, "password"),
])  # fmt: skip
def test_a_file_that_makes_no_sense_says_where(tmp_path: Path, said: dict[str, Any], wrong: str) -> None:
    file = tmp_path / "keystone.yaml"
    file.write_text(yaml.safe_dump(said))
    with pytest.raises(Error, match="STACKFERRY_KEYSTONE: .*keystone.yaml") as found:
        read(file)
    assert wrong in str(found.value)


def test_versions_in_addresses_are_one(tmp_path: Path) -> None:
    file = tmp_path / "keystone.yaml"
    for url in ("http://keystone/identity", "http://keystone/identity/", "http://keystone/identity/v3/"):
        file.write_text(yaml.safe_dump({"auth_url": url, "people": [RULE]}))
        assert read(file).auth_url == "http://keystone/identity"
