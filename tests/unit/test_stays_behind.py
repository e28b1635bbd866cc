"""What stays behind is told: each object once, whatever a cloud refuses, in a message that arrives, to its last reader."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from openstack import exceptions
from stackferry.envelope import MAX_BYTES
from stackferry.messages import ExportEnded
from stackferry.resources.staying import Staying
from stackferry.resources.view import View
from stackferry_cli import output, report, stays_behind
from stackferry_cli.output import Format
from stackferry_clouds.view import ProjectView
from stackferry_coordinator import queries
from stackferry_coordinator.rules.reactions import opened, react
from stackferry_coordinator.storage import database
from stackferry_coordinator.storage.store import Store
from stackferry_exporter.inventory import NOTES, shortened
from stackferry_exporter.staying import gathered
from stackferry_exporter.survey import survey
from stackferry_exporter.uncovered import TABLE

MIGRATION = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
ENTRY = {"type": "load balancer", "number": 2, "names": ["web", "api"], "reason": "no kind"}


def staying(type_: str, *names: str, reason: str = "no kind", kind: str | None = None) -> list[Staying]:
    return [Staying(type_, f"id-{name}", name, reason, kind) for name in names]


# -- gathering -----------------------------------------------------------------------------------------------------


def test_things_are_gathered_by_type_and_reason_and_counted_once() -> None:
    found = [*staying("load balancer", "web", "api", "web"), *staying("image", "big", reason="it's queued")]
    image = {"type": "image", "number": 1, "names": ["big"], "reason": "it's queued"}
    assert gathered(found) == [ENTRY, image]


def test_what_has_no_name_is_told_by_its_id_and_what_nobody_counted_has_no_number() -> None:
    found = [Staying("share", "s1", None, "why"), Staying("zone", None, None, "could not be listed: 403")]
    assert [(e["number"], e["names"]) for e in gathered(found)] == [(1, ["s1"]), (None, [])]


def test_of_kinds_that_are_not_selected_and_names_that_are_filtered_out_nothing_is_told() -> None:
    found = [*staying("image", "a", "b", kind="image"), *staying("server", "s", kind="server")]
    selection = {"kinds": ["image"], "filters": {"image": ["b"]}}
    assert [e["names"] for e in gathered(found, selection)] == [["b"]]
    assert [e["names"] for e in gathered(found)] == [["a", "b"], ["s"]]


def test_of_many_some_are_named_and_all_are_counted() -> None:
    (entry,) = gathered(staying("secret", *(f"s{n}" for n in range(50))))
    assert (entry["number"], len(entry["names"])) == (50, 20)


def test_everything_that_is_told_fits_a_message() -> None:
    found = [one for n in range(5000) for one in staying(f"типа {n}", "ж" * 5000, reason="ю" * 5000)]
    entries, notes = gathered(found), shortened(["щ" * 5000] * (NOTES + 7))
    data = {"migration": MIGRATION, "attempt": 1, "parts": 1, "outcome": "done"}
    envelope = ExportEnded.make("s", {**data, "notes": notes, "stays_behind": entries})
    assert len(envelope.to_bytes()) < MAX_BYTES
    assert sum(entry["number"] for entry in entries) == 5000
    assert notes[-1] == f"and {NOTES + 7 - (len(notes) - 1)} more"


# -- asking --------------------------------------------------------------------------------------------------------


def cloud(services: list[str], extensions: tuple[str, ...] = (), **listings: Any) -> View:
    """A project in a cloud with these services; a listing that is an exception is raised, one that is callable called."""

    class Service:
        def __init__(self, name: str) -> None:
            self.name = name

        def __getattr__(self, plural: str) -> Any:
            def listed(**query: Any) -> Any:
                asked.append((self.name, plural, query))
                found = listings.get(plural, [])
                if isinstance(found, Exception):
                    raise found
                return iter(found() if callable(found) else found)

            return listed

    class Connection(SimpleNamespace):
        def __getattr__(self, name: str) -> Any:
            return Service(name)

    asked: list[tuple[str, str, Any]] = []
    listings["extensions"] = [SimpleNamespace(alias=alias) for alias in extensions]
    catalog = SimpleNamespace(service_catalog=SimpleNamespace(catalog=[{"type": type_} for type_ in services]))
    auth = SimpleNamespace(get_access=lambda _: catalog)
    view = ProjectView(Connection(session=SimpleNamespace(auth=auth)), "p")
    view.asked = asked  # type: ignore[attr-defined]
    return view


def item(name: str, **more: Any) -> Any:
    return SimpleNamespace(**{"id": f"id-{name}", "name": name, "project_id": "p", **more})


def told(view: View, selection: Any = None, **how: Any) -> list[tuple[str, str | None, str]]:
    return [(one.type, one.name, one.reason) for one in survey(view, selection, **how)]


def test_each_service_of_the_catalogue_is_asked_and_no_other() -> None:
    view = cloud(["load-balancer", "network"], load_balancers=[item("web")], zones=[item("example.org.")])
    assert told(view) == [("load balancer", "web", "Stackferry does not move them")]
    assert {"dns", "key_manager"}.isdisjoint({service for service, _, _ in view.asked})  # type: ignore[attr-defined]


def test_neutron_is_asked_for_what_its_extensions_offer() -> None:
    policies, pools = [item("gold")], [item("pool")]
    view = cloud(["network"], ("qos",), qos_policies=policies, subnet_pools=pools)
    assert [(type_, name) for type_, name, _ in told(view)] == [("QoS policy", "gold")]
    assert [a for a in view.asked if a[1] == "extensions"] == [("network", "extensions", {})]  # type: ignore[attr-defined]


def test_what_belongs_to_others_or_was_made_by_a_migration_is_not_the_projects() -> None:
    snapshots = [item("mine", metadata={}), item("ours", metadata={"stackferry": "m/1"})]
    balancers = [item("web"), item("theirs", project_id="q")]
    view = cloud(["volumev3", "load-balancer"], snapshots=snapshots, load_balancers=balancers)
    assert [name for _, name, _ in told(view)] == ["mine", "web"]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (exceptions.ForbiddenException("no role"), "no role"),
        (exceptions.NotFoundException("no such path"), "no such path"),
        (exceptions.HttpException("broken", http_status=500), "broken"),
        (OSError("no route to host"), "no route to host"),
    ],
)
def test_a_service_that_refuses_is_one_line_and_the_others_are_told(error: Exception, why: str) -> None:
    view = cloud(["dns", "load-balancer"], zones=error, load_balancers=[item("web")])
    (balancer, zone) = told(view)
    assert balancer[:2] == ("load balancer", "web")
    assert zone[:2] == ("DNS zone", None)
    assert zone[2].startswith("could not be listed: ")
    assert why in zone[2]


def test_a_service_that_is_silent_is_not_waited_for_and_what_it_had_said_counts() -> None:
    over = threading.Event()

    def slow() -> Any:
        yield item("one.")
        over.wait(30)

    try:
        found = told(cloud(["dns"], zones=slow), patience=0.3)
    finally:
        over.set()
    assert [(name, why) for _, name, why in found] == [
        ("one.", "Stackferry does not move them"),
        (None, "could not be listed: no answer within 0.3 s"),
    ]


def test_a_service_that_nobody_knows_is_named() -> None:
    (found,) = told(cloud(["teleport", "identity", "compute"]))
    assert found[0] == "service teleport"
    assert "does not know this service" in found[2]


def test_with_kinds_selected_only_what_belongs_to_them_is_asked_for() -> None:
    view = cloud(["volumev3", "dns", "teleport"], snapshots=[item("s", metadata={})], zones=[item("z")])
    assert [type_ for type_, _, _ in told(view, {"kinds": ["volume"]})] == ["volume snapshot"]
    assert told(view, {"kinds": ["keypair"]}) == []


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.type)
def test_every_row_names_a_call_of_openstacksdk(row: Any) -> None:
    from openstack.connection import Connection

    descriptor = getattr(Connection, row.service.replace("-", "_"))
    proxies = descriptor.supported_versions.values()
    assert any(hasattr(proxy, row.plural) for proxy in proxies)


# -- keeping and telling -------------------------------------------------------------------------------------------


def test_the_coordinator_keeps_it_and_tells_it_once_with_the_migration(tmp_path: Path) -> None:
    engine = database.connect(f"sqlite:///{tmp_path}/s.db")
    database.upgrade(engine)
    request = {"migration": MIGRATION, "mode": "plan", "source": {"cloud": "src"}, "destination": {"cloud": "dst"}}
    ended = {"migration": MIGRATION, "attempt": 1, "parts": 0, "outcome": "done", "stays_behind": [ENTRY]}
    with engine.begin() as connection:
        store = Store.create(connection, opened(request).head, 0.0)
        for name, data in (("request-migration", request), ("export-ended", ended)):
            react(store, name, data, 0.0)
        store.flush(0.0)
    ((answer, _),) = queries.describe(engine, {"migration": MIGRATION}, lambda places: True)
    assert answer["migration"]["stays_behind"] == [ENTRY]
    assert [step["results"] for step in answer["steps"] if step["action"] == "export"] == [{}]


def test_it_is_printed_with_its_number_names_and_reason() -> None:
    unlisted = {"type": "RBAC policy", "number": None, "names": [], "reason": "could not be listed: 403"}
    many = {**ENTRY, "type": "RBAC policy", "number": 7}
    assert list(stays_behind.lines([ENTRY, unlisted, many])) == [
        "2 load balancers: web, api: no kind",
        "RBAC policy: could not be listed: 403",
        "7 RBAC policies: web, api and 5 more: no kind",
    ]


@pytest.mark.parametrize("function", [report.print_report, report.print_plan])
def test_plans_and_reports_have_a_section_for_it(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    console = output.plain_console(width=200, soft_wrap=True, file=io.StringIO())
    monkeypatch.setattr(output, "console", console)
    state = {"id": "m1", "phase": "done", "reason": None, "steps": [], "stays_behind": [ENTRY]}
    function(state, Format.table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "stays behind\n  2 load balancers: web, api: no kind\n" in text
