"""Sending event logs to Kafka."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError

from reco_stream import replay as module
from reco_stream.domain.partitioner import partition_of
from reco_stream.event_files import EventFile, Line, Refused, write_events
from reco_stream.kafka_server import KafkaServer
from reco_stream.replay import ReplayReport, open_producer, replay
from reco_stream.sample_data import SampleSize, sample_events
from reco_stream.settings import Settings
from reco_stream.topics import create_topics


def line(number: int, user: str = "u1", time_ms: int | None = None) -> Line:
    return Line(number, user.encode(), f"event {number}".encode(), time_ms)


class Batch:
    """A batch that is full after `room` records."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.values: list[bytes] = []

    def append(self, *, key: bytes, value: bytes, timestamp: None) -> object | None:
        if len(self.values) == self.room:
            return None
        self.values.append(value)
        return object()


class Producer:
    """Answers like Kafka; from batch number `fails_at` on with an error."""

    def __init__(self, room: int = 10, fails_at: int | None = None, refuses_at: int | None = None) -> None:
        self.room, self.fails_at, self.refuses_at = room, fails_at, refuses_at
        self.batches: list[tuple[int, list[bytes]]] = []

    async def partitions_for(self, topic: str) -> set[int]:
        return {0, 1, 2}

    def create_batch(self) -> Batch:
        return Batch(self.room)

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[None]:
        number = len(self.batches)
        if self.refuses_at is not None and number >= self.refuses_at:
            raise KafkaTimeoutError
        self.batches.append((partition, batch.values))
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.fails_at is not None and number >= self.fails_at:
            answer.set_exception(KafkaConnectionError("broker gone"))
        else:
            answer.set_result(None)
        return answer


async def run(producer: Producer, lines: Sequence[Line | Refused], **options: Any) -> ReplayReport:
    return await replay(producer, "events", lines, **options)


@pytest.mark.kafka
async def test_a_file_arrives_whole_and_in_order_for_each_user(kafka: KafkaServer, tmp_path: Path) -> None:
    settings = Settings(broker=kafka.bootstrap, app="replay-whole", partitions=3)
    await create_topics(settings)
    write_events(tmp_path / "events.csv", sample_events(SampleSize(events=5_000, users=80, items=50), seed=1))
    wanted: dict[bytes, list[bytes]] = defaultdict(list)
    for read in EventFile(tmp_path / "events.csv"):
        assert isinstance(read, Line)
        wanted[read.key].append(read.value)

    async with open_producer(settings) as producer:
        report = await replay(producer, settings.topic("events"), EventFile(tmp_path / "events.csv"))
    assert (report.sent, report.complete, report.error) == (5_000, True, None)
    assert report.per_second > 0

    found: dict[bytes, list[bytes]] = defaultdict(list)
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(settings.topic("events"), partition) for partition in range(3)])
        for _ in range(5_000):
            record = await consumer.getone()
            assert record.partition == partition_of(record.key.decode(), 3)
            found[record.key].append(record.value)
    assert found == wanted


async def test_refused_lines_are_counted_with_an_example_of_each_reason() -> None:
    refused = [Refused(2, "bad_id", "first"), Refused(3, "bad_id", "second"), Refused(4, "not_json", "third")]
    report = await run(Producer(), [line(1), *refused, line(5)])
    assert report.sent == 2
    assert not report.complete
    assert report.refused == {"bad_id": 2, "not_json": 1}
    assert report.examples == {"bad_id": refused[0], "not_json": refused[2]}


async def test_batches_are_full_and_the_rest_follows_at_the_end() -> None:
    producer = Producer(room=10)
    assert (await run(producer, [line(n) for n in range(1, 26)])).sent == 25
    assert [len(values) for _, values in producer.batches] == [10, 10, 5]


@pytest.mark.parametrize("producer", [Producer(fails_at=2), Producer(refuses_at=2)])
async def test_a_failure_ends_the_replay_and_says_where_to_go_on(producer: Producer) -> None:
    taken = 0

    def lines() -> Iterator[Line]:
        nonlocal taken
        for taken in range(1, 100_001):
            yield line(taken)

    report = await replay(producer, "events", lines())
    assert report.sent == 20
    assert report.first_unanswered == 21
    assert report.unanswered >= 10
    assert report.error is not None
    assert report.error.startswith(("KafkaConnectionError", "KafkaTimeoutError"))
    assert not report.complete
    assert taken < 2_100  # the rest of the file was not read


async def test_progress_is_told_at_every_turn_and_at_the_end() -> None:
    seen: list[int] = []
    lines = [line(n) for n in range(1, 2_501)]
    await run(Producer(), lines, on_progress=lambda report: seen.append(report.sent))
    assert len(seen) == 3
    assert seen == sorted(seen)
    assert seen[-1] == 2_500


async def test_a_paced_replay_keeps_the_rhythm_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    sent_at: dict[bytes, float] = {}

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    class Timed(Producer):
        async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[None]:
            sent_at.update(dict.fromkeys(batch.values, now))
            return await super().send_batch(batch, topic, partition=partition)

    monkeypatch.setattr(module, "_now", lambda: now)
    monkeypatch.setattr(module, "_sleep", sleep)
    times = [5_000, 5_000, 15_000, None, 125_000]
    report = await run(Timed(), [line(n, "u1", at) for n, at in enumerate(times, start=1)], speed=10.0)
    assert report.sent == 5
    moments = [sent_at[f"event {n}".encode()] - 1_000 for n in range(1, 6)]
    assert moments == pytest.approx([0, 0, 1, 1, 12], abs=module.PACED_FLUSH_S)


async def test_no_kafka_is_an_error_at_once() -> None:
    with pytest.raises(KafkaConnectionError):
        async with open_producer(Settings(broker="127.0.0.1:1")):
            pytest.fail("there is nothing to connect to")
