"""The page as a browser gets it: who comes in, what may be done by which form, and what names may hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import yaml
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack

from .asking import imported, made, phase, token

pytestmark = pytest.mark.integration
HOSTILE = "<img src=x onerror=alert(1)>\" ' & \x1b[31m{{7*7}}</title><script>alert(2)</script>"
PAGE_BYTES = 100_000


class Read(HTMLParser):
    """A page as a browser reads it: its forms, its links, its texts, what it loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = dict(attrs)
        self.tags.append((tag, about))
        if tag == "form":
            self.forms.append({"": about.get("action") or ""})
        if tag in ("input", "button") and self.forms and about.get("name"):
            self.forms[-1][str(about["name"])] = about.get("value") or ""
        if tag == "a":
            self.links.append(about.get("href") or "")

    def handle_data(self, data: str) -> None:
        self.text += data

    def form(self, **says: str) -> dict[str, str]:
        (found,) = [one for one in self.forms if says.items() <= one.items()]
        return found


@contextmanager
def visitor(stack: Stack, person: str | None) -> Iterator[httpx.Client]:
    """A browser without JavaScript, whose person is signed in."""
    with httpx.Client(base_url=stack.gateway.url(), follow_redirects=True, timeout=60, trust_env=False) as client:
        if person:
            response = client.post("/sign-in", data={"token": token(person), "next": "/"})
            assert response.status_code == 200, response.text
        yield client


@pytest.fixture
def root(stack: Stack) -> Iterator[httpx.Client]:
    with visitor(stack, "root") as client:
        yield client


def read(client: httpx.Client, path: str) -> Read:
    response = client.get(path)
    assert response.status_code == 200, response.text
    return Read(response.text)


def send(client: httpx.Client, form: dict[str, str], **more: Any) -> httpx.Response:
    return client.post(form[""], data={**{name: value for name, value in form.items() if name}, **more})


def test_who_is_not_signed_in_sees_nothing_but_the_door(stack: Stack, http: httpx.Client) -> None:
    migration = made(http)
    with visitor(stack, None) as client:
        for path in ("/", "/hosts", "/trouble", "/new", f"/migrations/{migration}", f"/migrations/{migration}/report"):
            response = client.get(path)
            assert response.url.path == "/sign-in"
            assert {form[""] for form in Read(response.text).forms} == {"/sign-in"}
        for path in ("/new", f"/migrations/{migration}", "/hosts/h", "/sign-out"):
            assert client.post(path, data={"action": "cancel"}).status_code in (401, 403)
        assert client.get("/events").status_code == 401
        wrong = client.post("/sign-in", data={"token": "nobody's", "next": "/"})
        assert (wrong.status_code, "nobody has this token" in wrong.text) == (401, True)
        late = client.post("/sign-in", data={"token": token("late"), "next": "/"})
        assert (late.status_code, "expired" in late.text) == (401, True)
    assert phase(http, migration) != "cancelled"


def test_the_session_leads_back_and_ends(stack: Stack) -> None:
    with visitor(stack, None) as client:
        response = client.post("/sign-in", data={"token": token("root"), "next": "/hosts"})
        assert response.url.path == "/hosts"
        cookie = next(iter(response.history[0].headers.get_list("set-cookie")))
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
        assert token("root") not in cookie
        said = client.cookies["stackferry"]
        for wrong in ("x", said[:-1], said + "x", ".", said.partition(".")[0] + ".x", "a" * 5000, "é"):
            bad = httpx.get(
                f"{stack.gateway.url()}/", headers={"Cookie": f"stackferry={wrong}".encode()}, trust_env=False
            )
            assert (bad.status_code, bad.headers["location"]) == (303, "/sign-in")
        for path in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb"):
            response = client.post("/sign-in", data={"token": token("root"), "next": path}, follow_redirects=False)
            assert response.headers["location"] == "/"
        kept = client.cookies["stackferry"]
        assert send(client, read(client, "/").form(**{"": "/sign-out"})).url.path == "/sign-in"
        again = httpx.get(f"{stack.gateway.url()}/", headers={"Cookie": f"stackferry={kept}"}, trust_env=False)
        assert again.status_code == 303  # whoever has kept it
        assert client.get("/").url.path == "/sign-in"


def test_a_session_ends_with_its_token(stack: Stack) -> None:
    file = stack.gateway.tokens_file
    before = file.read_text()
    with visitor(stack, "mover") as client:
        known = yaml.safe_load(before)["tokens"]
        try:
            file.write_text(yaml.safe_dump({"tokens": [one for one in known if one["name"] != "mover"]}))
            assert until(lambda: client.get("/").url.path == "/sign-in", 20)
            changed = [{**one, "sha256": "0" * 64} if one["name"] == "mover" else one for one in known]
            file.write_text(yaml.safe_dump({"tokens": changed}))
            assert until(lambda: client.get("/").url.path == "/sign-in", 20)
        finally:
            file.write_text(before)
        assert until(lambda: client.get("/").url.path == "/", 20)  # the same token is good again


