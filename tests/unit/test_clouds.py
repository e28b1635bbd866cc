"""Sessions with clouds: one that is silent holds up nobody else, and what is kept is still good."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from keystoneauth1 import exceptions as ks
from stackferry_clouds.connections import Clouds, no_other_retries
from stackferry_clouds.failures import CloudError


def access(project: str | None = "p") -> Any:
    return SimpleNamespace(project_id=project, role_names=["member"])


class Connection:
    """What ``get_access`` of each of its sessions answers, in turn."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.session = self.auth = self

    def get_access(self, session: Any) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Made(Clouds):
    """Clouds whose connections are made here."""

    def __init__(self, connect: Any) -> None:
        super().__init__(4, 60)
        self.connect = connect

    def _connected(self, place: Any, timeout: float, tries: int) -> Any:
        return self.connect(place)


def test_a_cloud_that_does_not_answer_holds_up_nobody_else() -> None:
    answers = threading.Event()

    def connect(place: Any) -> Any:
        if place["cloud"] == "silent":
            assert answers.wait(30)
        return Connection(access())

    clouds = Made(connect)
    with ThreadPoolExecutor(1) as pool:
        silent = pool.submit(clouds.view, {"cloud": "silent"}, "run")
        assert clouds.view({"cloud": "well"}, "run").cloud == "well"
        assert not silent.done()
        answers.set()
        assert silent.result(30).cloud == "silent"


def test_a_connection_whose_credentials_are_refused_by_now_is_made_anew() -> None:
    made = [Connection(access(), ks.Unauthorized("expired")), Connection(access("q"))]
    clouds = Made(lambda place: made.pop(0))
    assert clouds.view({"cloud": "c"}, "one").project_id == "p"
    assert clouds.view({"cloud": "c"}, "two").project_id == "q"


def test_credentials_without_a_project_are_named() -> None:
    with pytest.raises(CloudError, match="name no project"):
        Made(lambda place: Connection(access(None))).check({"cloud": "c"})


def test_only_the_adapter_repeats_requests() -> None:
    config = {"image_status_code_retries": 5, "compute_connect_retries": 3, "connect_retries": 2, "region_name": "r"}
    no_other_retries(config)
    assert config == {"image_status_code_retries": 0, "compute_connect_retries": 0, "connect_retries": 0,
                      "status_code_retries": 0, "region_name": "r"}  # fmt: skip


def test_no_connection_has_other_retries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    auth = {"auth_url": "http://127.0.0.1:1/v3", "username": "u", "password": "p", "project_name": "p"}
    (file := tmp_path / "clouds.yaml").write_text(
        yaml.safe_dump({"clouds": {"c": {"auth": auth, "connect_retries": 3}}})
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    config = Clouds(2, 5)._connected({"cloud": "c"}, 5, 1).config
    for service in ("image", "compute", "network", "block-storage"):
        assert not config.get_status_code_retries(service)
        assert not config.get_connect_retries(service)


def refused(monkeypatch: pytest.MonkeyPatch, unscoped: Any) -> str:
    """What is said when keystone gives no token for the project, and this for the password alone."""
    asked: list[dict[str, Any]] = []

    def password(**auth: Any) -> Any:
        asked.append(auth)
        return Connection(unscoped)

    monkeypatch.setattr("keystoneauth1.identity.generic.Password", password)
    connection = Connection(ks.Unauthorized("The request you have made requires authentication."))
    auth = {"auth_url": "http://east", "username": "admin", "password": "tweety", "project_name": "admin"}
    connection.config = SimpleNamespace(config={"auth": auth}, region_name="")
    with pytest.raises(CloudError) as caught:
        Made(lambda place: connection).view({"cloud": "east", "project": "acme"}, "run")
    assert "project_name" not in asked[0]
    assert "tweety" not in str(caught.value)
    return str(caught.value)


def test_an_admin_without_a_role_in_the_project_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, SimpleNamespace(username="admin"))
    assert "the password of 'admin' is right, and they have no role in project 'acme'" in said
    assert "openstack role add --user admin --project acme member" in said


def test_a_wrong_password_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "refuses the credentials" in refused(monkeypatch, ks.Unauthorized("no"))


def test_who_one_is_at_a_cloud_is_answered_without_secrets() -> None:
    who = SimpleNamespace(
        project_id="p", project_name="prod", project_domain_name="Default", project_domain_id="default", user_id="u",
        username="me", user_domain_name="Default", user_domain_id="default", role_names=["member"],
        service_catalog=SimpleNamespace(catalog=[{"type": "image"}]),
    )  # fmt: skip
    connection = Connection(who)
    auth = {"auth_url": "https://me:tweety@east:5000/v3", "password": "tweety"}
    connection.config = SimpleNamespace(config={"auth": auth}, region_name="one")
    found = Made(lambda place: connection).check({"cloud": "east"})
    assert found["auth_url"] == "https://east:5000/v3"
    assert (found["region"], found["user"], found["project"], found["project_domain"]) == (
        "one", "me", "prod", "Default",
    )  # fmt: skip
    assert "tweety" not in str(found)
