"""A large migration is cancelled and retried slice by slice; another coordinator goes on where one has died."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import Engine, func, select, text
from stackferry import messages, topology
from stackferry.errors import InvalidMessage
from stackferry_coordinator.rules import planning, slices
from stackferry_coordinator.rules.transitions import known
from stackferry_coordinator.storage import database, retention
from stackferry_coordinator.storage import tables as t
from stackferry_coordinator.storage.store import Store

from ..unit.coordinator.documents import forwarding, interface, network, router, server, subnet, warm
from .test_store import empty, engine  # noqa: F401 - a fixture
from .test_turns import Clock

NETWORKS, SERVERS = 25, 6


@pytest.fixture
def clock(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Clock:  # noqa: F811
    monkeypatch.setattr(slices, "PLAIN", 10)
    monkeypatch.setattr(slices, "GROUPS", 2)
    return Clock(engine)


def head(clock: Clock, migration: str) -> Any:
    with clock.engine.begin() as connection:
        store = Store.open(connection, migration)
        assert store is not None
        return store.head


def tell(clock: Clock, migration: str, action: str) -> None:
    word = messages.ControlMigration.make("tests", {"migration": migration, "action": action})
    clock.shells[0].take(word)


def go_on(clock: Clock, shell: int = 0) -> None:
    while clock.shells[shell].go_on():
        pass


def planned(clock: Clock, documents: list[dict[str, Any]], **how: Any) -> str:
    """Request an import with a source, and have it planned; return its id."""
    migration = clock.ask(documents, **how)
    go_on(clock)
    return migration


def commands(clock: Clock) -> int:
    with clock.engine.connect() as connection:
        query = select(func.count()).where(t.outbox.c.exchange == topology.COMMANDS.name)
        return int(connection.execute(query).scalar_one())


def told(clock: Clock) -> list[dict[str, Any]]:
    with clock.engine.connect() as connection:
        query = select(t.outbox.c.body).where(t.outbox.c.key.endswith(".migration-changed")).order_by(t.outbox.c.id)
        return [json.loads(body) for body in connection.execute(query).scalars()]


def test_a_coordinator_that_dies_amid_the_slices_is_followed_by_another(clock: Clock) -> None:
    migration = planned(
        clock, [*(network(f"n{n}") for n in range(NETWORKS)), *(server(f"s{n}", 1) for n in range(SERVERS))]
    )
    tell(clock, migration, "cancel")
    assert (head(clock, migration).phase, head(clock, migration).agenda["stage"]) == ("cancelling", "plain")
    clock.pass_(1)  # the other one looks at what is to be done
    turns = 0
    while clock.shells[1].go_on():
        turns += 1
    assert turns == 5  # after ten steps: ten; six and two servers; two; two; none is left
    assert (head(clock, migration).phase, head(clock, migration).agenda) == ("cancelled", None)
    assert head(clock, migration).counts.keys() == {"skipped"}

    before = commands(clock)
    tell(clock, migration, "retry")
    assert (head(clock, migration).phase, commands(clock)) == ("running", before)
    clock.pass_(1)
    go_on(clock, 1)
    assert clock.shells[0].agendas == {migration: "retry"}  # who has begun it finds that it's over
    assert clock.shells[0].go_on()
    assert not clock.shells[0].go_on()
    counts = head(clock, migration).counts
    assert [event["data"]["totals"] for event in told(clock)][-1] == counts  # who listens hears of all that is reopened
    assert commands(clock) > before
    assert counts["asked"] > 0
    assert not counts.keys() & {"skipped", "failed"}


def everything(clock: Clock, migration: str) -> tuple[Any, ...]:
    """What is known of a migration: its steps, but for their order, and what comes after what."""
    with clock.engine.begin() as connection:
        store = Store.open(connection, migration)
        assert store is not None
        steps = {step.key: replace(step, order=0, due=None, links=dict(step.links)) for step in store.all()}
        before = {key: sorted(store.before(key)) for key in steps}
        documents = {key: store.documents[key] for key in steps}
        return store.head.phase, store.head.counts, steps, before, documents


def killed(*_: Any) -> None:
    raise RuntimeError("killed before anything was written")


def kill_amid_a_slice(clock: Clock) -> None:
    """The first coordinator dies amid the next slice of whatever it's doing; the other one goes on."""
    shell = clock.shells[0]
    with (
        mock.patch.object(Store, "flush", killed),
        mock.patch.object(shell, "_timely", shell._internal),
        pytest.raises(RuntimeError),
    ):
        shell.go_on()
    clock.pass_(0)
    go_on(clock, 1)


def tenant() -> list[dict[str, Any]]:
    found = [network("net"), subnet("s", "net"), router("r"), interface("r", "net", "s")]
    found += [network(f"n{number}") for number in range(NETWORKS)]
    found += [forwarding("s0"), forwarding("wrong")]  # they come after servers, which are added later
    found += [server(f"s{number}", number % 2, net="net") for number in range(SERVERS)]
    return [*found, warm(server("wrong", 2), source_access="detach")]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """What is done within it is done in one slice."""

    @contextmanager
    def patched() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(slices, "PLAIN", 1000)
            patch.setattr(slices, "GROUPS", 1000)
            yield

    return patched


