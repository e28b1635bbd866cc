"""The contract of every kind, held against a cloud in memory: what a new kind must do to belong here."""

from __future__ import annotations

import copy
import ipaddress
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from inspect import signature
from typing import Any

import pytest
from stackferry.resources import KINDS, order
from stackferry.resources.fields import Address, Bag, Cidr, Flag, Many, Number, Portable, Ref, Struct
from stackferry.resources.image_fields import Hash, Properties, Property
from stackferry.resources.view import PENDING
from stackferry_clouds import apply
from stackferry_clouds.view import LOOKUPS

from .fake_cloud import BESIDES, PROXIES, SERVICES, Cloud, Proxy, is_attribute
from .fake_glance import seed_image
from .projects import NAMES, Document, exported, flat, infrastructure, migrate, outcomes, populated, view

#: what makes a document another resource, and not a change of the same one
IDENTITY: dict[str, set[str]] = {
    "router_interface": {"network_ref"},
    "security_group_rule": set(KINDS["security_group_rule"].declared()) - {"description"},
}
#: what the destination chooses by itself
ITS_OWN = {"router_interface": {"device_owner"}, "keypair": {"user_ref"}, "image": {"hash_algo"},
           "free_floating_ip": {"floating_ip_address"}, "port_forwarding": {"floating_ip_ref"}}  # fmt: skip
#: what openstacksdk passes on without declaring it
UNDECLARED = {"free_trunk": {"created_at", "updated_at"}}
#: what is known by its id only, once it was changed: what differs might be somebody else's
BY_ID = ("free_floating_ip", "free_port", "free_trunk", "port_forwarding")
RESOURCES = {(s, names[0]): cls for s, (_, known) in SERVICES.items() for names, cls in known.items()}


def resource_of(kind: str) -> type:
    return RESOURCES[(KINDS[kind].service, KINDS[kind].singular)]


def fields_where(wanted: Any) -> list[Any]:
    found = [
        (kind, name) for kind in NAMES for name, field in KINDS[kind].declared().items() if wanted(kind, name, field)
    ]
    return [pytest.param(*pair, id=".".join(pair)) for pair in found]


def identity(kind: str) -> set[str]:
    return IDENTITY.get(kind, set()) | {"name", KINDS[kind].scope or "name"} | ITS_OWN.get(kind, set())


def updatable(kind: str, name: str, _: Portable) -> bool:
    return name not in KINDS[kind].fixed | KINDS[kind].initial | identity(kind) | KINDS[kind].late.keys()


def fixed(kind: str, name: str, _: Portable) -> bool:
    return name in KINDS[kind].fixed - identity(kind)


OTHER = {"qos_policy": "silver", "network": "public2", "segment": "rack2", "subnet_pool": "pool2",
         "network_flavor": "small", "router": "(changed)",
         "free_port": "vip2", "security_group": "third", "free_floating_ip": "203.0.0.52", "image": "cirros", "project": "partner3"}  # fmt: skip
CHOICES = {"shared": "community"}  # texts that aren't free


def changed(field: Portable, value: Any) -> Any:
    """Another value of the same type."""
    match field:
        case Flag():
            return not value
        case Number():
            return value + 1
        case Address():
            return str(ipaddress.ip_address(value) + 1)
        case Cidr():
            range_ = ipaddress.ip_network(value)
            return str(ipaddress.ip_network((int(range_.network_address) + range_.num_addresses, range_.prefixlen)))
        case Hash():
            return value[::-1]
        case Properties():
            return {**value, "com.example/changed": "1"}
        case Property() if isinstance(value, bool):
            return not value
        case Property() if isinstance(value, int | float) or str(value).replace(".", "").isdecimal():
            return str(float(value) + 1).removesuffix(".0")
        case Bag():
            return {**value, "provider:segmentation_id": 8}
        case Ref():
            return {"name": OTHER[field.kind], "project_name": None, "domain_name": None}
        case Struct():
            plain = [n for n, member in field.members.items() if not isinstance(member, Ref | Many)]
            name = next((n for n in reversed(plain) if value.get(n) is not None), plain[0])
            return {**value, name: changed(field.members[name], value[name])}
        case Many():
            return [*value[:-1], changed(field.inner, value[-1])]
    return CHOICES.get(value, f"{value}-changed")


@cache
def _moved() -> tuple[dict[str, list[Document]], Cloud]:
    destination, documents = infrastructure(), exported(populated(admin=True), admin=True)
    migrate(flat(documents), view(destination, admin=True))
    destination.writes.clear()
    return documents, destination


@pytest.fixture
def source() -> Cloud:
    return populated(admin=True)


@pytest.fixture
def moved() -> tuple[dict[str, list[Document]], Cloud]:
    """The documents of a project, and a cloud to which an administrator has moved it."""
    return copy.deepcopy(_moved())


def plain(documents: dict[str, list[Document]], kind: str) -> Document:
    """The document of *kind* that says most, without links to source ids: it stands alone."""
    best = max(documents[kind], key=lambda d: sum(v not in (None, [], "") for v in d["params"].values()))
    return copy.deepcopy(best)


def known(kind: str, document: Document, cloud: Cloud) -> dict[str, Any]:
    """The hints by which a document is found that will be changed."""
    found = apply.compare(kind, document, view(cloud, admin=True), {}).destination_id
    return {"destination_id": found} if kind in BY_ID else {}


def row_of(cloud: Cloud, kind: str, id_: str | None) -> dict[str, Any]:
    return copy.deepcopy(cloud.rows[resource_of(kind)][str(id_)])


#: what a kind counts itself
COUNTED = {"security_group": {"rules"}}

