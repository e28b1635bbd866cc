"""What the steps of a workload ask for: above all, that no disk is written to which was there before."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from stackferry.errors import InvalidMessage
from stackferry.messages import PerformAction
from stackferry_clouds.actions import attempt
from stackferry_coordinator.commands.resources import command
from stackferry_coordinator.commands.workloads import hints, sized
from stackferry_coordinator.plan.subjects import GIB, segments
from stackferry_coordinator.rules.reactions import opened

from ...graphs import build
from .documents import document, ref, server, trunked, volume, warm
from .workload_world import MIGRATION, Unkind, WorkloadWorld

#: what an importer is told of a first try
NOTHING_YET: dict[str, Any] = {"made": [], "replaced": {}}
EARLIER = "id-of-an-earlier-migration"


def until_asked(
    key: str, documents: list[dict[str, Any]], request: dict[str, Any] | None = None
) -> tuple[WorkloadWorld, dict[str, Any]]:
    """Play a kind world until a step is asked; return it with the step's command."""
    world = WorkloadWorld(documents, 1, Unkind(0, 0, 0, 0))
    world.request |= request or {}
    world.ledger = opened(world.request)
    world._tell("request-migration", world.request)
    world._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": documents})
    for _ in range(5000):
        due = next((sent.do for sent in world.commands if sent.do.key == key), None)
        if due is not None:
            return world, command(world.ledger, due, lambda *_: EARLIER, ["pem"])[1]
        world._step()
    raise AssertionError(f"{key} was never asked")


@pytest.mark.parametrize("key", ["volume/a-disk0", "volume/loose"])
def test_a_disk_is_always_made_anew_and_marked(key: str) -> None:
    _, data = until_asked(key, [server("a"), volume("loose")])
    assert data["hints"] == NOTHING_YET | {"marker": f"{MIGRATION}/{key.partition('/')[2]}"}


@pytest.mark.parametrize("key", ["port/port-a", "floating_ip/fip-a"])
def test_a_part_of_a_server_is_not_what_it_was_in_an_earlier_migration(key: str) -> None:
    assert "destination_id" not in until_asked(key, [server("a")])[1]["hints"]


@pytest.mark.parametrize("key", ["server/a/check", "volume/loose/check"])
def test_what_has_arrived_earlier_is_known_again(key: str) -> None:
    assert until_asked(key, [server("a"), volume("loose")])[1]["hints"]["destination_id"] == EARLIER


@pytest.mark.parametrize("outcome", ["unchanged", "updated"])
def test_a_disk_that_was_there_before_is_never_written_to(outcome: str) -> None:
    world, _ = until_asked("volume/a-disk0", [server("a")])
    about = {"migration": MIGRATION, "step": "volume/a-disk0", "attempt": 1}
    world.commands.clear()
    world._tell("step-ended", {**about, "outcome": outcome, "destination_id": "precious"})
    step = world.ledger.step("volume/a-disk0")
    assert (step.state, step.reason) == ("failed", "volume precious was there before: copying would overwrite it")
    while world.ledger.head.phase != "done":
        world._step()
    assert world.clouds.power["a"] == "ACTIVE"
    assert world.clouds.clones == world.clouds.content == world.clouds.made == {}


@pytest.mark.parametrize(("size", "at_once"), [(1, 1), (2, 2), (5, 2), (40, 2)])
def test_volumes_on_the_hosts_share_the_bandwidth_of_their_migration(size: int, at_once: int) -> None:
    request = {"bandwidth": 1200}
    world, data = until_asked("volume/a-disk0/copy/0", [server("a", 3, size=size)], request)
    placed = world.ledger.head.counts["holding"]
    assert placed > 1
    assert data["bandwidth"] == 1200 // placed // at_once


def test_without_a_limit_a_segment_is_told_none() -> None:
    assert "bandwidth" not in until_asked("volume/a-disk0/copy/0", [server("a")])[1]


