"""Kafka: one topic, keyed by migration, so that each migration's events stay in order. Source: CloudEvents' Kafka
protocol binding, structured mode.

Events are given batch by batch: the next one begins when all of this one is there. So of the highest number that any
partition ends with, at most one batch below it may be missing, which is carried once more.
"""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from ..events import MEDIA, Event, Place
from ..reading import BATCH
from . import Away

Headers = list[tuple[str, str | bytes | None]]
TOPIC = "stackferry.events"
NUMBER = "stackferry_number"
TAKES = 20.0  # seconds for an answer
ENDS = 5.0  # seconds in which a partition's last message comes


class Kafka:
    """A cluster, by ``host:port,host:port``."""

    is_exact = False

    def __init__(self, servers: str, topic: str = TOPIC, **more: str) -> None:
        self.name, self.topic = "kafka", topic
        self._settings = {"bootstrap.servers": servers, "client.id": "stackferry", **more}
        self._producer: Producer | None = None

    def position(self) -> Place | None:
        """The number below which all is there."""
        consumer = Consumer({**self._settings, "group.id": "stackferry", "enable.auto.commit": False})
        try:
            known = consumer.list_topics(self.topic, timeout=TAKES).topics[self.topic]
            ends = [self._last(consumer, number) for number in known.partitions]
        except KafkaException as error:
            raise Away(f"Kafka can't be asked: {error}") from None
        finally:
            consumer.close()
        numbers = [number for number in ends if number is not None]
        return Place(max(-1, max(numbers) - BATCH)) if numbers else None

    def _last(self, consumer: Consumer, partition: int) -> int | None:
        """The number that the last message of a partition says."""
        where = TopicPartition(self.topic, partition)
        first, end = consumer.get_watermark_offsets(where, timeout=TAKES)
        if end <= first:
            return None
        where.offset = end - 1
        consumer.assign([where])
        message = consumer.poll(ENDS)
        if message is None or message.error():
            raise Away(f"Kafka doesn't give the last event of partition {partition}")
        said = dict(message.headers() or ()).get(NUMBER) or b""
        return int(said) if said.isdigit() else None

    def send(self, events: list[Event]) -> Iterator[Place]:
        """Produce them all, and await each one's receipt."""
        if self._producer is None:
            self._producer = Producer({**self._settings, "enable.idempotence": True, "message.timeout.ms": 15_000})
        failed: list[KafkaError] = []

        def told(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failed.append(error)

        try:
            for one in events:
                headers: Headers = [("content-type", MEDIA), (NUMBER, str(one.number))]
                self._producer.produce(self.topic, one.body, one.migration, headers=headers, on_delivery=told)
                self._producer.poll(0)
            left = self._producer.flush(TAKES)
        except (KafkaException, BufferError) as error:
            self.close()
            raise Away(f"Kafka takes nothing now: {error}") from None
        if failed or left:
            self.close()
            raise Away(f"Kafka takes nothing now: {failed[0] if failed else 'no answer'}")
        yield events[-1].place

    def close(self) -> None:
        """Forget what wasn't sent: it's carried again."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(1.0)