# -- the declaration -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NAMES)
def test_everything_that_a_kind_reads_exists_in_openstacksdk(kind: str) -> None:
    declared = {KINDS[kind].attribute(name) for name in KINDS[kind].declared()} | set(KINDS[kind].info)
    read = UNDECLARED.get(kind, set()) | COUNTED.get(kind, set())
    besides = {"project_id"} | BESIDES.get(resource_of(kind), set()) | read
    assert [name for name in declared - besides if not is_attribute(resource_of(kind), name)] == []


@pytest.mark.parametrize("kind", NAMES)
def test_every_reference_leads_to_a_kind_or_a_lookup(kind: str) -> None:
    assert KINDS[kind].needs() <= KINDS.keys() | LOOKUPS.keys()


@pytest.mark.parametrize("name", LOOKUPS)
def test_every_lookup_exists_in_openstacksdk(name: str) -> None:
    lookup = LOOKUPS[name]
    assert hasattr(SERVICES[lookup.service][0], f"find_{lookup.singular}")
    assert hasattr(SERVICES[lookup.service][0], lookup.plural)


@pytest.mark.parametrize("kind", NAMES)
def test_fixed_admin_late_and_scope_name_declared_fields(kind: str) -> None:
    cls = KINDS[kind]
    named = {*cls.fixed, *cls.admin, *cls.late, *filter(None, [cls.scope, cls.filtered_by])}
    assert named <= cls.declared().keys()


@pytest.mark.parametrize("kind", NAMES)
def test_kinds_come_after_what_they_need(kind: str) -> None:
    places = {name: number for number, name in enumerate(order())}
    assert all(places[needed] < places[kind] for needed in KINDS[kind].needs() & KINDS.keys())


@pytest.mark.parametrize(("kind", "name"), fields_where(lambda *_: True))
def test_every_field_is_described(kind: str, name: str) -> None:
    def walk(field: Portable) -> Iterator[Portable]:
        yield field
        for member in getattr(field, "members", {}).values():
            yield from (f for f in walk(member) if isinstance(f, Struct | Many))

    assert all(field.metadata["description"] for field in walk(KINDS[kind].declared()[name]))


@pytest.mark.parametrize("kind", NAMES)
def test_the_example_project_says_every_field(source: Cloud, kind: str) -> None:
    documents = exported(source, admin=True)[kind]
    unsaid = [n for n in KINDS[kind].declared() if all(d["params"][n] in (None, [], "") for d in documents)]
    assert unsaid == []  # else the tests below would prove nothing about it


# -- there and back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("admin", [False, True], ids=["tenant", "admin"])
@pytest.mark.parametrize("kind", NAMES)
def test_what_was_imported_exports_as_it_was(kind: str, admin: bool) -> None:
    documents, destination = exported(populated(admin), admin), infrastructure()
    migrate(flat(documents), view(destination, admin))
    own = ITS_OWN.get(kind, set())

    def contents(found: list[Document]) -> list[str]:
        return sorted(json.dumps({n: v for n, v in d["params"].items() if n not in own}, sort_keys=True) for d in found)

    assert contents(exported(destination, admin)[kind]) == contents(documents[kind])


@pytest.mark.parametrize("admin", [False, True], ids=["tenant", "admin"])
def test_importing_creates_everything_and_a_second_time_writes_nothing(admin: bool) -> None:
    documents, destination = flat(exported(populated(admin), admin)), infrastructure()
    first = migrate(documents, view(destination, admin))
    assert {o for k, (o, _) in outcomes(first).items() if "rule" not in k and "finish" not in k} == {"created"}
    destination.writes.clear()
    second = outcomes(migrate(documents, view(destination, admin)))
    assert {key: ended for key, ended in second.items() if ended != ("unchanged", None)} == {}
    assert destination.writes == []


@pytest.mark.parametrize("admin", [False, True], ids=["tenant", "admin"])
def test_comparing_foretells_what_importing_does_and_writes_nothing(admin: bool) -> None:
    documents, destination = flat(exported(populated(admin), admin)), infrastructure()
    types = ("openstack.network.Network", "openstack.compute.Keypair", "openstack.image.Image")
    independent = [d for d in documents if d["type"] in types and not d["params"].get("kernel_ref")]
    foretold = outcomes(migrate(independent, view(destination, admin), apply.compare))
    assert destination.writes == []
    done = outcomes(migrate(independent, view(destination, admin)))
    assert foretold == {key: ended for key, ended in done.items() if not key.endswith("/transfer")}


@pytest.mark.parametrize("admin", [False, True], ids=["tenant", "admin"])
@pytest.mark.parametrize("kind", NAMES)
def test_no_id_of_the_source_is_in_params(kind: str, admin: bool) -> None:
    source = populated(admin)
    params = json.dumps([document["params"] for document in exported(source, admin)[kind]])
    assert [id_ for id_ in source.ids() if id_ in params] == []


@pytest.mark.parametrize("kind", NAMES)
def test_documents_are_json(source: Cloud, kind: str) -> None:
    documents = exported(source, admin=True)[kind]
    assert json.loads(json.dumps(documents, allow_nan=False)) == documents


# -- changes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), fields_where(updatable))
def test_a_changed_field_is_updated_and_no_other(moved: Any, kind: str, name: str) -> None:
    documents, destination = moved
    document = plain(documents, kind)
    before = apply.compare(kind, document, view(destination, admin=True), {})
    assert before.outcome == "unchanged"
    had, hints = row_of(destination, kind, before.destination_id), known(kind, document, destination)
    document["params"][name] = changed(KINDS[kind].declared()[name], document["params"][name])

    planned = apply.compare(kind, document, view(destination, admin=True), hints)
    assert destination.writes == []
    ended = apply.ensure(kind, document, view(destination, admin=True), hints)

    assert (ended.outcome, [change["field"] for change in ended.changes]) == ("updated", [name])
    assert (planned.outcome, planned.changes) == ("updated", ended.changes)
    has = row_of(destination, kind, ended.destination_id)
    assert {n for n in has if has[n] != had.get(n)} - {"updated_at"} == {KINDS[kind].attribute(name)}
    destination.writes.clear()
    again = apply.ensure(kind, document, view(destination, admin=True), hints)
    assert (again.outcome, destination.writes) == ("unchanged", [])


