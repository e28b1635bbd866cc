"""A claim is asked for again and again; an answer that comes late is as good, and none at all leaves it in doubt."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from stackferry import topology
from stackferry.bus import Outgoing, Publisher
from stackferry.envelope import Envelope
from stackferry.errors import Claimed
from stackferry.messages import Answer, OfferSegment
from stackferry_cli.local.processes import until
from stackferry_cli.local.rabbitmq import Node
from stackferry_runtime import claims

pytestmark = pytest.mark.integration
GRANTED = {"granted": True}


@pytest.fixture
def asking(node: Node, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """An agent that asks whether it may work on a try, and is not patient."""
    monkeypatch.setattr(claims, "ASK_AGAIN", 0.5)
    publisher, stop = Publisher(node.uri("admin"), "asking"), threading.Event()
    about = {"migration": str(uuid.uuid4()), "step": "volume/v/copy/0", "attempt": 1}
    where = {"host": "h", "volume": "v", "copy": "c", "first": 0, "length": 0, "certificates": []}
    command = OfferSegment.make("tests", {**about, **where}, None)
    asked = claims.Claims(node.uri("admin"), publisher, "tests", "admin", stop)
    thread = threading.Thread(target=asked.run)
    thread.start()
    try:
        yield lambda: asked.granted(command, again=False)
        assert asked.waiting == {}
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join(10)
    publisher.close()


def answer(publisher: Publisher, question: Any, content: Mapping[str, Any] = GRANTED) -> None:
    """What the coordinator says to one question."""
    asked = Envelope.from_bytes(question.body, question.properties["content_type"])
    said = Answer.make("tests", {"content": dict(content)}, asked)
    publisher.publish(Outgoing.of(topology.REPLIES.name, asked.data["reply_to"], said))


def test_a_late_answer_to_the_first_question_counts(asking, broker, publisher):
    queue, granted = topology.COORDINATOR_CLAIMS.name, []
    thread = threading.Thread(target=lambda: granted.append(asking()))
    thread.start()
    assert broker.has(queue, 2)  # the first question was not answered in time
    answer(publisher, broker.take(queue, 2)[0])
    thread.join(10)
    assert granted == [True]


def test_without_an_answer_the_claim_is_in_doubt(asking, broker):
    with pytest.raises(Claimed):
        asking()
    assert until(lambda: broker.count(topology.COORDINATOR_CLAIMS.name) == claims.GIVE_UP, 10)


@pytest.mark.parametrize("content", [{"granted": "yes"}, {"granted": False}, {}])
def test_an_answer_that_grants_nothing_in_so_many_words_grants_nothing(asking, broker, publisher, content):
    queue, granted = topology.COORDINATOR_CLAIMS.name, []
    thread = threading.Thread(target=lambda: granted.append(asking()))
    thread.start()
    assert broker.has(queue, 1)
    answer(publisher, broker.take(queue, 1)[0], content)
    thread.join(10)
    assert granted == [False]  # and whoever hears the answers goes on (see the fixture)
