"""Where workloads are: from the steps as they are, and from the facts that follow, the same."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import pytest
from stackferry.progress import Amount, Meter, Progress
from stackferry.progress.meter import noted, told
from stackferry_coordinator.events import telling
from stackferry_coordinator.plan.step import CONCERNS, stored
from stackferry_coordinator.queries import _step
from stackferry_coordinator.rules import arrivals
from stackferry_coordinator.rules.reactions import opened, react

from .coordinator.documents import awaited, server, volume, warm
from .coordinator.simulation import FINAL
from .coordinator.slicing import sliced
from .coordinator.test_workload_simulator import world
from .coordinator.workload_world import MIGRATION, Unkind, WorkloadWorld

GIB = 1 << 30


def rows(ledger: Any, now: float = 0.0) -> list[dict[str, Any]]:
    """The steps as a client gets them."""
    found = []
    for step in ledger.all():
        row = {**dataclasses.asdict(step), "hints": stored(step)}
        found.append(_step({name: value for name, value in row.items() if name not in CONCERNS}, now))
    return found


def loaded(ledger: Any, now: float = 0.0) -> Progress:
    progress = Progress()
    progress.load(rows(ledger), now)
    return progress


def planned(documents: list[dict[str, Any]]) -> WorkloadWorld:
    played = WorkloadWorld(documents, 1, Unkind(0, 0, 0, 0))
    played._tell("request-migration", played.request)
    played._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": documents})
    if played.ledger.step("room"):  # with several servers, that comes first
        played._tell("step-ended", {"migration": MIGRATION, "step": "room", "attempt": 1, "outcome": "done"})
    return played


class Told:
    """A progress that only hears facts, after one look at the plan."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self.progress = loaded(planned(documents).ledger)
        self.now = 0.0

    def __call__(self, name: str, step: str, attempt: int = 1, **more: Any) -> None:
        self.progress.take(name, {"migration": MIGRATION, "step": step, "attempt": attempt, **more}, self.now)

    def done(self, *steps: str, outcome: str = "done", **more: Any) -> None:
        for step in steps:
            self("step-began", step)
            self("step-ended", step, outcome=outcome, **more)

    def one(self) -> Any:
        (found,) = self.progress.standings(self.now)
        return found


# -- facts and state say the same ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(90))
def test_facts_and_state_end_with_the_same(seed: int) -> None:
    _same(world(seed))


@pytest.mark.parametrize("seed", range(60))
def test_facts_and_state_end_with_the_same_after_many_passes(seed: int) -> None:
    passes = [warm(server("w", 2, size=5)), warm(server("v", 1)), server("c", 1)]
    progress, ledger = _same(WorkloadWorld(passes, seed, Unkind(*[(0.0, 0.05)[seed % 2]] * 4)))
    for one in progress.standings(1e9):
        cutover = ledger.step(f"{one.key}/cutover")
        if one.phase == "done" and cutover:
            assert one.turn == cutover.results["passes"] + 1


def told_of(ledger: Any, name: str, data: Any, now: float) -> list[tuple[str, Any]]:
    """Let a ledger take in a message; return the events that its coordinator tells then: (name, data)."""
    before = ledger.head
    for kept in (ledger.heads, ledger.begun, ledger.counted):
        kept.clear()
    react(ledger, name, data, now)
    events = [json.loads(outgoing.body) for outgoing in telling.told(ledger, before, None)]
    step = ledger.step(str(data.get("step") or ""))
    counts = step is not None and (step.state, step.attempt) == ("asked", data.get("attempt"))
    progress = [(name, data)] if name == "step-progressed" and counts else []
    return [*progress, *((event["type"].split(".")[1], event["data"]) for event in events)]


def _same(played: Any) -> tuple[Progress, Any]:
    played.run()
    ledger, progress = opened(played.request), Progress()
    for name, data, now in played.log:
        phase = ledger.head.phase
        with sliced(played.seed):
            said = told_of(ledger, name, data, now)
        if ledger.head.phase not in (phase, *FINAL):
            progress.load(rows(ledger), now)
            continue
        for event, about in said:
            progress.take(event, about, now)
    assert ledger.head.phase in FINAL
    heard = {s.key: (s.phase, s.copied, s.verified) for s in progress.standings(1e9)}
    shown = loaded(ledger)
    progress.take("migration-changed", {"phase": ledger.head.phase}, 1e9)
    shown.take("migration-changed", {"phase": ledger.head.phase}, 1e9)
    known = {s.key: (s.phase, s.copied, s.verified) for s in shown.standings(1e9)}
    assert heard == known
    assert {phase for phase, *_ in known.values()} <= {"done", "failed", "skipped", "taken back"}
    return progress, ledger


