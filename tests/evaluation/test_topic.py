"""The events topic as a log, from a real Kafka."""

import json
import time
import uuid
from typing import Any

import pytest

from reco_stream.domain.partitioner import partition_of
from reco_stream.evaluation.log import LogError
from reco_stream.evaluation.topic import Bound, read_topic
from reco_stream.kafka_server import KafkaServer
from reco_stream.replay import open_producer
from reco_stream.settings import Settings
from reco_stream.topics import NoSuchTopic, create_topics
from tests.evaluation.logs import START_MS

PARTITIONS = 2
ANN = partition_of("ann", PARTITIONS)  # tom and zoe are in the other partition


def event(user: str, item: str, second: int, kind: str = "view", **more: Any) -> tuple[str, bytes]:
    body = {"user_id": user, "item_id": item, "event_type": kind, "timestamp": START_MS + second * 1_000, **more}
    return user, json.dumps(body).encode()


EARLIER = [
    event("ann", "a", 0, session_id="s1"),
    event("ann", "b", 10, event_id="e1"),
    event("ann", "b", 11, event_id="e1"),  # sent twice
    event("tom", "a", 5, "cart"),
    event("tom", "b", 6, "hide"),  # counts for nothing
    event("tom", "c", 4_000),
    ("tom", b"no event"),
]
LATER = [event("zoe", "d", 5_000), event("ann", "e", 5_001)]


async def send(settings: Settings, records: list[tuple[str, bytes]], partition: int | None = None) -> None:
    async with open_producer(settings) as producer:
        for key, value in records:
            number = partition_of(key, PARTITIONS) if partition is None else partition
            await producer.send_and_wait(settings.topic("events"), value, key.encode(), number)


@pytest.fixture
async def settings(kafka: KafkaServer) -> Settings:
    found = Settings(broker=kafka.bootstrap, app=f"topic-{uuid.uuid4().hex[:8]}", partitions=PARTITIONS)
    await create_topics(found)
    return found


@pytest.mark.kafka
async def test_holds_what_a_worker_counts_in_time_order_with_sessions(settings: Settings) -> None:
    await send(settings, EARLIER)
    await send(settings, [event("dan", "x", 1)], partition=1 - partition_of("dan", PARTITIONS))
    told: list[tuple[int, int]] = []
    found = await read_topic(settings, progress=lambda done, total: told.append((done, total)))
    assert [(event.session, event.item, event.type, event.named) for event in found.log.events] == [
        ("ann/s1", "a", "view", "s1"),
        (f"tom/{START_MS + 5_000}", "a", "cart", None),
        (f"ann/{START_MS + 10_000}", "b", "view", None),
        (f"tom/{START_MS + 4_000_000}", "c", "view", None),
    ]
    assert (found.records, found.refused, found.duplicates) == (8, 2, 1)
    assert told[-1] == (8, 8)


@pytest.mark.kafka
async def test_reads_between_two_times_and_between_two_offsets(settings: Settings) -> None:
    await send(settings, EARLIER)
    time.sleep(0.05)  # Kafka's times are whole milliseconds
    between_ms = round(time.time() * 1_000)
    time.sleep(0.05)
    await send(settings, LATER)

    async def items(start: Bound | None, end: Bound | None) -> list[str]:
        return [event.item for event in (await read_topic(settings, start, end)).log.events]

    assert await items(Bound(time_ms=between_ms), None) == ["d", "e"]
    assert await items(None, Bound(time_ms=between_ms)) == ["a", "a", "b", "c"]
    assert await items(Bound(offset=0), Bound(offset=1)) == ["a", "a"]
    assert await items(Bound(offsets={ANN: 3, 1 - ANN: 3}), None) == ["d", "e"]
    assert await items(Bound(offsets={ANN: 3}), Bound(offsets={1 - ANN: 1})) == ["a", "e"]
    with pytest.raises(LogError, match="has no event in that range: 0 records"):
        await read_topic(settings, Bound(offset=9_999))


@pytest.mark.kafka
async def test_a_missing_topic_is_named(kafka: KafkaServer) -> None:
    with pytest.raises(NoSuchTopic, match=r"topic nothing\.events does not exist"):
        await read_topic(Settings(broker=kafka.bootstrap, app="nothing"))


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("12", Bound(offset=12)),
        ("0:7,1:9", Bound(offsets={0: 7, 1: 9})),
        ("2023-11-14T22:13:20", Bound(time_ms=START_MS)),
        ("2023-11-14T23:13:20+01:00", Bound(time_ms=START_MS)),
    ],
)
def test_bounds_are_offsets_or_times(text: str, bound: Bound) -> None:
    assert Bound.parse("--from", text) == bound


@pytest.mark.parametrize("text", ["", "soon", "1:", "-3", "1:2,3"])
def test_a_bound_that_is_neither_is_told(text: str) -> None:
    with pytest.raises(LogError, match=r"--to is .*, wanted an offset, offsets by partition"):
        Bound.parse("--to", text)
