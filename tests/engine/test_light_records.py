"""A light reader returns what aiokafka's does, but for the fields that nobody asked for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from reco_stream.engine.changelog import Appender, BrokerLink
from reco_stream.engine.light_records import LightRecord, read_lightly

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


async def test_an_error_of_a_fetch_is_raised(kafka: Any, topic: str) -> None:
    async with reader(kafka, TopicPartition(topic, 0), 3, light=True) as consumer:
        with pytest.raises(OffsetOutOfRangeError):
            await consumer.getmany(timeout_ms=5_000)