@pytest.mark.parametrize("mode", ["run", "plan"])
def test_a_coordinator_that_dies_while_it_plans_is_followed_by_another(clock: Clock, mode: str, at_once: Any) -> None:
    with at_once():
        whole = clock.ask(tenant(), mode=mode)
    assert head(clock, whole).agenda is None
    asked = commands(clock)
    migration = clock.ask(tenant(), mode=mode)
    clock.shells[0].go_on()
    assert (head(clock, migration).phase, head(clock, migration).agenda["after"]) == ("new", "10")
    kill_amid_a_slice(clock)
    assert everything(clock, migration) == everything(clock, whole)
    assert commands(clock) == 2 * asked


def compared(clock: Clock, migration: str) -> None:
    """A plan that is complete: some of it is there already."""
    with clock.engine.begin() as connection:
        store = Store.open(connection, migration)
        assert store is not None
        for step in store.all():
            outcome = "unchanged" if "network/" in step.key else "missing"
            store.change(step, state="done", outcome=outcome, waits=0, due=None)
        store.head = replace(store.head, phase="planned")
        store.flush(clock.now)


def test_a_coordinator_that_dies_while_it_begins_a_plan_is_followed_by_another(clock: Clock, at_once: Any) -> None:
    whole, migration = planned(clock, tenant(), mode="plan"), planned(clock, tenant(), mode="plan")
    compared(clock, whole)
    with at_once():
        tell(clock, whole, "start")
    assert head(clock, whole).agenda is None
    asked = commands(clock)
    compared(clock, migration)
    tell(clock, migration, "start")
    clock.shells[0].go_on()
    assert (head(clock, migration).phase, head(clock, migration).agenda["after"]) == ("running", "10")
    assert commands(clock) == asked
    kill_amid_a_slice(clock)
    assert everything(clock, migration) == everything(clock, whole)
    assert commands(clock) > asked


def test_an_id_that_is_used_again_is_planned_from_its_own_documents(clock: Clock) -> None:
    """Another coordinator has done the last slice: the first one keeps nothing of what has been forgotten."""
    migration = clock.ask([network(f"old{n}") for n in range(NETWORKS)])
    clock.pass_(1)
    go_on(clock, 1)
    tell(clock, migration, "cancel")
    go_on(clock)
    clock.shells[1].forget_migrations(
        messages.ForgetMigrations.make("tests", {"migrations": [migration], "reply_to": "x"})
    )
    while retention.sweep(clock.engine):
        pass
    clock.now += 1
    clock.ask([network(f"new{n}") for n in range(NETWORKS)], id_=migration)
    go_on(clock)
    with clock.engine.begin() as connection:
        store = Store.open(connection, migration)
        assert store is not None
        assert {step.name[:3] for step in store.all() if step.kind == "network"} == {"new"}


def test_many_large_plans_at_once_have_one_outline_each(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = planning.outline
    monkeypatch.setattr(planning, "outline", lambda *args, **how: made.append(1) or real(*args, **how))
    migrations = [clock.ask([network(f"m{m}-{n}") for n in range(NETWORKS)]) for m in range(3 * planning.KEPT)]
    made.clear()  # each has had one, of which the last ones are kept
    go_on(clock)
    assert len(made) <= len(migrations)
    assert {head(clock, migration).phase for migration in migrations} == {"running"}
    assert not clock.shells[0].consequences.outlines


@pytest.mark.parametrize("mode", ["run", "plan"])
def test_a_plan_that_an_error_keeps_from_being_made_is_over_and_says_why(
    clock: Clock, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migration = clock.ask([network(f"n{n}") for n in range(NETWORKS)], mode=mode)
    add = planning._add

    def spoilt(ledger: Any, node: Any) -> None:
        if node.key == "network/n-n17":
            raise ValueError("nobody thought of this")
        add(ledger, node)

    with monkeypatch.context() as patch:
        patch.setattr(planning, "_add", spoilt)
        for _ in range(10):  # an error that passes would not end it
            clock.pass_(1)
            clock.shells[1].go_on()
    go_on(clock, 1)
    now = head(clock, migration)
    assert (now.phase, now.agenda, now.counts.keys()) == ("cancelled", None, {"skipped"})
    assert now.reason == "its plan can't be made: ValueError: nobody thought of this"
    for action in ("retry", "undo"):  # half a plan is never carried out
        with pytest.raises(InvalidMessage, match="nobody thought of this; request another one"):
            tell(clock, migration, action)
    assert commands(clock) == 0
    forgotten = messages.ForgetMigrations.make("tests", {"migrations": [migration], "reply_to": "x"})
    assert clock.shells[0].forget_migrations(forgotten)["forgotten"] == [migration]


def test_a_work_that_an_error_holds_up_waits_and_leaves_nothing_behind(clock: Clock) -> None:
    migration = planned(clock, [network(f"n{n}") for n in range(NETWORKS)])
    tell(clock, migration, "cancel")

    def facts() -> int:
        with clock.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(t.fact)).scalar_one())

    before = facts()
    with mock.patch.object(Store, "plain", side_effect=ValueError("nobody thought of this")):
        for _ in range(10):
            clock.pass_(1)
            clock.shells[1].go_on()
    assert (head(clock, migration).phase, facts(), clock.shells[1].failed) == ("cancelling", before, {})
    clock.pass_(1)
    go_on(clock, 1)
    assert head(clock, migration).phase == "cancelled"


