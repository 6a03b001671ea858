"""Read models from a real Kafka: whole topics, ready at the ends seen at start, and how far behind they are."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from reco_stream.engine import read_model as module
from reco_stream.engine import turns
from reco_stream.engine.read_model import ReadModelReader

pytestmark = pytest.mark.kafka
Seen = list[tuple[int, bytes, bytes | None]]


@pytest.fixture
async def producer(kafka: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    yield producer
    await producer.stop()


@contextlib.asynccontextmanager
async def reading(kafka: Any, *topics: str) -> AsyncIterator[tuple[ReadModelReader, dict[str, Seen]]]:
    seen: dict[str, Seen] = {topic: [] for topic in topics}

    def into(topic: str) -> module.Apply:
        return module.each(lambda partition, key, value: seen[topic].append((partition, key, value)))

    reader = ReadModelReader({"bootstrap_servers": kafka.bootstrap}, {topic: into(topic) for topic in topics})
    running = asyncio.create_task(reader.run())
    yield reader, seen
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_reads_all_partitions_from_the_beginning_and_goes_on(
    kafka: Any, topic: str, producer: AIOKafkaProducer
) -> None:
    await producer.send_and_wait(topic, b"1", b"a", partition=0)
    await producer.send_and_wait(topic, b"2", b"b", partition=1)
    async with reading(kafka, topic) as (reader, seen):
        await until(lambda: reader.ready)
        assert sorted(seen[topic]) == [(0, b"a", b"1"), (1, b"b", b"2")]
        await producer.send_and_wait(topic, None, b"a", partition=0)
        await until(lambda: reader.records == 3)
        assert seen[topic][-1] == (0, b"a", None)


async def test_is_not_ready_before_the_end_that_it_saw_at_start(
    kafka: Any, topic: str, producer: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        await producer.send_and_wait(topic, b"%d" % number, b"k", partition=0)
    held = asyncio.Event()
    apply = ReadModelReader._apply

    async def slow(self: ReadModelReader, *args: Any) -> None:
        await held.wait()
        await apply(self, *args)

    monkeypatch.setattr(ReadModelReader, "_apply", slow)
    async with reading(kafka, topic) as (reader, seen):
        await asyncio.sleep(0.3)
        ready_before = reader.ready
        held.set()
        await until(lambda: reader.ready)
        assert (ready_before, len(seen[topic])) == (False, 20)


async def test_empty_topics_are_ready_at_once(kafka: Any, topic: str) -> None:
    async with reading(kafka, topic) as (reader, seen):
        await until(lambda: reader.ready)
        assert seen[topic] == []


async def test_topic_that_is_made_later_is_waited_for(kafka: Any, topic: str, producer: AIOKafkaProducer) -> None:
    later = f"{topic}-later"
    async with reading(kafka, topic, later) as (reader, seen):
        await asyncio.sleep(0.3)
        assert not reader.ready
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(later, 1, 1)])
        await admin.close()
        await until(lambda: reader.ready)
        await producer.send_and_wait(later, b"1", b"a", partition=0)
        await until(lambda: bool(seen[later]))


async def test_what_was_read_whole_is_not_behind_even_after_a_transaction(kafka: Any, topic: str) -> None:
    """The control record that ends a transaction has an offset, but nobody is given it."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"{topic}-producer")
    await producer.start()
    async with reading(kafka, topic) as (reader, _):
        async with producer.transaction():
            await producer.send_and_wait(topic, b"1", b"a", partition=0)
        await until(lambda: reader.records == 1)
        began = time.monotonic()
        await until(lambda: reader._complete_at > began)
    await producer.stop()


async def test_unread_records_of_any_partition_leave_it_behind(
    kafka: Any, topic: str, producer: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = asyncio.Event()

    async def never(self: ReadModelReader, *args: Any) -> None:
        held.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(ReadModelReader, "_apply", never)
    async with reading(kafka, topic) as (reader, _):
        await until(lambda: reader.ready)
        await producer.send_and_wait(topic, b"1", b"a", partition=1)
        await held.wait()
        complete_at = reader._complete_at
        await asyncio.sleep(0.2)
        assert reader._complete_at == complete_at
        assert reader.behind_s > 0


async def test_long_batches_let_others_run(kafka: Any, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_SLICE_S", 0.0)
    reader = ReadModelReader({}, {})
    passes = 0

    async def other() -> None:
        nonlocal passes
        while reader.records == 0:
            passes += 1
            await asyncio.sleep(0)

    class Record:
        key, value = b"k", b"v"

    await asyncio.gather(reader._apply(lambda partition, records: None, 0, [Record] * 5_000), other())
    assert passes >= 50