def test_most_servers_are_somewhere_on_the_way() -> None:
    """The words that people see while it runs, in an order that makes sense."""
    played, progress, said = WorkloadWorld([server("a", 2)], 3, Unkind(0, 0, 0, 0), slots=2), Progress(), []
    played._tell("request-migration", played.request)
    played._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": played.documents})
    progress.load(rows(played.ledger), 0)
    at = len(played.log)
    while played.ledger.head.phase == "running":
        played._step()
        for name, data, now in played.log[at:]:
            progress.take("step-began" if name == "step-claimed" else name, data, now)
            (one,) = progress.standings(now)
            if not said or said[-1] != one.phase:
                said.append(one.phase)
        at = len(played.log)
    order = ["checking", "stopping", "preparing", "copying", "verifying", "creating", "done"]
    assert [phase for phase in dict.fromkeys(said) if phase in order] == order


# -- bytes -------------------------------------------------------------------------------------------------------


def test_bytes_count_for_the_phase_that_they_are_of() -> None:
    told_ = Told([server("a", 1, size=9)])
    assert told_.one().copied == told_.one().verified == Amount(0, 9 * GIB)
    told_("step-began", "volume/a-disk0/copy/0")
    told_("step-progressed", "volume/a-disk0/copy/0", done=GIB, total=4 * GIB)
    assert (told_.one().phase, told_.one().copied) == ("copying", Amount(GIB, 9 * GIB))
    told_("step-ended", "volume/a-disk0/copy/0", outcome="done")
    told_.done("volume/a-disk0/copy/1", "volume/a-disk0/copy/2")
    assert told_.one().copied == Amount(9 * GIB, 9 * GIB)
    told_("step-began", "volume/a-disk0/verify/0")
    told_("step-progressed", "volume/a-disk0/verify/0", done=3 * GIB, total=4 * GIB)
    one = told_.one()
    assert (one.phase, one.amount, one.copied.left) == ("verifying", Amount(3 * GIB, 9 * GIB), 0)