def test_a_trunk_is_told_its_port_and_the_ports_inside_of_it() -> None:
    world, data = until_asked("trunk/trunk-a", [trunked(server("a"))])
    port, inside = (world.ledger.step(key).destination_id for key in ("port/port-a", "sub_port/inside-a"))
    place = {"segmentation_id": 7, "segmentation_type": "vlan"}
    assert data["hints"] == NOTHING_YET | {"port_id": port, "sub_ports": [{"port_id": inside, **place}]}


def test_a_sub_port_that_is_in_its_trunk_already_is_known_by_it() -> None:
    world, _ = until_asked("server/a", [trunked(server("a"))])
    again = hints(world.ledger, world.ledger.step("sub_port/inside-a"))
    assert again == {"device_id": world.ledger.step("trunk/trunk-a").destination_id}


def test_ports_get_the_groups_that_only_their_server_has() -> None:
    found = server("a")
    found["params"]["security_group_refs"] = [ref("web")]
    found["_info"]["source_ids"] = {"security_group_refs.0": "g"}
    web = document("openstack.network.SecurityGroup", "g", {"name": "web"})
    world, data = until_asked("port/port-a", [web, found])
    (told,) = data["document"]["params"]["security_group_refs"]
    assert (told["name"], told["id"]) == ("web", world.ledger.step("security_group/g").destination_id)


@pytest.mark.parametrize("facts", [True, False])
def test_a_floating_ip_leads_to_its_port_by_id_or_else_by_address(facts: bool) -> None:
    found = server("a")
    second = document("openstack.network.ServerPort", "second", {"fixed_ips_refs": [{"ip_address": "10.0.0.2"}]})
    found["params"]["ports"] += [second]
    (address,) = found["params"]["floating_ips"]
    address["_info"]["port_id"] = "second" if facts else None
    address["params"]["fixed_ip_address"] = None if facts else "10.0.0.2"
    world, data = until_asked("floating_ip/fip-a", [found])
    assert data["hints"]["port_id"] == world.ledger.step("port/second").destination_id


def test_parts_that_somebody_added_by_hand_are_made_too() -> None:
    found = server("a")
    added = {"type": "openstack.network.ServerPort", "params": {"name": "added"}}
    found["params"]["ports"] += [added, found["params"]["ports"][0]]  # one without facts, and one that was copied
    world, data = until_asked("server/a", [found])
    keys = ["port/port-a", "port/by-hand-a-ports-1", "port/by-hand-a-ports-2"]
    assert data["hints"]["port_ids"] == [world.ledger.step(key).destination_id for key in keys]
    assert len({*data["hints"]["port_ids"]}) == 3


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda d: d["_info"].pop("id"), "_info.id is missing"),
        (lambda d: d.pop("_info"), "_info.id is missing"),
        (lambda d: d["params"]["volumes"][1].pop("_info"), "volumes.1._info.id is missing"),
        (lambda d: d["params"]["volumes"][1]["_info"].update(id="a-disk0"), "volumes: a-disk0 stands twice"),
    ],
)
def test_a_server_that_cannot_be_found_at_the_source_is_refused_and_the_others_go_on(spoil: Any, said: str) -> None:
    wrong = copy.deepcopy(server("a", 2))
    spoil(wrong)
    world = WorkloadWorld([server("b")], 1, Unkind(0, 0, 0, 0))
    world._tell("request-migration", world.request)
    world._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": [wrong, server("b")]})
    while world.ledger.head.phase != "done":
        world._step()
    for _ in range(2):
        heads = {step.key: (step.state, step.reason) for step in world.ledger.all() if step.key == step.group}
        assert heads.pop("server/b") == ("done", None)
        ((key, (state, reason)),) = heads.items()
        assert state == "failed"
        assert said in reason
        world._tell("control-migration", {"migration": MIGRATION, "action": "retry"})
        while world.ledger.head.phase != "done":
            world._step()
    assert world.ledger.step(key).attempt == 0, "it was asked for"