def updated_as_recorded(cloud: Cloud, kind: str, document: Document, hints: dict[str, Any]) -> dict[str, Any]:
    """Let the document be updated in two tries, as the coordinator asks for it; return what undo must be told."""
    hints = {**hints, "made": [], "replaced": {}}
    told = apply.ensure(kind, document, view(cloud, admin=True), hints)
    assert (told.outcome, cloud.writes) == ("differs", [])
    recorded = json.loads(json.dumps({told.destination_id: told.replaces}))
    assert apply.ensure(kind, document, view(cloud, admin=True), {**hints, "replaced": recorded}).outcome == "updated"
    return {"destination_id": told.destination_id, "replaced": recorded}


@pytest.mark.parametrize(("kind", "name"), fields_where(updatable))
def test_a_changed_field_is_brought_back(moved: Any, kind: str, name: str) -> None:
    documents, destination = moved
    document = plain(documents, kind)
    hints = known(kind, document, destination)
    had = apply.compare(kind, document, view(destination, admin=True), hints)
    before = row_of(destination, kind, had.destination_id)
    document["params"][name] = changed(KINDS[kind].declared()[name], document["params"][name])
    undo = updated_as_recorded(destination, kind, document, hints)
    for _ in range(2):  # its answer may be lost
        ended = apply.remove(kind, document, view(destination, admin=True), undo)
        assert (ended.outcome, ended.notes) == ("restored", [])
        after = row_of(destination, kind, had.destination_id)
        assert {n for n in after if after[n] != before.get(n)} - {"updated_at"} == set()
        destination.writes.clear()


@pytest.mark.parametrize(("kind", "name"), fields_where(lambda k, n, f: n == "description" and updatable(k, n, f)))
def test_what_somebody_has_changed_since_stays(moved: Any, kind: str, name: str) -> None:
    documents, destination = moved
    document = plain(documents, kind)
    hints = known(kind, document, destination)
    document["params"][name] = "ours"
    undo = updated_as_recorded(destination, kind, document, hints)
    document["params"][name] = "somebody else's"
    apply.ensure(kind, document, view(destination, admin=True), {"destination_id": undo["destination_id"]})
    theirs = row_of(destination, kind, undo["destination_id"])
    destination.writes.clear()
    ended = apply.remove(kind, document, view(destination, admin=True), undo)
    assert (ended.outcome, ended.notes) == ("restored", ["somebody has changed it since, so it stays: description"])
    assert (row_of(destination, kind, undo["destination_id"]), destination.writes) == (theirs, [])


@pytest.mark.parametrize(("kind", "name"), fields_where(lambda k, n, _: n in KINDS[k].late))
def test_a_late_field_is_set_by_the_second_step_only(moved: Any, kind: str, name: str) -> None:
    documents, destination = moved
    document = plain(documents, kind)
    document["params"][name] = changed(KINDS[kind].declared()[name], document["params"][name])
    look = view(destination, admin=True)
    first = apply.ensure(kind, document, look, {})
    assert (first.outcome, destination.writes) == ("unchanged", [])
    ended = apply.finish(kind, document, look, {"destination_id": first.destination_id})
    assert (ended.outcome, [change["field"] for change in ended.changes]) == ("updated", [name])
    assert apply.finish(kind, document, look, {"destination_id": first.destination_id}).outcome == "unchanged"


def test_a_late_field_that_was_emptied_is_emptied(moved: Any) -> None:
    documents, destination = moved
    for document in documents["router"]:
        document["params"]["routes"] = []
    migrate(flat(documents), view(destination, admin=True))
    assert [r["routes"] for r in destination.all(resource_of("router"))] == [[]]


@pytest.mark.parametrize(("kind", "name"), fields_where(fixed))
@pytest.mark.parametrize("verb", [apply.ensure, apply.compare])
def test_a_changed_fixed_field_is_a_conflict_and_nothing_is_written(
    moved: Any, kind: str, name: str, verb: Any
) -> None:
    documents, destination = moved
    document = plain(documents, kind)
    hints = known(kind, document, destination)
    document["params"][name] = changed(KINDS[kind].declared()[name], document["params"][name])
    if name == "device_ref":
        add_router(destination, OTHER["router"])
    ended = verb(kind, document, view(destination, admin=True), hints)
    assert (ended.outcome, [change["field"] for change in ended.changes]) == ("conflict", [name])
    assert name in str(ended.reason)
    assert destination.writes == []


def add_router(cloud: Cloud, name: str) -> None:
    cloud.seed(resource_of("router"), name=name)


def test_a_scope_cannot_change_either_when_the_resource_is_known(moved: Any) -> None:
    documents, destination = moved
    document, elsewhere = plain(documents, "subnet"), destination.seed(resource_of("network"), name="elsewhere")
    known = apply.compare("subnet", document, view(destination, admin=True), {}).destination_id
    document["params"]["network_ref"] = {"name": elsewhere["name"], "project_name": None, "domain_name": None}
    ended = apply.ensure("subnet", document, view(destination, admin=True), {"destination_id": known})
    assert (ended.outcome, destination.writes) == ("conflict", [])


@pytest.mark.parametrize(
    "kind", [k for k in NAMES if "name" in KINDS[k].declared() and "name" not in KINDS[k].fixed and k != "keypair"]
)
def test_a_renamed_document_renames_what_it_became(moved: Any, kind: str) -> None:
    documents, destination = moved
    document = plain(documents, kind)
    known = apply.compare(kind, document, view(destination, admin=True), {}).destination_id
    document["params"]["name"] = "renamed"
    ended = apply.ensure(kind, document, view(destination, admin=True), {"destination_id": known})
    assert (ended.outcome, ended.destination_id) == ("updated", known)
    assert row_of(destination, kind, known)["name"] == "renamed"


