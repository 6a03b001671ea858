import uuid
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from reco_stream.dead_letter_replay import read_ledger, read_letter, replay
from reco_stream.dead_letters import (
    REPLAY_SOURCE,
    Headers,
    Position,
    State,
    dead_letter_record,
    done_marker,
    started_marker,
)
from reco_stream.domain.partitioner import partition_of
from reco_stream.events import BadEvent
from reco_stream.kafka_server import KafkaServer
from reco_stream.settings import Settings
from reco_stream.topics import NoSuchTopic, create_topics

pytestmark = pytest.mark.kafka

PARTITIONS = 4
NOW_MS = 1_700_000_000_000


@pytest.fixture
async def settings(kafka: KafkaServer) -> Settings:
    settings = Settings(broker=kafka.bootstrap, app=f"replay-{uuid.uuid4().hex[:8]}", partitions=PARTITIONS)
    await create_topics(settings)
    return settings


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker, max_request_size=10_000_000)
    await producer.start()
    yield producer
    await producer.stop()


def now_ms() -> int:
    return NOW_MS


def source_record(settings: Settings, number: int, value: bytes | None = None) -> ConsumerRecord:
    value = value or b'{"user_id":"u%d","item_id":"i1","event_type":"view"}' % number
    key = b"u%d" % number
    return ConsumerRecord(
        settings.topic("events"), 0, number, NOW_MS, 0, key, value, None, len(key), len(value), headers=()
    )


async def bury(producer: AIOKafkaProducer, settings: Settings, record: ConsumerRecord) -> str:
    """Write the dead letter of `record`; return its key."""
    key, value, headers = dead_letter_record(record, BadEvent("wrong_partition", "elsewhere"))
    await producer.send_and_wait(settings.topic("dead-letters"), value, key=key, headers=headers)
    return key.decode()


async def mark(producer: AIOKafkaProducer, settings: Settings, source: str, headers: Headers) -> None:
    await producer.send_and_wait(settings.topic("dead-letters"), None, key=source.encode(), headers=headers)


async def events(settings: Settings) -> list[ConsumerRecord]:
    partitions = [TopicPartition(settings.topic("events"), number) for number in range(PARTITIONS)]
    async with AIOKafkaConsumer(bootstrap_servers=settings.broker, auto_offset_reset="earliest") as consumer:
        consumer.assign(partitions)
        wanted = sum((await consumer.end_offsets(partitions)).values())
        found: list[ConsumerRecord] = []
        while len(found) < wanted:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += records
        return found


async def test_each_source_record_is_sent_once_to_its_users_partition(
    settings: Settings, producer: AIOKafkaProducer
) -> None:
    sources = [await bury(producer, settings, source_record(settings, number)) for number in range(20)]
    for number in range(5):
        await bury(producer, settings, source_record(settings, number))
    counted: list[tuple[int, int]] = []
    report = await replay(settings, lambda entry: True, now_ms, progress=lambda *done: counted.append(done))
    assert (report.sent, report.found, report.refused) == (20, 0, [])
    assert counted == [(done, 20) for done in range(1, 21)]
    again = await replay(settings, lambda entry: True, now_ms)
    assert (again.sent, again.found) == (0, 0)
    found = await events(settings)
    assert sorted(dict(record.headers)[REPLAY_SOURCE].decode() for record in found) == sorted(sources)
    assert [record.partition for record in found] == [partition_of(record.key.decode(), PARTITIONS) for record in found]
    entries = (await read_ledger(settings)).entries
    assert {entry.state for entry in entries.values()} == {State.REPLAYED}
    assert {(entry.position.partition, entry.position.offset) for entry in entries.values() if entry.position} == {
        (record.partition, record.offset) for record in found
    }


async def test_only_the_chosen_and_the_mended_are_sent(settings: Settings, producer: AIOKafkaProducer) -> None:
    chosen = await bury(producer, settings, source_record(settings, 1))
    bad = await bury(producer, settings, source_record(settings, 2, b"{"))
    left = await bury(producer, settings, source_record(settings, 3))
    report = await replay(settings, lambda entry: entry.source != left, now_ms)
    assert report.sent == 1
    assert [(entry.source, error.reason) for entry, error in report.refused] == [(bad, "not_json")]
    states = {source: entry.state for source, entry in (await read_ledger(settings)).entries.items()}
    assert states == {chosen: State.REPLAYED, bad: State.OPEN, left: State.OPEN}


async def test_a_run_that_was_killed_is_completed_without_sending_twice(
    settings: Settings, producer: AIOKafkaProducer
) -> None:
    topic = settings.topic("events")
    records = [source_record(settings, number) for number in range(4)]
    sources = [await bury(producer, settings, record) for record in records]
    partitions = [partition_of(f"u{number}", PARTITIONS) for number in range(4)]
    # Killed before the send (0), before the done marker (1, with another record in front), not at all (2); 3 is new.
    await mark(producer, settings, sources[0], started_marker(Position(partitions[0], 0)))
    await producer.send_and_wait(topic, b"other", partition=partitions[1])
    await mark(producer, settings, sources[1], started_marker(Position(partitions[1], 1)))
    sent = await producer.send_and_wait(
        topic, records[1].value, key=b"u1", partition=partitions[1], headers=[(REPLAY_SOURCE, sources[1].encode())]
    )
    await mark(producer, settings, sources[2], done_marker(Position(partitions[2], 9)))
    report = await replay(settings, lambda entry: True, now_ms)
    assert (report.sent, report.found) == (2, 1)
    found = [dict(record.headers).get(REPLAY_SOURCE, b"").decode() for record in await events(settings)]
    assert sorted(found) == sorted(["", sources[0], sources[1], sources[3]])
    entries = (await read_ledger(settings)).entries
    assert {entry.state for entry in entries.values()} == {State.REPLAYED}
    assert entries[sources[1]].position == Position(sent.partition, sent.offset)
    assert entries[sources[2]].position == Position(partitions[2], 9)


async def test_one_letter_can_be_read_with_all_its_bytes(settings: Settings, producer: AIOKafkaProducer) -> None:
    big = source_record(settings, 1, b"\xff" * 5_000_000)
    source = await bury(producer, settings, big)
    await bury(producer, settings, big)
    letter = await read_letter(settings, source)
    assert letter is not None
    assert (letter.offset, letter.value) == (0, big.value)
    assert await read_letter(settings, "no/0/0") is None


async def test_many_letters_are_sent_in_several_chunks(settings: Settings, producer: AIOKafkaProducer) -> None:
    for number in range(1001):
        key, value, headers = dead_letter_record(source_record(settings, number), BadEvent("wrong_partition", ""))
        await producer.send(settings.topic("dead-letters"), value, key=key, headers=headers)
    await producer.flush()
    assert (await replay(settings, lambda entry: True, now_ms)).sent == 1001
    assert len(await events(settings)) == 1001


async def test_a_missing_topic_is_named(kafka: KafkaServer) -> None:
    with pytest.raises(NoSuchTopic, match=r"topic none-here\.dead-letters does not exist; .*reco topics create"):
        await read_ledger(Settings(broker=kafka.bootstrap, app="none-here"))
