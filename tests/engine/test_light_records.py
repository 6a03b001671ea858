"""A light reader returns what aiokafka's does, but for the fields that nobody asked for."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from reco_stream.engine.changelog import Appender, BrokerLink
from reco_stream.engine.light_records import LightRecord, read_lightly, source_record

pytestmark = pytest.mark.kafka
RECORDS = [(b"ra", b"1"), (b"rb", None), (b"ra", b""), (b"rc", b"x" * 1_000), (b"", b"2")]


@asynccontextmanager
async def reader(kafka: Any, tp: TopicPartition, start: int, *, light: bool) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, auto_offset_reset="none")
    await consumer.start()
    if light:
        read_lightly(consumer)
    consumer.assign([tp])
    consumer.seek(tp, start)
    yield consumer
    await consumer.stop()


async def fetched(kafka: Any, tp: TopicPartition, start: int, end: int, *, light: bool) -> list[Any]:
    """All records of [start, end), in twos, and whether the position follows them."""
    found: list[Any] = []
    async with reader(kafka, tp, start, light=light) as consumer:
        while await consumer.position(tp) < end:
            batches = await consumer.getmany(tp, timeout_ms=200, max_records=2)
            found += batches.get(tp, [])
            assert await consumer.position(tp) == (found[-1].offset + 1 if found else start)
    return found


@pytest.mark.parametrize("start", [0, 1, 7])
async def test_the_same_offsets_keys_and_values(kafka: Any, topic: str, start: int) -> None:
    link = BrokerLink({"bootstrap_servers": kafka.bootstrap}, [topic])
    await link.start()
    appender = Appender(link, topic, 0, await link.claim(f"{topic}-0"))
    for _ in range(2):
        await appender.append(RECORDS)
    await link.stop()
    tp = TopicPartition(topic, 0)
    light = await fetched(kafka, tp, start, 10, light=True)
    wanted = [LightRecord(number, *RECORDS[number % 5]) for number in range(start, 10)]
    assert light == wanted
    whole = await fetched(kafka, tp, start, 10, light=False)
    assert [(one.offset, one.key, one.value) for one in whole] == [(one.offset, one.key, one.value) for one in wanted]


async def test_a_source_record_has_what_a_fold_needs_and_is_no_work_for_the_garbage_collector(
    kafka: Any, topic: str
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    sent = [(b"a", b"1", []), (None, b"", [("why", b"x"), ("why", b"y")]), (b"c", None, [])]
    for key, value, headers in sent:
        await producer.send_and_wait(topic, value, key=key, headers=headers, partition=0, timestamp_ms=77)
    await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap)
    await consumer.start()
    read_lightly(consumer, source_record)
    tp = TopicPartition(topic, 0)
    consumer.assign([tp])
    consumer.seek(tp, 0)
    found: list[Any] = []
    while len(found) < len(sent):
        found += (await consumer.getmany(tp, timeout_ms=200)).get(tp, [])
    await consumer.stop()
    for offset, (record, (key, value, headers)) in enumerate(zip(found, sent, strict=True)):
        assert (record.topic, record.partition, record.offset, record.timestamp) == (topic, 0, offset, 77)
        assert (record.key, record.value, record.headers) == (key, value, tuple(headers))
        assert not gc.is_tracked(record)


async def test_an_error_of_a_fetch_is_raised(kafka: Any, topic: str) -> None:
    async with reader(kafka, TopicPartition(topic, 0), 3, light=True) as consumer:
        with pytest.raises(OffsetOutOfRangeError):
            await consumer.getmany(timeout_ms=5_000)