@pytest.mark.parametrize(("kind", "name"), fields_where(lambda k, n, f: isinstance(f, Many) and not f.ordered))
def test_the_order_of_a_set_means_nothing(moved: Any, kind: str, name: str) -> None:
    documents, destination = moved
    document = plain(documents, kind)
    document["params"][name] = document["params"][name][::-1]
    assert apply.compare(kind, document, view(destination, admin=True), {}).changes == []


def test_the_order_of_name_servers_means_something(moved: Any) -> None:
    documents, destination = moved
    document = plain(documents, "subnet")
    document["params"]["dns_nameservers"].reverse()
    assert apply.ensure("subnet", document, view(destination, admin=True), {}).outcome == "updated"


def test_other_spellings_of_an_address_are_no_change(moved: Any) -> None:
    documents, destination = moved
    document = next(d for d in documents["subnet"] if d["params"]["ip_version"] == 6)
    document["params"]["cidr"] = "2001:0db8:0:0::/64"
    document["params"]["allocation_pools"] = [{"start": "2001:0DB8::2", "end": "2001:db8:0::ffff"}]
    assert apply.compare("subnet", document, view(destination, admin=True), {}).outcome == "unchanged"


@pytest.mark.parametrize("kind", NAMES)
def test_removing_twice_is_fine_and_the_second_time_writes_nothing(moved: Any, kind: str) -> None:
    documents, destination = moved
    document, look = plain(documents, kind), view(destination, admin=True)
    known = apply.compare(kind, document, look, {}).destination_id
    assert apply.remove(kind, document, look, {"destination_id": known}).outcome == "removed"
    assert known not in destination.rows[resource_of(kind)]
    destination.writes.clear()
    for again in (look, view(destination, admin=True)):
        assert apply.remove(kind, document, again, {"destination_id": known}).outcome == "removed"
    assert destination.writes == []


# -- nulls ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), fields_where(lambda k, n, f: f.nullable))
def test_null_in_a_nullable_field_is_a_value_and_absence_is_none(moved: Any, kind: str, name: str) -> None:
    documents, destination = moved
    document, attribute = plain(documents, kind), KINDS[kind].attribute(name)
    known = apply.compare(kind, document, view(destination, admin=True), {}).destination_id
    assert row_of(destination, kind, known)[attribute] is not None

    del document["params"][name]
    assert apply.ensure(kind, document, view(destination, admin=True), {}).outcome == "unchanged"
    document["params"][name] = None
    ended = apply.ensure(kind, document, view(destination, admin=True), {})
    assert [change["field"] for change in ended.changes] == [name]
    assert row_of(destination, kind, known)[attribute] is None


def test_a_subnet_is_created_without_a_gateway_when_its_document_says_so(source: Cloud) -> None:
    documents = exported(source)
    (without,) = [d for d in documents["subnet"] if d["params"]["gateway_ip"] is None]
    destination = infrastructure()
    migrate([*documents["network"], without], view(destination))
    assert [s["gateway_ip"] for s in destination.all(resource_of("subnet")) if s["ip_version"] == 6] == [None]
    del without["params"]["gateway_ip"]
    destination = infrastructure()
    migrate([*documents["network"], without], view(destination))
    assert [s["gateway_ip"] for s in destination.all(resource_of("subnet")) if s["ip_version"] == 6] == ["2001:db8::1"]


@pytest.mark.parametrize(
    ("kind", "name"),
    fields_where(lambda k, n, f: updatable(k, n, f) and not (f.nullable or f.required or n == "fixed_ips_refs")),
)
@pytest.mark.parametrize("how", ["null", "absent"])
def test_null_or_absence_elsewhere_leaves_the_destination_alone(moved: Any, kind: str, name: str, how: str) -> None:
    documents, destination = moved
    document = plain(documents, kind)
    hints = known(kind, document, destination)
    document["params"][name] = None
    if how == "absent":
        del document["params"][name]
    ended = apply.ensure(kind, document, view(destination, admin=True), hints)
    assert (ended.outcome, ended.reason, destination.writes) == ("unchanged", None, [])


# -- rights --------------------------------------------------------------------------------------------------

RESERVED = fields_where(lambda k, n, _: n in KINDS[k].admin)


def needed(kind: str) -> set[str]:
    """The kinds that must be there before, and what those need."""
    direct = KINDS[kind].needs() & KINDS.keys()
    return direct.union(*(needed(k) for k in direct))


def import_one(source: Cloud, kind: str, document: Document, admin: bool) -> tuple[Cloud, apply.Outcome]:
    """Import one document into a cloud that has what it needs."""
    destination, documents = infrastructure(), exported(source, admin=True)
    migrate([d for k in NAMES if k in needed(kind) for d in documents[k]], view(destination, admin=True))
    destination.writes.clear()
    return destination, apply.ensure(kind, document, view(destination, admin), {})


def daring(source: Cloud, kind: str, name: str) -> Document:
    """A document with a value of *name* that only an administrator may set."""
    document = plain(exported(source, admin=True), kind)
    if document["params"][name] == KINDS[kind].admin[name]:
        document["params"][name] = changed(KINDS[kind].declared()[name], document["params"][name])
    return document


@pytest.mark.parametrize(("kind", "name"), RESERVED)
def test_what_needs_rights_is_left_out_with_a_note_for_a_tenant(source: Cloud, kind: str, name: str) -> None:
    destination, ended = import_one(source, kind, daring(source, kind, name), admin=False)
    assert ended.outcome == "created"
    assert [note for note in ended.notes if name in note and "administrator" in note]
    has = row_of(destination, kind, ended.destination_id).get(KINDS[kind].attribute(name))
    assert has in (None, KINDS[kind].admin[name])


