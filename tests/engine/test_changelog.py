"""The fence and the append, against a real broker: what exactness rests on."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from reco_stream.engine.changelog import Appender, BrokerLink, Claim
from reco_stream.engine.errors import BatchTooLarge, Fenced

pytestmark = pytest.mark.kafka


@pytest.fixture
async def link(kafka: Any, topic: str) -> AsyncIterator[BrokerLink]:
    link = BrokerLink({"bootstrap_servers": kafka.bootstrap}, [topic])
    await link.start()
    yield link
    await link.stop()


async def read_all(kafka: Any, topic: str, partition: int = 0) -> list[tuple[int, bytes | None, bytes | None]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        tp = TopicPartition(topic, partition)
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        found: list[tuple[int, bytes | None, bytes | None]] = []
        while await consumer.position(tp) < end:
            records = (await consumer.getmany(tp, timeout_ms=200)).get(tp, [])
            found.extend((record.offset, record.key, record.value) for record in records)
        return found
    finally:
        await consumer.stop()


async def test_batch_is_appended_whole_at_consecutive_offsets(kafka: Any, topic: str, link: BrokerLink) -> None:
    appender = Appender(link, topic, 0, await link.claim(f"{topic}-0"))
    assert await appender.append([(b"a", b"1"), (b"b", None)]) == 0
    assert await appender.append([(b"a", b"2")]) == 2
    assert await read_all(kafka, topic) == [(0, b"a", b"1"), (1, b"b", None), (2, b"a", b"2")]


async def test_older_owner_is_refused_once_the_newer_has_written(kafka: Any, topic: str, link: BrokerLink) -> None:
    old = Appender(link, topic, 0, await link.claim(f"{topic}-0"))
    await old.append([(b"a", b"old")])
    new = Appender(link, topic, 0, await link.claim(f"{topic}-0"))
    assert new.claim.version > old.claim.version
    # Before the fence a write of the old owner is a legitimate prefix, which recovery reads.
    assert await old.append([(b"b", b"old")]) == 1
    assert await new.append([(b"fence", b"new")]) == 2
    with pytest.raises(Fenced, match="newer owner"):
        await old.append([(b"a", b"zombie")])
    with pytest.raises(Fenced, match="newer owner"):  # a flush may wait behind the one that was refused
        await old.append([(b"a", b"again")])
    assert [value for _, _, value in await read_all(kafka, topic)] == [b"old", b"old", b"new"]


async def test_claims_of_other_partitions_do_not_fence(topic: str, link: BrokerLink) -> None:
    first = Appender(link, topic, 0, await link.claim(f"{topic}-0"))
    second = Appender(link, topic, 1, await link.claim(f"{topic}-1"))
    for _ in range(3):
        await first.append([(b"a", b"1")])
        await second.append([(b"a", b"1")])


async def test_resent_batch_is_stored_once(kafka: Any, topic: str, link: BrokerLink) -> None:
    appender = Appender(link, topic, 0, await link.claim(f"{topic}-0"))
    built = appender._build([(b"a", b"1")], 0)
    assert await link.produce(topic, 0, built) == await link.produce(topic, 0, built) == 0
    assert len(await read_all(kafka, topic)) == 1


async def test_too_large_batch_is_named(topic: str, link: BrokerLink) -> None:
    appender = Appender(link, topic, 0, await link.claim(f"{topic}-0"))
    with pytest.raises(BatchTooLarge, match=r"max\.message\.bytes"):
        await appender.append([(b"a", b"x" * 2_000_000)])


def test_version_grows_with_epochs_and_producer_ids() -> None:
    assert Claim(7, 32766).version < Claim(8, 0).version < Claim(8, 1).version
