"""cleanup-source: only what was moved and verified is deleted at the source, once asked for, whatever is killed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from stackferry.cleanup import candidates, deleted, step_keys
from stackferry.errors import Error
from stackferry.messages import PerformAction
from stackferry.phases import ACTIONS
from stackferry_cli.commands.cleanup import chosen
from stackferry_coordinator.rules import source_cleanup
from stackferry_coordinator.rules.reactions import react

from .documents import server, volume, warm
from .workload_world import MIGRATION, Unkind, WorkloadWorld

KEYS = step_keys("server/a")


class World(WorkloadWorld):
    """Clouds in which sources can be deleted."""

    deleted: set[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.deleted, self.asked, self.runs_again, self.gone = set(), [], set(), set()

    def clean(self, *workloads: str) -> None:
        data = {"migration": MIGRATION, "workloads": list(workloads)}
        assert source_cleanup.refused(self.ledger, "clean-up-source", data) is None
        self._tell("clean-up-source", data)
        for _ in range(20000):
            if self._over():
                return
            self._step()
        raise AssertionError(f"it doesn't end: {self.ledger.head}")

    def _effect(self, step: Any, data: Any, broken: bool) -> Any:
        if step.action in source_cleanup.ACTIONS:
            self.asked.append((step.key, PerformAction.load_data(data)))
        return super()._effect(step, data, broken)

    def _arrived(self, step: Any, data: Any) -> Any:
        if data["resource"] in self.gone:
            return {"outcome": "failed", "reason": "it's gone from the destination", "retryable": False}
        assert data["place"] == {"cloud": "dst"}
        return {"outcome": "done"}

    def _at_rest(self, step: Any, data: Any) -> Any:
        if data["resource"] in self.runs_again:
            return {"outcome": "failed", "reason": "it runs again", "retryable": False}
        return {"outcome": "done", "results": {"kept": {"x": "taken off"}}}

    def _clean_up(self, step: Any, data: Any) -> Any:
        assert data["place"] == {"cloud": "src"}
        assert data["known"].get("kept") == {"x": "taken off"}
        self.deleted |= {data["resource"], *data["known"]["volumes"]}
        return {"outcome": "done", "results": {"deleted": [data["resource"]]}}


def moved(documents: list[Any] | None = None, unkind: Unkind | None = None, seed: int = 1) -> World:
    played = World(documents or [server("a", 2), server("b", 1, "SHUTOFF"), volume("loose")], seed, Unkind(0, 0, 0, 0))
    assert played.run() == "done"
    played.unkind = unkind or played.unkind
    return played


def test_only_what_is_asked_for_is_deleted_and_only_at_the_source() -> None:
    played = moved()
    made = dict(played.clouds.made)
    played.clean("server/a")
    assert played.deleted == {"a", "a-disk0", "a-disk1"}
    assert played.ledger.head.phase == "done"
    assert played.clouds.made == made
    assert [key for key, _ in played.asked][-1] == KEYS["clean-up"]
    known = dict(played.asked)[KEYS["clean-up"]]["known"]
    assert (known["ports"], known["floating_ips"], known["has_boot_disk"]) == (["port-a"], ["fip-a"], False)
    assert known["moved_at"] == played.ledger.step("server/a").results["stopped"]
    there = dict(played.asked)[KEYS["arrived"]]
    assert there["resource"] == played.ledger.step("server/a").destination_id
    assert len(there["known"]["volumes"]) == 2
    played.clean("volume/loose")
    assert played.deleted == {"a", "a-disk0", "a-disk1", "loose"}


@pytest.mark.parametrize("seed", range(40))
def test_kills_and_late_messages_delete_nothing_more(seed: int) -> None:
    played = moved(unkind=Unkind(0.2, 0.05, 0.0, 0.2), seed=seed)
    states = {step.key: step.state for step in played.ledger.all() if step.group}
    played.clean("server/a", "volume/loose")
    assert played.deleted <= {"a", "a-disk0", "a-disk1", "loose"}
    for key in ("server/a", "volume/loose"):
        last = played.ledger.step(step_keys(key)["clean-up"])
        assert last.state in ("done", "failed", "skipped")
        assert last.state != "done" or last.key.split("/")[1] in played.deleted
    assert {step.key: step.state for step in played.ledger.all() if step.group} == states, "nothing is taken back"


@pytest.mark.parametrize("where", ["source", "destination"])
def test_what_runs_again_or_is_gone_there_stays_and_the_others_go(where: str) -> None:
    played = moved()
    (played.runs_again if where == "source" else played.gone).add(
        "a" if where == "source" else played.ledger.step("server/a").destination_id
    )
    played.clean("server/a", "server/b")
    assert played.deleted == {"b", "b-disk0"}
    last = played.ledger.step(KEYS["clean-up"])
    assert (last.state, last.attempt) == ("skipped", 0)
    assert played.ledger.step("server/a").state == "done", "the server at the destination is left alone"
    played.runs_again, played.gone = set(), set()
    played.clean("server/a")
    assert played.deleted >= {"a", "a-disk0", "a-disk1"}


@pytest.mark.parametrize("action", [a for a in ACTIONS if a not in ("undo",)])
def test_nothing_else_deletes_at_the_source(action: str) -> None:
    """Whatever users tell the migration: neither a cleanup that failed, nor none at all, is begun by it."""
    for began in (False, True):
        played = moved()
        if began:
            played.runs_again.add("a")
            played.clean("server/a")
        played.asked.clear()
        played._tell("control-migration", {"migration": MIGRATION, "action": action})
        for _ in range(300):
            played._step()
        assert played.asked == []
        assert played.deleted == set()


def test_undo_is_refused_once_something_was_deleted_and_not_before() -> None:
    played, undo = moved(), {"migration": MIGRATION, "action": "undo"}
    assert source_cleanup.refused(played.ledger, "control-migration", undo) is None
    played.runs_again.add("a")
    played.clean("server/a")
    assert source_cleanup.refused(played.ledger, "control-migration", undo) is None
    played.clean("server/b")
    why = "1 workload was deleted at the source by cleanup-source: undo would delete what is left of it"
    assert source_cleanup.refused(played.ledger, "control-migration", undo) == {"action": why}
    assert source_cleanup.refused(played.ledger, "control-migration", {**undo, "action": "retry"}) is None


def test_it_is_refused_unless_the_migration_is_done() -> None:
    played, data = moved(), {"migration": MIGRATION, "workloads": ["server/a"]}
    for phase in ("running", "undone", "cancelled", "stuck", "planned"):
        played.ledger.head = replace(played.ledger.head, phase=phase)
        assert f"it is {phase}" in source_cleanup.refused(played.ledger, "clean-up-source", data)["migration"]
    played.ledger.head = replace(played.ledger.head, phase="done")
    unknown = {"migration": MIGRATION, "workloads": ["server/a", "server/nobody"]}
    assert "server/nobody" in source_cleanup.refused(played.ledger, "clean-up-source", unknown)["workloads"]


def test_a_server_that_failed_or_was_there_before_or_is_unverified_stays() -> None:
    played = moved()

    def refusals() -> dict[str, Any]:
        return {one.key: one.refusal for one in candidates(source_cleanup._row(step) for step in played.ledger.all())}

    assert set(refusals().values()) == {None}
    played.ledger.change(played.ledger.step("volume/a-disk1/verify/0"), outcome="unchanged")
    played.ledger.change(played.ledger.step("server/b"), outcome="unchanged")
    played.ledger.change(played.ledger.step("volume/loose"), state="failed")
    assert refusals() == {
        "server/a": "its volume 'a-disk1' was not verified",
        "server/b": "it was at the destination before: this migration has moved nothing of it",
        "volume/loose": "it isn't done but failed",
    }
    data = {"migration": MIGRATION, "workloads": list(refusals())}
    react(played.ledger, "clean-up-source", data, played.now)
    assert played.ledger.head.phase == "done"
    assert not played.ledger.head.open
    step = played.ledger.step(KEYS["clean-up"])
    assert (step.state, step.outcome, step.reason) == ("failed", "conflict", "its volume 'a-disk1' was not verified")
    assert deleted([source_cleanup._row(step)]) is None


def test_a_warm_server_is_verified_by_its_last_pass() -> None:
    played = moved([warm(server("w", 1))])

    def refusal() -> Any:
        (one,) = candidates(source_cleanup._row(step) for step in played.ledger.all())
        return one.refusal

    assert "volume/w-disk0/verify/0" not in played.ledger.steps
    assert refusal() is None
    played.ledger.change(played.ledger.step("volume/w-disk0/copy/0"), state="skipped")
    assert refusal() == "its volume 'w-disk0' was not verified"


def test_a_second_time_nothing_is_asked_for() -> None:
    played = moved()
    played.clean("server/a")
    asked = len(played.asked)
    played.clean("server/a")
    assert len(played.asked) == asked


# -- what the command lets one choose ------------------------------------------------------------------------------


def test_servers_are_chosen_by_name_or_id() -> None:
    played = moved([server("a"), server("b"), volume("loose")])
    found = candidates(source_cleanup._row(step) for step in played.ledger.all())
    assert [one.key for one in chosen(found, None)] == ["server/a", "server/b", "volume/loose"]
    assert [one.key for one in chosen(found, ["b", "loose"])] == ["server/b", "volume/loose"]
    with pytest.raises(Error, match="--server 'c': this migration has none of that name or id"):
        chosen(found, ["b", "c"])
    twins = [replace(one, name="same") for one in found]
    with pytest.raises(Error, match="3 are called so; give the id"):
        chosen(twins, ["same"])
    assert [one.key for one in chosen(twins, ["a"])] == ["server/a"]
    with pytest.raises(Error, match="'b' stays: it ran"):
        chosen([replace(one, refusal="it ran") for one in found], ["b"])
    with pytest.raises(Error, match="has moved no servers"):
        chosen([], None)
