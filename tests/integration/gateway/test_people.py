"""Who may ask for what."""

from __future__ import annotations

import hashlib

import pytest
import yaml
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack

from .asking import NOBODYS, caller, made, phase, problem, request, token

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("headers", [
    {}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic dTpw"}, {"Authorization": "Bearer"},
    {"Authorization": f"Bearer {token('late')}"}, {"X-Auth-Token": token("root")},
], ids=["none", "wrong", "basic", "empty", "expired", "elsewhere"])  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/migrations", "/v1/events", f"/v1/migrations/{NOBODYS}/steps"])
def test_without_a_good_token_nothing_is_told(stack: Stack, headers: dict[str, str], path: str) -> None:
    with caller(stack, None) as nobody:
        response = nobody.get(path, headers=headers)
    problem(response, 401)
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_roles(stack: Stack) -> None:
    with caller(stack, "guest") as guest, caller(stack, "mover") as mover, caller(stack, "root") as root:
        problem(guest.post("/v1/migrations", json=request()), 403)
        migration = made(mover)
        assert guest.get(f"/v1/migrations/{migration}").status_code == 200
        problem(guest.post(f"/v1/migrations/{migration}/actions", json={"action": "cancel"}), 403)
        problem(mover.post(f"/v1/migrations/{migration}/actions", json={"action": "undo"}), 403)
        problem(mover.delete(f"/v1/migrations/{migration}"), 403)
        problem(
            mover.post(f"/v1/migrations/{migration}/cleanup", json={"workloads": ["server/x"], "names": ["x"]}), 403
        )
        assert mover.post(f"/v1/migrations/{migration}/actions", json={"action": "cancel"}).status_code == 202
        assert until(lambda: phase(root, migration) == "cancelled", 60)
        assert root.delete(f"/v1/migrations/{migration}").status_code == 204
        problem(root.get(f"/v1/migrations/{migration}"), 404)


def test_who_may_touch_some_clouds_or_labels_knows_of_nothing_else(stack: Stack) -> None:
    with caller(stack, "team") as team, caller(stack, "other") as other, caller(stack, "root") as root:
        mine, plain = made(team, name="mine"), made(root, name="plain")
        assert root.get(f"/v1/migrations/{mine}").json()["labels"] == {"team": "web"}
        for path in ("", "/steps", "/workloads", "/report", "/id-map", "/events"):
            problem(team.get(f"/v1/migrations/{plain}{path}"), 404)
            problem(other.get(f"/v1/migrations/{mine}{path}"), 404)
        problem(other.post(f"/v1/migrations/{mine}/actions", json={"action": "cancel"}), 404)
        problem(other.delete(f"/v1/migrations/{mine}"), 404)
        problem(other.post("/v1/migrations", json=request()), 403)
        problem(other.get("/v1/clouds/src/check"), 403)
        seen = [one["id"] for one in team.get("/v1/migrations").json()["items"]]
        assert mine in seen
        assert plain not in seen
        assert other.get("/v1/migrations").json() == {"items": [], "next": None}


def test_tokens_are_read_again(stack: Stack) -> None:
    before = stack.gateway.tokens_file.read_text()
    try:
        known = yaml.safe_load(before)
        known["tokens"].append({"name": "new", "role": "viewer",
                                "sha256": hashlib.sha256(token("new").encode()).hexdigest()})  # fmt: skip
        stack.gateway.tokens_file.write_text(yaml.safe_dump(known))
        with caller(stack, "new") as new:
            assert new.get("/v1/hosts").json() == {"items": []}
            stack.gateway.tokens_file.write_text("tokens: [{name: new")
            assert new.get("/v1/hosts").status_code == 200, "a file that can't be read changes nothing"
            stack.gateway.tokens_file.write_text(before)
            problem(new.get("/v1/hosts"), 401)
    finally:
        stack.gateway.tokens_file.write_text(before)


def test_a_folder_of_the_services_is_for_administrators_of_everything(stack: Stack) -> None:
    with caller(stack, "mover") as mover, caller(stack, "team") as team:
        for one in (mover, team):
            problem(one.post("/v1/migrations", json=request(mode="export", destination=None, image_blobs="/etc")), 403)


def test_a_label_has_one_value(stack: Stack) -> None:
    with caller(stack, "team") as team:
        made(team)
        assert team.get("/v1/migrations", params={"label": "team=web"}).json()["items"]
        for labels in (["team=db"], ["a=1", "a=2"]):
            assert team.get("/v1/migrations", params={"label": labels}).json() == {"items": [], "next": None}