@pytest.mark.parametrize(("kind", "name"), RESERVED)
def test_what_needs_rights_is_kept_for_an_administrator(source: Cloud, kind: str, name: str) -> None:
    document = daring(source, kind, name)
    document["params"].update({key: [] for key in KINDS[kind].late})  # these come with a step of their own
    destination, ended = import_one(source, kind, document, admin=True)
    assert (ended.outcome, ended.notes) == ("created", [])
    again = apply.compare(kind, document, view(destination, admin=True), {})
    assert (again.outcome, again.reason) == ("unchanged", None)


@pytest.mark.parametrize(("kind", "name"), RESERVED)
def test_harmless_values_of_what_needs_rights_make_no_notes(source: Cloud, kind: str, name: str) -> None:
    document = plain(exported(source, admin=True), kind)
    document["params"][name] = copy.deepcopy(KINDS[kind].admin[name])
    _, ended = import_one(source, kind, document, admin=False)
    assert [note for note in ended.notes if name in note] == []


def test_a_tenant_gets_the_gateway_without_what_needs_rights(source: Cloud) -> None:
    destination, ended = import_one(source, "router", plain(exported(source, admin=True), "router"), admin=False)
    assert ended.outcome == "created"
    assert [n for n in ended.notes if "enable_snat" in n]
    assert [n for n in ended.notes if "fixed addresses" in n]
    assert row_of(destination, "router", ended.destination_id)["external_gateway_info"]["enable_snat"] is True


def test_gateway_addresses_outside_of_the_range_here_are_left_out_with_a_note(source: Cloud) -> None:
    document = plain(exported(source, admin=True), "router")
    document["params"]["external_gateway_refinfo"]["external_fixed_ips_refs"][0]["ip_address"] = "198.51.100.7"
    _, ended = import_one(source, "router", document, admin=True)
    assert (ended.outcome, len(ended.notes)) == ("created", 1)


# -- references ----------------------------------------------------------------------------------------------


#: what leads nowhere in these is left out with a note
NOTED = {"external_fixed_ips_refs", "members"}


def links() -> list[Any]:
    source = exported(populated(admin=True), admin=True)
    found = []
    for kind in NAMES:
        for document in source[kind]:
            paths = [path for path, _, _ in KINDS[kind].links(document["params"])]
            found += [(kind, path) for path in paths if not NOTED.intersection(path.split("."))]
    return [pytest.param(*pair, id=" ".join(pair)) for pair in sorted(set(found))]


@pytest.mark.parametrize(("kind", "path"), links())
@pytest.mark.parametrize("verb", [apply.ensure, apply.compare])
def test_a_reference_to_nothing_is_a_missing_prerequisite(moved: Any, kind: str, path: str, verb: Any) -> None:
    documents, destination = moved
    has_path = [d for d in documents[kind] if path in [p for p, _, _ in KINDS[kind].links(d["params"])]]
    document = copy.deepcopy(has_path[0])
    paths = iter([p for p, _, _ in KINDS[kind].links(document["params"])])
    document["params"] = KINDS[kind].map_links(
        document["params"], lambda _, ref: {**ref, "name": "nowhere"} if next(paths) == path else ref
    )
    ended = verb(kind, document, view(destination, admin=True), {})
    assert (ended.outcome, destination.writes) == ("missing", [])
    assert "nowhere" in str(ended.reason)


@pytest.mark.parametrize("kind", ["network", "router"])
def test_an_availability_zone_that_is_not_there_is_a_missing_prerequisite(moved: Any, kind: str) -> None:
    documents, destination = moved
    document = copy.deepcopy(next(d for d in documents[kind] if d["params"]["availability_zone_hints"]))
    document["params"] |= {"name": "new", "availability_zone_hints": ["nowhere", "b"]}
    document["_info"].pop("id")
    ended = apply.compare(kind, document, view(destination), {})
    why = f"there is no availability zone of {kind}s named 'nowhere' here"
    assert (ended.outcome, ended.reason, destination.writes) == ("missing", why, [])


def test_a_reference_that_two_resources_answer_is_a_conflict(moved: Any) -> None:
    documents, destination = moved
    destination.seed(resource_of("network"), name="net")
    ended = apply.ensure("subnet", plain(documents, "subnet"), view(destination), {})
    assert (ended.outcome, destination.writes) == ("conflict", [])
    assert "'net'" in str(ended.reason)


def test_the_projects_own_resource_is_meant_before_a_shared_one_of_the_same_name(moved: Any) -> None:
    documents, destination = moved
    destination.seed(resource_of("network"), name="net", is_shared=True, project_id=destination.operators["id"])
    assert apply.ensure("subnet", plain(documents, "subnet"), view(destination), {}).outcome == "unchanged"


def test_a_document_that_lacks_what_it_must_say_names_the_field(moved: Any) -> None:
    documents, destination = moved
    for kind in NAMES:
        for name, field in KINDS[kind].declared().items():
            if not field.required:
                continue
            document = plain(documents, kind)
            del document["params"][name]
            ended = apply.ensure(kind, document, view(destination), {})
            assert ended.outcome == "conflict", (kind, name)
            assert name in str(ended.reason), (kind, name)
            assert destination.writes == []


# -- twins ---------------------------------------------------------------------------------------------------


def twin_project(name: str, kind: str, alike: bool) -> Cloud:
    """Two resources of one name; *alike* ones have nothing that tells them apart but their ids."""
    cloud = infrastructure()
    if kind == "network":
        for number in (1, 2):
            net = cloud.seed(resource_of("network"), name=name)
            if not alike:
                cloud.seed(
                    resource_of("subnet"), name="s", network_id=net["id"], cidr=f"10.{number}.0.0/24", ip_version=4,
                    gateway_ip=None, allocation_pools=[{"start": f"10.{number}.0.9", "end": f"10.{number}.0.99"}],
                )  # fmt: skip
    elif kind == "subnet":
        net = cloud.seed(resource_of("network"), name="net")
        for number in (1, 2):
            cloud.seed(
                resource_of("subnet"), name=name, network_id=net["id"], cidr=f"10.{number}.0.0/24", ip_version=4,
                gateway_ip=None, allocation_pools=[{"start": f"10.{number}.0.9", "end": f"10.{number}.0.99"}],
            )  # fmt: skip
    else:
        for number in (1, 2):
            seed(cloud, kind, name, "" if alike else f"number {number}")
    return cloud