def test_forms_are_of_this_page_and_this_session_only(stack: Stack, root: httpx.Client, http: httpx.Client) -> None:
    migration = imported(http)
    assert until(lambda: phase(http, migration) == "done", 60)
    here = f"/migrations/{migration}"
    form = read(root, here).form(action="retry")
    with visitor(stack, "mover") as other:
        words = {
            "theirs": read(other, here).form(action="retry")["word"],
            "none": "",
            "made up": "0" * 64,
            "not ASCII": "é",
        }
    before = http.get(f"/v1{here}").json()["changed"]
    for word in words.values():
        response = send(root, {**form, "word": word})
        assert response.status_code == 403, response.text
    assert root.post(here, data=form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert (
        root.post("/sign-in", data={"token": token("root")}, headers={"Sec-Fetch-Site": "cross-site"}).status_code
        == 403
    )
    assert root.post(here, json={"action": "retry"}).status_code == 415
    assert http.get(f"/v1{here}").json()["changed"] == before
    assert send(root, form).url.path == here


def test_what_takes_something_away_is_asked_first_and_for_administrators(
    stack: Stack, root: httpx.Client, http: httpx.Client
) -> None:
    migration = imported(http)
    assert until(lambda: phase(http, migration) == "done", 60)
    here = f"/migrations/{migration}"
    with visitor(stack, "mover") as mover, visitor(stack, "guest") as guest:
        page = read(mover, here)
        assert {form.get("action") for form in page.forms} >= {"retry"}
        assert all(form.get("action") != "undo" for form in page.forms)
        refused = send(mover, {"": here, "word": page.form(action="retry")["word"], "action": "undo", "sure": "yes"})
        assert (refused.status_code, "role admin" in refused.text) == (403, True)
        seen = read(guest, here)
        assert [form[""] for form in seen.forms] == ["/sign-out"]
        word = seen.forms[0]["word"]
        assert send(guest, {"": here, "word": word, "action": "retry"}).status_code == 403
        assert guest.get("/new").status_code == 403
        assert (
            send(guest, {"": "/new", "word": word, "do": "run", "source": "src", "destination": "dst"}).status_code
            == 403
        )
    asked = send(root, read(root, here).form(action="undo"))
    assert asked.url.path == f"{here}/sure"
    assert phase(http, migration) == "done"
    sure = Read(asked.text).form(action="undo", sure="yes")
    assert send(root, sure).url.path == here
    assert until(lambda: phase(http, migration) == "undone", 60)


def test_what_a_link_says_is_not_what_is_done(stack: Stack, root: httpx.Client, http: httpx.Client) -> None:
    migration = imported(http)
    assert until(lambda: phase(http, migration) == "done", 60)
    here = f"/migrations/{migration}"
    asked = read(root, f"{here}/sure?action=undo&server=s-1&name=harmless")
    assert "harmless" not in asked.text
    assert asked.form(action="undo")["server"] == ""
    assert root.get(f"{here}/sure?action=retry").status_code == 404
    cut = read(root, f"{here}/sure?action=cutover&server=s-1&name=harmless")
    assert "harmless" not in cut.text
    assert "s-1" in cut.text
    word = read(root, here).forms[0]["word"]
    response = root.post(f"{here}?action=undo&sure=yes", data={"word": word})
    assert response.status_code == 422  # the form says nothing
    assert phase(http, migration) == "done"
    send(root, {"": here, "word": word, "action": "cutover", "server": "s-1", "sure": "yes"})
    log = (stack.folder / "logs" / "gateway.log").read_text()
    assert [line for line in log.splitlines() if "audit=True" in line and "action=cutover" in line and "s-1" in line]


def test_who_is_not_signed_in_sends_little_and_not_often(stack: Stack) -> None:
    with visitor(stack, None) as client:
        for path in ("/sign-in", "/sign-out"):
            response = client.post(path, data={"token": "x" * 100_000})
            assert response.status_code in (401, 413)
        answers = [client.post("/sign-in", data={"token": f"guess-{n}"}).status_code for n in range(40)]
        assert set(answers) == {401, 429}
    assert until(lambda: visits(stack), 20), "nobody can sign in any more"


def visits(stack: Stack) -> bool:
    with visitor(stack, "root") as client:
        return client.get("/").status_code == 200


def test_a_migration_is_planned_without_javascript(root: httpx.Client, http: httpx.Client) -> None:
    form = read(root, "/new").form(**{"": "/new"})
    form = {name: value for name, value in form.items() if name in ("", "word", "key")}
    bad = [
        ({"source": ""}, "name the source cloud"), ({"filters": "netwrok=x"}, "is no kind"),
        ({"maps": "flavor:a"}, "expected KIND:OLD=NEW"), ({"labels": "x"}, "expected KEY=VALUE"),
        ({"bandwidth": "-1"}, "is no number"), ({"volumes_at_once": "0"}, "volumes_at_once"),
        ({"source": "nowhere"}, "nowhere"), ({"warm": "yes", "cutover": "soon"}, "none of auto, manual"),
        ({"filters": "network~("}, "can&#39;t be used"),
    ]  # fmt: skip
    good = {"source": "src", "destination": "dst", "name": HOSTILE, "labels": "team=web"}
    for wrong, says in bad:
        response = send(root, form, do="plan", **{**good, **wrong})
        assert (response.status_code, says in response.text) == (422, True), (wrong, response.text)
        assert [about for tag, about in Read(response.text).tags if tag == "input" and about.get("value") == "dst"]
    checked = send(root, form, do="check", **good)
    assert "stackferry plan -s src -d dst" in checked.text
    first, second = (send(root, form, do="plan", **good) for _ in range(2))  # a button pressed twice
    assert first.url.path == second.url.path
    assert first.url.path.startswith("/migrations/")
    found = http.get(f"/v1{first.url.path}").json()
    assert (found["mode"], found["name"], found["labels"]) == ("plan", HOSTILE, {"team": "web"})


def test_names_of_any_kind_are_shown_and_nothing_more(root: httpx.Client, http: httpx.Client) -> None:
    document = {"type": "openstack.network.Network", "params": {"name": HOSTILE}, "_info": {"id": "n1"},
                "_migration_params": {}}  # fmt: skip
    body = {"destination": {"cloud": "dst"}, "documents": [document], "name": HOSTILE, "labels": {"team": HOSTILE[:60]}}
    migration = http.post("/v1/migrations", json=body).json()["id"]
    assert until(lambda: phase(http, migration) == "done", 60)
    here = f"/migrations/{migration}"
    paths = [f"{here}/files/report.html", "/", "/trouble", here, f"{here}/sure?action=undo&name={quote(HOSTILE)}", f"{here}/resources?kind=network",
             f"{here}/nothing{quote(HOSTILE, safe='')}", *(f"{here}/{tab}" for tab in ("waiting", "stays-behind", "events", "report"))]  # fmt: skip
    shown = ""
    for path in paths:
        response = root.get(path)
        page = Read(response.text)
        shown += page.text
        assert not [tag for tag, _ in page.tags if tag == "img"], path
        assert all(about.get("src", "").startswith("/static/") for tag, about in page.tags if tag == "script"), path
        assert "\x1b" not in response.text
        assert "49" not in re.findall(r"\[31m(\S\S)", response.text)
        assert not [name for _, about in page.tags for name in about if name.startswith("on") or name == "style"], path
    assert "<img src=x onerror=alert(1)>" in shown


def test_each_page_is_small_guarded_and_works_by_reload(root: httpx.Client, http: httpx.Client) -> None:
    migration = imported(http, 30)
    assert until(lambda: phase(http, migration) == "done", 60)
    total = sum(len(root.get(f"/static/0/{name}").content) for name in ("page.css", "page.js", "ferry.svg"))
    for path in ("/", "/hosts", "/trouble", "/new", f"/migrations/{migration}", f"/migrations/{migration}/report"):
        response = root.get(path)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["cache-control"] == "no-store"
        assert len(response.content) + total <= PAGE_BYTES, path
        assert ('http-equiv="refresh"' in response.text) == (path != "/new")
        (page,) = [about for tag, about in Read(response.text).tags if tag == "html"]
        assert page["lang"] == "en"
    assert root.get(f"/migrations/{migration}/files/report.csv").text.startswith("kind,")
    assert root.get(f"/migrations/{migration}/files/id-map.json").json() == {"items": []}
    for path in (f"/migrations/{migration}/none", "/static/0/..%2fsite.py", "/static/0/none", "/migrations/none",
                 f"/migrations/{migration}/files/report.exe", "/none"):  # fmt: skip
        response = root.get(path, headers={"Accept": "text/html"})
        assert (response.status_code, response.headers["content-type"]) == (404, "text/html; charset=utf-8"), path


def test_who_is_kept_to_places_and_labels_sees_those_only(stack: Stack, http: httpx.Client) -> None:
    mine, others = made(http, labels={"team": "web"}), made(http, labels={"team": "shop"})
    with visitor(stack, "team") as team:
        listed = team.get("/").text
        assert mine in listed
        assert others not in listed
        for path in ("", "/report", "/events", "/sure?action=cancel", "/files/report.json", "/heard"):
            assert team.get(f"/migrations/{others}{path}").status_code == 404
        word = read(team, "/").forms[0]["word"]
        assert (
            send(team, {"": f"/migrations/{others}", "word": word, "action": "cancel", "sure": "yes"}).status_code
            == 404
        )
    assert phase(http, others) != "cancelled"