def test_a_cutover_while_a_plan_is_begun_is_refused_and_not_half_heard(clock: Clock) -> None:
    migration = planned(clock, [warm(server(f"w{n}", 1), cutover="manual") for n in range(SERVERS)], mode="plan")
    compared(clock, migration)
    tell(clock, migration, "start")
    with pytest.raises(InvalidMessage, match="not all of its servers are begun yet"):
        tell(clock, migration, "cutover")
    go_on(clock)
    tell(clock, migration, "cutover")
    asked = [clock.step(migration, f"server/w{n}/cutover").passes.asked for n in range(SERVERS)]
    assert asked == [True] * SERVERS


def test_a_word_while_it_is_sliced_takes_its_place(clock: Clock) -> None:
    migration = planned(clock, [network(f"n{n}") for n in range(NETWORKS)])
    tell(clock, migration, "cancel")
    go_on(clock)
    tell(clock, migration, "retry")
    assert head(clock, migration).agenda["do"] == "retry"
    tell(clock, migration, "cancel")
    assert head(clock, migration).agenda["do"] == "cancel"
    go_on(clock)
    assert head(clock, migration).phase == "cancelled"
    assert head(clock, migration).counts.keys() == {"skipped"}


def test_a_cancel_frees_what_half_a_retry_has_left_waiting(clock: Clock) -> None:
    """A server has arrived, and its tolerated last step failed: what a retry reopens of it isn't left for ever."""
    migration = planned(clock, [*(network(f"n{n}") for n in range(NETWORKS)), server("a", 0), server("b", 0)])
    with clock.engine.begin() as connection:
        store = Store.open(connection, migration)
        assert store is not None
        for step in store.all():
            made = {"outcome": "created", "destination_id": f"new-{step.key}"} if step.action == "ensure" else {}
            store.change(step, **{"state": "done", "outcome": "done", "waits": 0, "due": None, **made})
        store.change(known(store, "server/a/settle"), state="failed")
        store.head = replace(store.head, phase="done")
        store.flush(clock.now)
    tell(clock, migration, "retry")
    while head(clock, migration).agenda["after"] != "server/b":
        clock.shells[0].go_on()  # all is reopened, nothing is freed
    assert clock.step(migration, "server/a/settle").state == "waiting"
    tell(clock, migration, "cancel")
    go_on(clock)
    assert clock.step(migration, "server/a/settle").state == "asked"  # it tidies up, and then all is over


def test_what_fails_between_the_slices_of_a_retry_is_not_a_part_of_it(clock: Clock) -> None:
    """It would get another round, and what was skipped for it would not."""
    documents = [network("a"), subnet("s", "a"), router("r"), interface("r", "a", "s")]
    migration = planned(clock, [*(network(f"x{n}") for n in range(NETWORKS)), *documents])
    with clock.engine.begin() as connection:
        store = Store.open(connection, migration)
        assert store is not None
        for step in store.all():
            store.change(step, state="done", waits=0, due=None)
        subnet_ = store.change(known(store, "subnet/s-s"), state="asked", attempt=1, tries=1, claim="t", due=9e9)
        store.change(known(store, "router_interface/i-r-s"), state="failed")
        store.flush(clock.now)
    tell(clock, migration, "retry")
    while head(clock, migration).agenda["after"] < "router_interface/i-r-s":
        clock.shells[0].go_on()
    assert clock.step(migration, "router_interface/i-r-s").state == "waiting"
    clock.ended(migration, subnet_.key, "failed", retryable=False)
    go_on(clock)
    states = [clock.step(migration, key).state for key in ("subnet/s-s", "router_interface/i-r-s")]
    assert states == ["failed", "skipped"]
    assert head(clock, migration).phase == "done"


@pytest.mark.postgresql
def test_a_locale_that_orders_otherwise_than_python_hides_nothing(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "PLAIN", 5)
    own = database.connect(postgresql_url)
    empty(own)
    database.upgrade(own)
    try:
        with own.begin() as connection:
            connection.execute(text('ALTER TABLE step ALTER COLUMN key TYPE varchar(512) COLLATE "en-US-x-icu"'))
        clock = Clock(own)
        names = [f"{letter}{number}_-" for number in range(10) for letter in "aAbBzZ"]
        migration = planned(clock, [network(name) for name in names])
        tell(clock, migration, "cancel")
        go_on(clock)
        assert head(clock, migration).phase == "cancelled"
        assert head(clock, migration).counts == {"skipped": len(names) + 1}
    finally:
        empty(own)
        own.dispose()