def seed(cloud: Cloud, kind: str, name: str, mark: str) -> dict[str, Any]:
    """Put a resource there by hand; *mark* tells it from others of its name."""
    if kind == "image":
        return seed_image(cloud, name, b"one", **({"os_version": mark} if mark else {}))
    return cloud.seed(resource_of(kind), name=name, description=mark)


TWINS = [
    pytest.param(kind, name, alike, id=f"{kind}-{name or 'nameless'}-{'alike' if alike else 'different'}")
    for kind in ("network", "subnet", "router", "security_group", "address_group", "image")
    for name in ("twin", "")
    for alike in (False, True)
    if not (kind == "subnet" and alike)  # ranges of one network can't be alike
]


@pytest.mark.parametrize(("kind", "name", "alike"), TWINS)
def test_twins_arrive_as_two_and_stay_two(kind: str, name: str, alike: bool) -> None:
    source, destination = twin_project(name, kind, alike), infrastructure()
    documents = flat(exported(source))
    before = len(destination.all(resource_of(kind)))
    migrate(documents, view(destination))
    assert len(destination.all(resource_of(kind))) == before + 2
    destination.writes.clear()
    again = migrate(documents, view(destination))
    assert {key: ended for key, ended in outcomes(again).items() if ended[0] != "unchanged"} == {}
    assert destination.writes == []
    ids = [ended.destination_id for key, ended in again.items() if key.startswith(f"{kind}/")]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(("kind", "name", "alike"), [twin for twin in TWINS if not twin.values[2]])
def test_different_twins_find_themselves_without_knowing_what_is_taken(kind: str, name: str, alike: bool) -> None:
    source, destination = twin_project(name, kind, alike), infrastructure()
    documents = flat(exported(source))
    first = migrate(documents, view(destination))
    again = migrate(documents, view(destination), claims=False)
    assert {k: v.destination_id for k, v in again.items()} == {k: v.destination_id for k, v in first.items()}


def test_twins_of_which_more_are_there_than_documents_are_ambiguous() -> None:
    documents, destination = flat(exported(twin_project("twin", "router", True))), infrastructure()
    migrate(documents, view(destination))
    destination.seed(resource_of("router"), name="twin")
    destination.writes.clear()
    assert {ended[0] for ended in outcomes(migrate(documents, view(destination))).values()} == {"conflict"}
    assert destination.writes == []


@pytest.mark.parametrize("kind", ["network", "router", "security_group", "address_group", "image"])
def test_one_document_and_two_resources_that_it_could_be_are_ambiguous(kind: str) -> None:
    destination, source = infrastructure(), infrastructure()
    seed(source, kind, "twin", "d")
    (document,) = exported(source)[kind]
    for _ in range(2):
        seed(destination, kind, "twin", "other")
    ended = apply.ensure(kind, document, view(destination), {})
    assert (ended.outcome, destination.writes) == ("conflict", [])
    seed(destination, kind, "twin", "d")
    assert apply.ensure(kind, document, view(destination), {}).outcome == "unchanged"


def test_a_twin_whose_creation_went_unheard_is_not_made_again() -> None:
    source, destination = twin_project("twin", "network", alike=False), infrastructure()
    documents = exported(source)["network"]
    made = apply.ensure("network", documents[0], view(destination), {"twins": 2})
    destination.writes.clear()
    lost = {"twins": 2, "look": True, "first_asked": 1_700_000_000}
    again = apply.ensure("network", documents[0], view(destination), lost)
    assert (again.outcome, again.destination_id, destination.writes) == ("created", made.destination_id, [])


def test_a_nameless_resource_does_not_take_a_strangers_place() -> None:
    source, destination = infrastructure(), twin_project("", "network", alike=False)
    net = source.seed(resource_of("network"), name="")
    source.seed(
        resource_of("subnet"), name="s", network_id=net["id"], cidr="10.9.0.0/24", ip_version=4,
        gateway_ip=None, allocation_pools=[{"start": "10.9.0.9", "end": "10.9.0.99"}],
    )  # fmt: skip
    strangers = destination.rows[resource_of("network")].keys() - infrastructure().ids()
    ended = outcomes(migrate(flat(exported(source)), view(destination)))
    assert {outcome for outcome, _ in ended.values()} == {"created"}, strangers


def test_what_belongs_to_another_document_is_not_taken() -> None:
    destination, source = infrastructure(), infrastructure()
    taken = destination.seed(resource_of("network"), name="net")
    source.seed(resource_of("network"), name="net")
    (document,) = exported(source)["network"]
    ended = apply.ensure("network", document, view(destination), {"claimed": [taken["id"]], "twins": 2})
    assert (ended.outcome, ended.destination_id != taken["id"]) == ("created", True)


def test_a_second_try_sees_what_was_made_in_between() -> None:
    source, destination = infrastructure(), infrastructure()
    network = source.seed(resource_of("network"), name="net")
    source.seed(resource_of("subnet"), name="sub", network_id=network["id"], cidr="10.9.0.0/24", ip_version=4)
    (document,) = exported(source)["subnet"]
    look = view(destination)
    assert apply.ensure("subnet", document, look, {}).outcome == "missing"
    destination.seed(resource_of("network"), name="net")  # by a person
    assert apply.ensure("subnet", document, look, {}).outcome == "missing"
    assert apply.ensure("subnet", document, look, {"look": True}).outcome == "created"


