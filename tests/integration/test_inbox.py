"""The coordinator's inbox: a second delivery changes nothing, and old ids are forgotten."""

import uuid

import pytest
from sqlalchemy import func, select
from stackferry.bus import Publisher
from stackferry.envelope import Envelope
from stackferry.errors import InvalidMessage
from stackferry.messages import RequestMigration, StepProgressed
from stackferry_coordinator import queries
from stackferry_coordinator.hosts.presence import GONE
from stackferry_coordinator.storage import database
from stackferry_coordinator.storage import tables as t
from stackferry_coordinator.transactions.shell import INBOX_KEPT, Shell
from stackferry_coordinator.trust.authority import Authority


def test_a_message_counts_once_and_its_id_is_forgotten_in_time(tmp_path):
    engine = database.connect(f"sqlite:///{tmp_path}/inbox.db")
    database.upgrade(engine)
    now = [1000.0]
    shell = Shell(
        engine, Publisher("amqp://nobody@127.0.0.1:1//"), clock=lambda: now[0], authority=Authority(own_user="")
    )
    data = {"migration": str(uuid.uuid4()), "source": {"cloud": "src"}, "destination": {"cloud": "dst"}}
    request = RequestMigration.make("tests", data)

    def count(table):
        with engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar_one()

    shell.take(request)
    shell.take(request)
    assert (count(t.inbox), count(t.fact)) == (1, 1)
    shell.take(RequestMigration.make("tests", data))  # asked for once more, since an answer was lost: the same
    assert (count(t.inbox), count(t.migration), count(t.fact)) == (2, 1, 1)
    with pytest.raises(InvalidMessage, match="used for another request"):
        shell.take(RequestMigration.make("tests", {**data, "mode": "plan"}))
    elsewhere = RequestMigration.make("others", {**data, "migration": str(uuid.uuid4())}, id=request.id)
    shell.take(elsewhere)  # ids are unique for their source, not for all
    assert (count(t.inbox), count(t.migration)) == (3, 2)
    now[0] += INBOX_KEPT - 1
    shell.forget()
    assert count(t.inbox) == 3
    now[0] += 2
    shell.forget()
    assert count(t.inbox) == 0
    engine.dispose()


def test_progress_leaves_no_rows(tmp_path):
    engine = database.connect(f"sqlite:///{tmp_path}/progress.db")
    database.upgrade(engine)
    now = [1000.0]
    shell = Shell(
        engine, Publisher("amqp://nobody@127.0.0.1:1//"), clock=lambda: now[0], authority=Authority(own_user="")
    )
    migration = str(uuid.uuid4())
    shell.take(RequestMigration.make("tests", {"migration": migration, "source": {"cloud": "src"}, "mode": "export"}))

    def rows():
        with engine.connect() as connection:
            tables = (t.inbox, t.fact, t.outbox, t.step)
            return [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables]

    before, about = rows(), {"migration": migration, "step": "export", "attempt": 1}
    for done in range(1, 100):
        now[0] += 1.0
        shell.take(StepProgressed.make("tests", {**about, "done": done}))
    assert rows() == before
    with engine.connect() as connection:
        assert connection.execute(select(t.step.c.done)).scalar_one() == 96  # it's noted every five seconds
    (told,) = shell.fleeting.due(now[0])
    assert Envelope.from_bytes(told.body).data["done"] == 99
    engine.dispose()


def test_a_worker_that_left_without_a_word_is_forgotten(tmp_path):
    engine = database.connect(f"sqlite:///{tmp_path}/workers.db")
    database.upgrade(engine)
    now = [1000.0]
    shell = Shell(
        engine, Publisher("amqp://nobody@127.0.0.1:1//"), clock=lambda: now[0], authority=Authority(own_user="")
    )

    def known():
        with engine.connect() as connection:
            return sorted(connection.execute(select(t.worker.c.instance)).scalars())

    shell.worker_seen({"service": "importer", "instance": "a"})
    now[0] += GONE - 10
    shell.worker_seen({"service": "importer", "instance": "b"})
    shell.forget()
    assert known() == ["a", "b"]
    now[0] += 20
    shell.forget()
    assert known() == ["b"]
    engine.dispose()


def test_name_and_labels_come_back_in_what_is_told(tmp_path):
    engine = database.connect(f"sqlite:///{tmp_path}/labels.db")
    database.upgrade(engine)
    shell = Shell(engine, Publisher("amqp://nobody@127.0.0.1:1//"), authority=Authority(own_user=""))
    called = {"name": "wave 3", "labels": {"team": "web"}}
    about = {"migration": str(uuid.uuid4()), "source": {"cloud": "src"}, "mode": "export"}
    shell.take(RequestMigration.make("tests", {**about, **called}))
    with engine.connect() as connection:
        told = select(t.outbox.c.body).where(t.outbox.c.exchange == "stackferry.events")
        (fact,) = [Envelope.from_bytes(bytes(body)) for body in connection.execute(told).scalars()]
    assert (fact.data["migration_name"], fact.data["labels"]) == ("wave 3", {"team": "web"})
    ((answer, _),) = queries.describe(engine, {}, lambda places: True)
    assert [(row["name"], row["labels"]) for row in answer["migrations"]] == [("wave 3", {"team": "web"})]
    with pytest.raises(InvalidMessage, match="used for another request"):
        shell.take(RequestMigration.make("tests", {**about, **called, "name": "wave 4"}))
    wrong = ({"labels": {"": "x"}}, {"labels": {"a b": "x"}}, {"labels": {"a": 1}}, {"name": ""}, {"name": "x" * 256})
    for said in wrong:
        with pytest.raises(InvalidMessage):
            RequestMigration.make("tests", {**about, **said})
    engine.dispose()