def test_a_plan_says_it_too_and_what_was_planned_is_not_done() -> None:
    wrong = copy.deepcopy(server("a"))
    wrong["params"]["volumes"][0]["_info"].pop("id")
    world = WorkloadWorld([server("b")], 1, Unkind(0, 0, 0, 0))
    world.request["mode"] = "plan"
    world.ledger = opened(world.request)
    world._tell("request-migration", world.request)
    world._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": [wrong]})
    assert [(s.key, s.outcome) for s in world.ledger.all() if s.kind == "server"] == [("server/a", "conflict")]
    for _ in range(2000):
        if world.ledger.head.phase == "done":
            break
        if world.ledger.head.phase == "planned":
            world._tell("control-migration", {"migration": MIGRATION, "action": "start"})
        world._step()
    assert world.ledger.head.phase == "done"
    assert world.ledger.step("server/a").outcome == "conflict"
    assert world.clouds.made == {}


def test_what_belongs_to_two_servers_is_refused_for_the_second() -> None:
    first, second = server("a"), server("b")
    second["params"]["ports"] = copy.deepcopy(first["params"]["ports"])
    world, _ = until_asked("server/a", [first, second])
    assert world.ledger.step("server/b").reason == (
        "server 'b': port port-a belongs to another document, too: leave it out of one, or give it another _info.id"
    )


@pytest.mark.parametrize("key", ["server/a/check", "volume/loose/check"])
def test_a_check_asks_for_everything_since_nothing_is_made_yet(key: str) -> None:
    _, data = until_asked(key, [server("a", 2), volume("loose")])
    assert set(data["hints"]) <= {"destination_id"}


def test_a_journal_belongs_to_the_disk_that_was_made() -> None:
    world, data = until_asked("volume/a-disk0/copy/0", [server("a")])
    assert data["copy"] == f"{MIGRATION}/{world.ledger.step('volume/a-disk0').destination_id}"


@pytest.mark.parametrize(
    ("size", "lengths"),
    [(0, [0]), (1, [1]), (2, [1, 1]), (3, [2, 1]), (4, [2, 2]), (8, [4, 4]), (9, [4, 4, 1]), (100, [4] * 25)],
)
def test_a_volume_is_moved_in_segments_that_cover_it(size: int, lengths: list[int]) -> None:
    found = segments(size * GIB)
    assert [length for _, length in found] == [length * GIB for length in lengths]
    assert [first for first, _ in found] == [sum(lengths[:number]) * GIB for number in range(len(lengths))]


def test_a_namesakes_own_is_never_taken_though_only_an_earlier_migration_knows_it() -> None:
    """The younger of two of one name was moved earlier, by itself: the older one must not be taken for it."""
    first, second = server("a"), server("b")
    second["params"]["name"] = "a"
    world, _ = until_asked("server/a/check", [first, second])
    due = next(sent.do for sent in world.commands if sent.do.key == "server/a/check")
    known = {"b": EARLIER}
    hints_ = command(world.ledger, due, lambda _, source_id: known.get(source_id), ["pem"])[1]["hints"]
    assert (hints_["claimed"], hints_["twins"]) == ([EARLIER], 2)


def test_a_server_is_made_with_a_mark_of_its_own() -> None:
    data = until_asked("server/a", [server("a")])[1]
    assert data["hints"]["marker"] == f"{MIGRATION}/a"


def two_that_boot() -> dict[str, Any]:
    """A server with two bootable volumes, each at the first device of a bus."""
    found = server("a", 2)
    for disk, device in zip(found["params"]["volumes"], ("sda", "vda"), strict=True):
        disk["_info"] |= {"is_bootable": True, "attachments": [{"device": f"/dev/{device}"}]}
    return found


def test_the_disk_that_a_server_starts_from_is_the_one_that_nova_names() -> None:
    found = two_that_boot()
    found["_info"]["root_device_name"] = "/dev/vda"
    exposed = [until_asked(f"volume/a-disk{n}/expose", [found])[1]["known"].get("boot") for n in (0, 1)]
    assert exposed == [None, True]
    assert until_asked("server/a", [found])[1]["hints"]["boot_volume"] == 1


def test_a_server_of_which_nobody_knows_what_it_starts_from_is_refused_before_anything_is_touched() -> None:
    (node,) = build([two_that_boot()], workloads=True)
    assert "nothing says which volume it starts from" in str(node.problem)
    without_copies = two_that_boot()
    without_copies["_migration_params"]["data_copy"] = False
    assert all(node.problem is None for node in build([without_copies], workloads=True))