def test_a_changed_twin_that_nobody_remembers_is_not_doubled() -> None:
    source, destination = twin_project("twin", "router", alike=False), infrastructure()
    migrate(flat(exported(source)), view(destination))
    next(r for r in source.all(resource_of("router")) if r["description"] == "number 1")["description"] = "edited"
    migrate(flat(exported(source)), view(destination))
    assert len(destination.all(resource_of("router"))) == 2


# -- what single kinds promise -------------------------------------------------------------------------------


def test_a_locked_down_group_does_not_arrive_open(source: Cloud) -> None:
    destination = infrastructure()
    migrate(flat(exported(source)), view(destination))
    groups = {g["id"]: g["name"] for g in destination.all(resource_of("security_group"))}
    rules = destination.all(resource_of("security_group_rule"))
    opened = {(groups[r["security_group_id"]], r["ether_type"]) for r in rules if r["direction"] == "egress"}
    assert opened == {("group", "IPv6")}  # "other" has no way out, "group" no way out by IPv4


def test_groups_that_all_have_no_rules_arrive_without_rules() -> None:
    source, destination = infrastructure(), infrastructure()
    source.seed(resource_of("security_group"), name="closed")
    migrate(flat(exported(source)), view(destination))
    assert destination.all(resource_of("security_group_rule")) == []


@pytest.mark.parametrize("name", ["user@host", "a.b", "plain key"])
def test_key_pairs_of_any_name_arrive(name: str) -> None:
    source, destination = infrastructure(), infrastructure()
    source.seed(resource_of("keypair"), name=name, public_key="ssh-rsa AAAA", user_id="u")
    documents = exported(source)["keypair"]
    assert [o for o, _ in outcomes(migrate(documents, view(destination))).values()] == ["created"]
    assert [o for o, _ in outcomes(migrate(documents, view(destination))).values()] == ["unchanged"]


def test_a_key_pair_that_nova_does_not_take_keeps_its_status() -> None:
    document = {"type": "openstack.compute.Keypair", "params": {"name": "ä", "public_key": "ssh-rsa AAAA"}}
    with pytest.raises(Exception, match="unsafe characters") as caught:
        apply.ensure("keypair", document, view(infrastructure()), {})
    assert caught.value.status_code == 400  # type: ignore[attr-defined]


def test_a_subnet_without_pools_arrives_without_pools() -> None:
    source, destination = infrastructure(), infrastructure()
    net = source.seed(resource_of("network"), name="net")
    source.seed(
        resource_of("subnet"), name="s", network_id=net["id"], cidr="10.0.0.0/24", ip_version=4, gateway_ip=None,
        allocation_pools=[],
    )  # fmt: skip
    documents = flat(exported(source))
    migrate(documents, view(destination))
    pools = [s["allocation_pools"] for s in destination.all(resource_of("subnet")) if s["name"] == "s"]
    destination.writes.clear()
    assert {o for o, _ in outcomes(migrate(documents, view(destination))).values()} == {"unchanged"}
    assert (pools, destination.writes) == ([[]], [])


def test_a_number_written_as_text_is_the_same_number(moved: Any) -> None:
    documents, destination = moved
    document = plain(documents, "network")
    document["params"]["provider_segmentation_id"] = "456"  # as OS Migrate writes it
    assert apply.compare("network", document, view(destination, admin=True), {}).outcome == "unchanged"


def test_an_interface_on_an_address_that_another_router_has_is_a_conflict(moved: Any) -> None:
    documents, destination = moved
    add_router(destination, "another")
    document = plain(documents, "router_interface")
    document["params"]["device_ref"]["name"] = "another"
    ended = apply.ensure("router_interface", document, view(destination), {})
    assert (ended.outcome, destination.writes) == ("conflict", [])


def test_an_interface_that_cannot_be_plugged_leaves_no_port_behind(moved: Any, monkeypatch: Any) -> None:
    documents, destination = moved
    document = plain(documents, "router_interface")
    destination.rows[resource_of("router_interface")].clear()
    look = view(destination)
    monkeypatch.setattr(look.connection.network, "add_interface_to_router", lambda *_, **__: 1 / 0, raising=False)
    with pytest.raises(ZeroDivisionError):
        apply.ensure("router_interface", document, look, {})
    assert destination.all(resource_of("router_interface")) == []


def test_an_interface_on_the_gateway_address_is_plugged_by_subnet(source: Cloud) -> None:
    documents, destination = exported(source), infrastructure()
    (interface,) = documents["router_interface"]
    interface["params"]["fixed_ips_refs"][0]["ip_address"] = "10.0.0.1"
    migrate(flat(documents), view(destination))
    destination.writes.clear()
    assert {o for o, _ in outcomes(migrate(flat(documents), view(destination))).values()} == {"unchanged"}
    (leg,) = [row for row in destination.all(resource_of("router_interface")) if "router" in row["device_owner"]]
    assert leg["fixed_ips"][0]["ip_address"] == "10.0.0.1"


@pytest.mark.parametrize("kind", ["network", "router", "security_group", "address_group", "keypair", "image"])
def test_what_a_lost_try_made_is_found_and_called_created(source: Cloud, kind: str) -> None:
    destination, document = infrastructure(), plain(exported(source), kind)
    document["params"] = {n: v for n, v in document["params"].items() if n in ("name", "public_key")}
    made = apply.ensure(kind, document, view(destination), {})
    destination.writes.clear()
    for row in destination.rows[resource_of(kind)].values():
        row.pop("updated_at", None)
    again = apply.ensure(kind, document, view(destination), {"look": True, "first_asked": 1_700_000_000})
    assert (again.destination_id, destination.writes) == (made.destination_id, [])
    has_birthday = is_attribute(resource_of(kind), "created_at")
    assert again.outcome == ("created" if has_birthday else "unchanged")