def test_a_try_that_begins_anew_takes_its_bytes_back_and_a_late_word_of_it_is_nothing() -> None:
    told_, key = Told([server("a", 1)]), "volume/a-disk0/copy/0"
    told_("step-began", key)
    told_("step-progressed", key, done=GIB // 2, total=GIB)
    told_("step-ended", key, outcome="interrupted")
    told_("step-began", key, attempt=2)
    assert told_.one().copied == Amount(0, GIB)
    told_("step-progressed", key, done=GIB // 2, total=GIB)
    told_("step-ended", key, outcome="done")
    assert told_.one().copied == Amount(0, GIB)
    told_("step-ended", key, attempt=2, outcome="done")
    assert told_.one().copied == Amount(GIB, GIB)
    told_("step-progressed", key, attempt=2, done=1, total=GIB)
    assert told_.one().copied == Amount(GIB, GIB)


def test_a_disk_learns_its_size_on_the_way() -> None:
    document = server("a", 0)
    document["params"]["image_ref"] = {"name": "base"}
    document["_migration_params"]["boot_disk_copy"] = True
    told_ = Told([document])
    assert told_.one().copied == Amount(0, 0)
    told_.done("volume/a-boot/expose", results={"size": 2})
    assert told_.one().copied == Amount(0, 2 * GIB)


def test_what_was_there_already_is_no_work() -> None:
    told_ = Told([server("a", 2)])
    told_("step-ended", "server/a/check", outcome="unchanged")
    assert (told_.one().phase, told_.one().copied) == ("done", Amount(0, 0))


def test_a_rate_is_that_of_the_last_seconds_and_says_how_long_it_takes() -> None:
    told_, key, mib = Told([server("a", 1)]), "volume/a-disk0/copy/0", 1 << 20
    told_("step-began", key)
    for second in range(1, 6):
        told_.now = float(second)
        told_("step-progressed", key, done=(100 + 50 * second) * mib, total=GIB)  # 150 MiB were there already
    one = told_.one()
    assert one.rate == pytest.approx(50 * mib, rel=0.35)
    assert one.left == pytest.approx((2 * GIB - 350 * mib) / one.rate)
    told_.now += 120
    assert told_.one().rate < mib, "nothing was heard for two minutes"


@pytest.mark.parametrize("every", [0.5, 1.0, 5.0])
def test_a_meter_finds_the_rate(every: float) -> None:
    meter, now = Meter(0.0, 0.0), 0.0
    while now < 40:
        now += every
        meter = meter.add(100 * every, now)
    assert meter.rate(now) == pytest.approx(100, rel=0.3)
    for _ in range(30):
        now += 1
        meter = meter.add(1000, now)
    assert meter.rate(now) == pytest.approx(1000, rel=0.15)


def test_a_meter_that_is_kept_is_that_of_one_try() -> None:
    kept = noted(None, 1, 10_000, 0.0)  # what the first word tells was there already
    for second in range(1, 30):
        kept = noted(kept, 1, 100, float(second))
    assert told(kept, 29.0) == pytest.approx(100, rel=0.15)
    assert told(noted(kept, 2, 5000, 30.0), 30.0) == 0.0
    assert told(None, 1.0) is None


def test_the_coordinator_keeps_the_rate_of_a_copy() -> None:
    played = planned([server("a", 1)])
    key = "volume/a-disk0/copy/0"
    while played.ledger.step(key).state != "asked":
        played._step()
    attempt = played.ledger.step(key).attempt
    for second in range(20):
        data = {"migration": MIGRATION, "step": key, "attempt": attempt, "done": second * 1000, "total": GIB}
        played.now += 1
        react(played.ledger, "step-progressed", data, played.now)
    (row,) = [row for row in rows(played.ledger, played.now) if row["key"] == key]
    assert row["rate"] == pytest.approx(1000, rel=0.15)
    assert (row["done"], row["length"]) == (19_000, GIB)
    progress = Progress()
    progress.load(rows(played.ledger, played.now), played.now)
    (one,) = progress.standings(played.now)
    assert one.rate == pytest.approx(row["rate"])


# -- passes ------------------------------------------------------------------------------------------------------


def warm_rows(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of a server whose first passes are made while it runs."""
    v, s = "volume/v", "server/s"
    keys = [f"{s}/check", f"{v}/warm-assign", f"{v}/warm-expose", v, f"{v}/warm-attach-source",
            f"{v}/warm-copy/0", f"{v}/warm-copy/1", f"{v}/warm-withdraw", f"{s}/cutover", f"{s}/stop", f"{v}/expose",
            f"{v}/copy/0", f"{v}/copy/1", s]  # fmt: skip
    found = []
    for key in keys:
        row = {"key": key, "group": s, "name": "db", "state": "waiting", "attempt": 0, "done": 0, "total": None}
        row |= {"length": GIB} if key[-1].isdigit() else {}
        found.append(row | changes.get(key, {}))
    return found


def test_passes_are_counted() -> None:
    told_ = Told([server("x")])
    told_.progress = Progress()
    told_.progress.load(warm_rows(), 0)
    for turn in (1, 2):
        for name in ("warm-expose", "warm-attach-source", "warm-copy/0", "warm-copy/1"):
            told_("step-began", f"volume/v/{name}", attempt=turn)
            if name == "warm-copy/1":
                assert (told_.one().says, told_.one().copied) == (f"copying pass {turn}", Amount(GIB, 2 * GIB))
            told_("step-ended", f"volume/v/{name}", attempt=turn, outcome="done")
        assert told_.one().copied == Amount(2 * GIB, 2 * GIB)
        assert told_.one().phase == "copying"
        told_("step-began", "volume/v/warm-withdraw", attempt=turn)
        told_("step-ended", "volume/v/warm-withdraw", attempt=turn, outcome="done")
        assert told_.one().phase == "waiting for cut-over"
    told_("step-began", "volume/v/copy/0", attempt=1)
    assert (told_.one().says, told_.one().copied) == ("copying pass 3", Amount(0, 2 * GIB))


def test_a_try_that_is_made_again_is_no_other_pass() -> None:
    told_ = Told([server("x")])
    told_.progress = Progress()
    told_.progress.load(warm_rows(), 0)
    for attempt, outcome in ((1, "failed"), (2, "done")):
        told_("step-began", "volume/v/warm-expose", attempt=attempt)
        told_("step-ended", "volume/v/warm-expose", attempt=attempt, outcome=outcome)
    told_("step-began", "volume/v/warm-copy/0")
    assert told_.one().says == "copying pass 1"


def test_the_state_says_which_pass_it_is_and_when_the_cut_over_is_awaited() -> None:
    progress, copying = Progress(), {"state": "asked", "attempt": 4, "pass": 4, "done": 7}
    over = {"state": "done", "attempt": 4, "pass": 4}
    progress.load(warm_rows(**{"volume/v/warm-expose": over, "volume/v/warm-copy/0": copying}), 0)
    (one,) = progress.standings(0)
    assert (one.says, one.copied.done) == ("copying pass 4", 7)
    resting = {"server/s/cutover": {"state": "resting"}, **{f"volume/v/warm-copy/{n}": over for n in "01"}}
    progress.load(warm_rows(**resting), 0)
    (one,) = progress.standings(0)
    assert (one.phase, one.active) == ("waiting for cut-over", False)


def test_a_server_that_waits_for_its_shutdown_is_not_under_way() -> None:
    told_ = Told([awaited(server("x"))])
    told_.done("server/x/check", outcome="created")
    told_.done("server/x/look")
    for attempt in (1, 2):
        told_("step-began", "server/x/wait", attempt=attempt)
        assert (told_.one().phase, told_.one().active) == ("waiting for its shutdown", False)
        told_("step-ended", "server/x/wait", attempt=attempt, outcome="pending", retryable=True)
        assert (told_.one().phase, told_.one().active) == ("waiting for its shutdown", False)


def test_why_something_is_tried_again_and_how_often_it_was_is_said_while_it_is() -> None:
    told_ = Told([server("a", 0)])
    told_.done("server/a/check", outcome="created")
    told_.done("server/a/look")
    for attempt in (1, 2):
        told_("step-began", "server/a/stop", attempt=attempt)
        why = {"outcome": "interrupted", "retryable": True, "reason": "the cloud failed: 500"}
        told_("step-ended", "server/a/stop", attempt=attempt, **why)
        assert told_.one().says == f"stopping: the cloud failed: 500 (tries so far: {attempt})"
    told_.done("server/a/stop", attempt=3)
    assert told_.one().reason is None


# -- what the coordinator tells of the whole --------------------------------------------------------------------


def test_a_workload_that_fails_says_why_and_counts_no_bytes() -> None:
    told_ = Told([server("a", 1)])
    about = {"migration": MIGRATION, "workload": "server/a", "results": {}}
    told_.progress.take("workload-changed", {**about, "state": "failing", "reason": "no room"}, 0)
    assert told_.one().says == "taking back: no room"
    told_.progress.take("workload-changed", {**about, "state": "failed", "reason": "no room; taken back"}, 0)
    assert (told_.one().says, told_.one().copied) == ("failed: no room; taken back", Amount(0, 0))
    told_.progress.take("workload-changed", {**about, "state": "again"}, 0)
    assert told_.one().says == "checking"


def test_the_coordinator_tells_each_end_once_and_keeps_its_time() -> None:
    played, heard = planned([server("a"), volume("loose")]), []
    while played.ledger.head.phase != "done":
        played._step()
        heard += [(fact["workload"], fact["state"]) for fact in arrivals.facts(played.ledger)]
        played.ledger.heads.clear()
    assert sorted(heard) == [("server/a", "done"), ("volume/loose", "done")]
    assert 0 < played.ledger.step("server/a").results["over"] <= played.now


# -- many --------------------------------------------------------------------------------------------------------


def test_thousands_of_volumes_stay_cheap() -> None:
    many = 3000
    found = []
    for number in range(many):
        for row in warm_rows():
            texts = {n: row[n].replace("/v", f"/v{number}").replace("/s", f"/s{number}", 1) for n in ("key", "group")}
            found.append(row | texts)
    progress = Progress()
    progress.load(found, 0)
    progress.total(0)
    began = time.process_time()
    for number in range(1000):
        key = f"volume/v{number % 32}/copy/0"
        data = {"migration": MIGRATION, "step": key, "attempt": 1, "done": number, "total": GIB}
        progress.take("step-progressed", data, float(number))
    per_fact = (time.process_time() - began) / 1000
    began = time.process_time()
    total, phases = progress.total(1000.0)
    assert (phases["copying"], phases["waiting"]) == (32, many - 32)
    assert total.copied.total == 2 * GIB * many
    assert time.process_time() - began < 0.2, "one look at all of them"
    assert per_fact < 0.0005