@pytest.mark.parametrize("warmly", [False, True])
def test_the_copy_of_a_boot_disk_has_the_metadata_of_the_servers_image(warmly: bool) -> None:
    found = server("a")
    found["params"]["image_ref"] = ref("gone")
    found["_migration_params"] = {"boot_disk_copy": True, "boot_volume_params": {"name": "root"}}
    world, _ = until_asked("volume/a-boot", [warm(found, **found["_migration_params"]) if warmly else found])
    exposed = world.ledger.step(f"volume/a-boot/{'warm-' if warmly else ''}expose")
    world.ledger.change(exposed, results={"size": 3, "image_metadata": {"hw_firmware_type": "uefi"}})
    document = sized(world.ledger, world.ledger.step("volume/a-boot"))
    assert document["params"] == {"name": "root", "volume_image_metadata": {"hw_firmware_type": "uefi"}}
    assert document["_info"]["size"] == 3


@pytest.mark.parametrize(
    ("status", "how", "off"),
    [
        ("SHUTOFF", {"power": "source"}, True),
        ("SHUTOFF", {"power": None}, True),
        ("ACTIVE", {"power": "source"}, False),
        ("SHUTOFF", {"power": "source", "shutdown": "wait"}, True),
        ("ACTIVE", {"power": "source", "shutdown": "wait"}, False),
    ],
)
def test_a_server_that_was_stopped_is_stopped_there(status: str, how: dict[str, Any], off: bool) -> None:
    found = {**server("a", status=status), "_migration_params": how}
    world, data = until_asked("server/a/power", [found])
    assert data["known"] == {"off": off}
    assert data["resource"] == world.ledger.step("server/a").destination_id


@pytest.mark.parametrize("how", [{}, {"power": "running"}])
def test_servers_of_os_migrates_files_all_run_there(how: dict[str, Any]) -> None:
    found = {**server("a", status="SHUTOFF"), "_migration_params": how}
    assert "server/a/power" not in {node.key for node in build([found], workloads=True)}


def test_a_server_that_changed_hosts_and_was_taken_back_gets_another_round() -> None:
    """Its disk left those hosts long ago: a command to detach it again would be about nothing, and couldn't be said."""
    world, _ = until_asked("volume/a-disk0/copy/0", [server("a")])
    host = world.ledger.step("volume/a-disk0/assign").results["source_host"]
    world.silent[host] = world.now - 100
    world._notice()
    moves = [sent for sent in world.commands if "/move/" in sent.do.key]
    assert {sent.data["action"] for sent in moves} == {"detach"}
    while not any(sent.do.key == "volume/a-disk0/copy/0" and sent.do.attempt > 1 for sent in world.commands):
        world._step()
    world.unkind.broken = "copy"
    while world.ledger.head.phase != "done":
        world._step()
    assert (world.ledger.step("server/a").state, world.clouds.power["a"]) == ("failed", "ACTIVE")
    world.unkind.broken, sent = "", len(world.sent)
    world._tell("control-migration", {"migration": MIGRATION, "action": "retry"})
    while world.ledger.head.phase != "done":
        world._step()
    assert world.ledger.step("server/a").state == "done"
    assert not [do for do in world.sent[sent:] if "/move/" in do.key]


def test_a_detach_of_nothing_is_done_at_once() -> None:
    """Such as of a disk whose later pass never became readable, while its server is taken back."""
    about = {"migration": MIGRATION, "step": "volume/w/warm-attach-source/undo/2", "attempt": 1, "action": "detach",
             "kind": "volume", "resource": None, "place": {"cloud": "src"}, "known": {"server": "host"}}  # fmt: skip
    assert attempt(lambda: None, PerformAction.load_data(about))["outcome"] == "done"


@pytest.mark.parametrize("action", ["attach", "expose", "stop", "power"])
def test_nothing_else_is_asked_for_about_nothing(action: str) -> None:
    _, data = until_asked("server/a/stop", [server("a")])
    with pytest.raises(InvalidMessage, match="only a detach may be about nothing"):
        PerformAction.load_data({**data, "action": action, "resource": None})