def test_a_gateway_address_that_only_names_its_subnet_is_fine(moved: Any) -> None:
    documents, destination = moved
    document = plain(documents, "router")
    del document["params"]["external_gateway_refinfo"]["external_fixed_ips_refs"][0]["ip_address"]
    assert apply.compare("router", document, view(destination, admin=True), {}).outcome == "unchanged"


def test_a_plan_shows_late_fields_too(moved: Any) -> None:
    documents, destination = moved
    document = plain(documents, "router")
    document["params"]["routes"][0]["nexthop"] = "10.0.0.8"
    planned = apply.compare("router", document, view(destination, admin=True), {})
    assert [change["field"] for change in planned.changes] == ["routes"]


def test_what_is_off_is_no_other_than_what_this_cloud_does_not_know(moved: Any) -> None:
    documents, destination = moved
    document = plain(documents, "network")
    document["params"]["is_vlan_transparent"] = False
    for row in destination.all(resource_of("network")):
        row.pop("is_vlan_transparent", None)
    assert apply.compare("network", document, view(destination, admin=True), {}).outcome == "unchanged"


@pytest.mark.parametrize("kind", ["security_group_rule", "keypair"])
def test_what_somebody_else_makes_at_the_same_moment_is_adopted(source: Cloud, kind: str, monkeypatch: Any) -> None:
    document = plain(exported(source), kind)
    destination = infrastructure()
    documents = exported(source)
    migrate([d for k in NAMES if k in needed(kind) for d in documents[k]], view(destination))
    look = view(destination)
    look.records(kind)  # seen before the other one came
    if kind == "security_group_rule":
        look.records_of(
            kind, "security_group_id", look.resolve("security_group", document["params"]["security_group_ref"])
        )
    theirs = apply.ensure(kind, document, view(destination), {})
    ended = apply.ensure(kind, document, look, {})
    assert (ended.outcome, ended.destination_id) == ("unchanged", theirs.destination_id)


def test_a_view_lists_each_kind_once(source: Cloud, monkeypatch: Any) -> None:
    look, listed = view(source), []
    for kind in NAMES:
        cls = KINDS[kind]
        listing = cls.listing
        monkeypatch.setattr(cls, "listing", lambda v, listing=listing, kind=kind: listed.append(kind) or listing(v))
    for _ in range(2):
        for kind in NAMES:
            look.records(kind)
    assert sorted(listed) == NAMES


@pytest.mark.parametrize(
    ("service", "call"),
    [("network", "add_interface_to_router"), ("network", "remove_interface_from_router"),
     ("network", "add_addresses_to_address_group"), ("network", "remove_addresses_from_address_group"),
     ("network", "set_tags"), ("image", "members"), ("image", "add_member")],
)  # fmt: skip
def test_special_calls_have_the_parameters_of_openstacksdk(service: str, call: str) -> None:
    """The fake's own: what it takes, the real proxy takes."""
    real, ours = signature(getattr(SERVICES[service][0], call)), signature(getattr(PROXIES.get(service, Proxy), call))
    taken = list(ours.parameters)
    assert taken[2:] == list(real.parameters)[2 : len(taken)]


@pytest.mark.parametrize(
    ("direction", "more", "outcome"),
    [("egress", {}, "unchanged"), ("ingress", {}, "created"), ("egress", {"protocol": "tcp"}, "created")],
)
def test_a_plan_knows_which_rules_neutron_makes_with_a_group(direction: str, more: Any, outcome: str) -> None:
    group = {"name": "g", "id": PENDING}
    params = {"direction": direction, "ether_type": "IPv4", "security_group_ref": group, **more}
    document = {"type": KINDS["security_group_rule"].type, "params": params, "_info": {}}
    found = apply.compare("security_group_rule", document, view(infrastructure()), {})
    assert (found.outcome, found.destination_id) == (outcome, None)


def unplugged(moved: Any, created_at: str) -> tuple[Document, str, dict[str, Any]]:
    """A leg's document; the id of its port, which was made then and is in no router; all ports."""
    documents, destination = moved
    document = plain(documents, "router_interface")
    made = str(apply.compare("router_interface", document, view(destination, admin=True), {}).destination_id)
    ports = destination.rows[resource_of("router_interface")]
    ports[made] = {**ports[made], "device_id": "", "created_at": created_at}
    return document, made, ports


def test_the_port_of_a_leg_whose_answer_was_lost_is_plugged_and_no_other_is_made(moved: Any) -> None:
    """A leg is made by two calls: what the first one has made is found though its cloud said 500."""
    document, made, ports = unplugged(moved, "2026-01-01T00:00:10Z")
    destination, before = moved[1], len(ports)
    lost = {"first_asked": datetime(2026, 1, 1, tzinfo=UTC).timestamp(), "look": True}
    looked = apply.ensure("router_interface", document, view(destination, admin=True), {**lost, "only_look": True})
    assert (looked.outcome, looked.destination_id) == ("created", made)  # so that undo takes it away
    ended = apply.ensure("router_interface", document, view(destination, admin=True), lost)
    assert (ended.outcome, ended.destination_id, len(ports)) == ("created", made, before)
    assert ports[made]["device_id"]
    again = apply.ensure("router_interface", document, view(destination, admin=True), {})
    assert (again.outcome, again.destination_id) == ("unchanged", made)
    ports[made] = {**ports[made], "device_id": ""}
    assert apply.remove("router_interface", document, view(destination), {"destination_id": made}).outcome == "removed"
    assert made not in ports


def test_a_free_port_of_somebody_elses_is_not_plugged(moved: Any) -> None:
    document, made, ports = unplugged(moved, "2020-01-01T00:00:00Z")
    lost = {"first_asked": datetime(2026, 1, 1, tzinfo=UTC).timestamp(), "look": True}
    ended = apply.ensure("router_interface", document, view(moved[1], admin=True), lost)
    assert ended.outcome == "conflict"
    assert not ports[made]["device_id"]
