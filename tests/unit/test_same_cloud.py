"""A variables file for another cloud or project than the running system's is refused, and says why."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from stackferry.errors import Error
from stackferry_cli import app
from stackferry_cli.commands import data, hosts, migrations
from stackferry_cli.os_migrate import check
from typer.testing import CliRunner

CANARY = "tweety-4711"
ANSWER = {
    "cloud": "src", "auth_url": "https://src.example:5000/v3", "region": "one", "user": "me", "user_id": "u1",
    "user_domain": "Default", "user_domain_id": "default", "project": "a", "project_id": "p1",
    "project_domain": "Default", "project_domain_id": "default", "application_credential_id": None, "roles": ["member"],
}  # fmt: skip
AUTH = {"auth_url": "https://src.example:5000/v3/", "username": "me", "password": CANARY, "project_name": "a",
        "project_domain_name": "default", "user_domain_name": "Default"}  # fmt: skip


class Ferry:
    """The services, which find this of both clouds."""

    def __init__(self, **found: Any) -> None:
        self.found, self.asked = ANSWER | found, []

    def check(self, place: Any, side: str) -> dict[str, Any]:
        self.asked.append((place, side))
        return self.found


def checked(auth: dict[str, Any], found: dict[str, Any] | None = None, **variables: Any) -> list[Any]:
    ferry: Any = Ferry(**(found or {}))
    said = {"os_migrate_src_auth": AUTH | auth, **variables}
    check(ferry, said, {"src": {"cloud": "east"}, "dst": {"cloud": "dst"}})
    return ferry.asked


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"auth_url": "https://SRC.example:5000"},
        {"auth_url": "https://src.example:5000/v2.0"},
        {"username": None, "user_id": "u1"},
        {"project_name": None, "project_id": "p1"},
        {"project_name": None, "tenant_name": "a"},
    ],
)
def test_the_same_cloud_in_other_words_is_the_same(auth: dict[str, Any]) -> None:
    assert checked(auth) == [({"cloud": "east"}, "source")]


@pytest.mark.parametrize(
    ("auth", "named"),
    [
        ({"auth_url": "https://other.example:5000/v3"}, "os_migrate_src_auth.auth_url"),
        ({"auth_url": "http://src.example:5000/v3"}, "os_migrate_src_auth.auth_url"),
        ({"auth_url": "https://src.example/v3"}, "os_migrate_src_auth.auth_url"),
        ({"project_name": "b"}, "os_migrate_src_auth.project_name is 'b', and there 'a'"),
        ({"project_name": "A"}, "os_migrate_src_auth.project_name"),
        ({"project_id": "p2"}, "os_migrate_src_auth.project_id"),
        ({"tenant_name": "b"}, "os_migrate_src_auth.tenant_name"),
        ({"project_domain_name": "acme"}, "os_migrate_src_auth.project_domain_name"),
        ({"username": "you"}, "os_migrate_src_auth.username is 'you', and there 'me'"),
        ({"user_domain_name": "acme"}, "os_migrate_src_auth.user_domain_name"),
    ],
)
def test_another_cloud_or_project_is_refused_by_name(auth: dict[str, Any], named: str) -> None:
    with pytest.raises(Error, match="cloud 'east' of the running system is not the one") as caught:
        checked(auth)
    assert named in str(caught.value)
    assert "stackferry up --vars FILE" in str(caught.value)
    assert "--source" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_another_region_is_refused() -> None:
    with pytest.raises(Error, match="os_migrate_src_region_name is 'two', and there 'one'"):
        checked({}, os_migrate_src_region_name="two")
    checked({}, os_migrate_src_region_name="one")


def test_a_password_in_a_url_is_not_shown() -> None:
    with pytest.raises(Error) as caught:
        checked({"auth_url": f"https://me:{CANARY}@other.example:5000/v3"})
    assert CANARY not in str(caught.value)


def test_what_older_services_do_not_answer_is_not_compared() -> None:
    checked({}, {"auth_url": None, "user_domain": None, "project_domain": None})


def test_a_file_without_credentials_is_about_any_cloud() -> None:
    ferry: Any = Ferry()
    check(ferry, {"os_migrate_networks_filter": ["a"]}, {"src": {"cloud": "east"}, "dst": None})
    assert ferry.asked == []


def test_hosts_are_not_made_where_the_services_would_not_use_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "vars.yml"
    file.write_text(yaml.safe_dump({"os_migrate_src_auth": {**AUTH, "project_name": "B"}}))
    monkeypatch.setattr(hosts, "client", lambda: nullcontext(Ferry()))
    monkeypatch.setattr(hosts.connections, "connect", lambda *_: pytest.fail("nothing is asked of a cloud"))
    monkeypatch.setenv("STACKFERRY_AGENT_AMQP_URI", "amqp://u:p@192.0.2.1//")
    done = CliRunner().invoke(app.app, ["hosts", "deploy", "-s", "src", "--flavor", "m1", "--vars", str(file)])
    assert "os_migrate_src_auth.project_name is 'B', and there 'a'" in str(done.exception)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (data.export, {"source": "src"}),
        (data.plan, {"source": "src"}),
        (data.plan, {"directory": None}),
        (data.import_, {}),
        (migrations.migrate, {}),
    ],
)
def test_every_command_that_reads_the_file_checks_before_it_asks_for_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Any, words: dict[str, Any]
) -> None:
    auth = {**AUTH, "project_name": "B"}
    file = tmp_path / "vars.yml"
    said = {"os_migrate_src_auth": auth, "os_migrate_dst_auth": auth, "os_migrate_data_dir": str(tmp_path)}
    file.write_text(yaml.safe_dump(said))
    for module in (data, migrations):
        monkeypatch.setattr(module, "client", lambda: nullcontext(Ferry()))  # it can only be asked about clouds
    with pytest.raises(Error, match=r"os_migrate_\w+_auth.project_name is 'B', and there 'a'"):
        command(vars_file=file, **words)
