"""Delivery without a broker: whose records are taken, with which token, and what is committed.

The fetcher below behaves like aiokafka's: it looks at the set of wanted partitions again whenever data arrives, and
taking records moves the position.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka import errors as kafka_errors
from aiokafka.structs import OffsetAndMetadata
from faust.types import TP

from reco_stream.engine.delivery import (
    AT_ONCE,
    COLLECT,
    IDLE,
    SCHEME,
    Batch,
    BatchConsumer,
    BatchConsumerThread,
    Waits,
    each_batch,
    register,
)
from reco_stream.engine.marker import Marker

TOPIC = "app.events"
P0, P1 = TP(TOPIC, 0), TP(TOPIC, 1)


class FakeEngine:
    def __init__(self) -> None:
        self.config = SimpleNamespace(events_topic=TOPIC)
        self.running: dict[int, object] = {}
        self.markers: dict[int, Marker] = {}
        self.revocations = 0
        self.crowded = False
        self.on_the_way: list[tuple[int, object]] = []

    def tokens(self) -> dict[int, object]:
        return dict(self.running)

    def is_crowded(self) -> bool:
        return self.crowded

    def taken(self, number: int, token: object) -> None:
        self.on_the_way.append((number, token))

    def applied(self) -> dict[int, Marker]:
        return self.markers

    async def revoke(self) -> None:
        self.revocations += 1
        self.running.clear()


class Records:
    """Source partitions and the position of each, taken from under the consumer's lock or not."""

    def __init__(self) -> None:
        self.logs: dict[TP, list[Any]] = {P0: [], P1: []}
        self.positions = {P0: 0, P1: 0}
        self.arrived = asyncio.Event()

    def add(self, tp: TP, count: int) -> None:
        end = len(self.logs[tp])
        self.logs[tp] += [SimpleNamespace(offset=end + i, timestamp=0, timestamp_type=1) for i in range(count)]
        self.arrived.set()

    async def fetch(self, active: set[TP], timeout: float) -> dict[TP, list[Any]]:
        while True:
            found = {tp: self.logs[tp][self.positions[tp] :] for tp in self.logs if not active or tp in active}
            found = {tp: records for tp, records in found.items() if records}
            for tp, records in found.items():
                self.positions[tp] += len(records)
            if found:
                return found
            self.arrived.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self.arrived.wait()
            except TimeoutError:
                return {}


class FakeThread(BatchConsumerThread):
    should_stop = False


class FakeMessage:
    acked = False


class Consumer(BatchConsumer):
    """The consumer under test on a fake fetcher; Faust's constructor wants a whole application."""

    def __init__(self) -> None:
        self.app = SimpleNamespace(engine=FakeEngine(), consumer_generation_id=1, should_stop=False)
        self.records = Records()
        self.delivered: list[Batch] = []
        self.commits: list[Mapping[TP, int]] = []
        self.commit_works = True
        self.flow_active = True
        self.can_resume_flow = asyncio.Event()
        self._polling = asyncio.Lock()
        self._records_at = 0.0
        self.waits: list[Waits] = []
        self._thread = SimpleNamespace(wait_for=self.waits.append)
        self._active_partitions: set[TP] = set()
        self._paused_partitions: set[TP] = set()
        self._committed_offset: dict[TP, int] = {}
        self._unacked_messages: set[Any] = set()
        self._waiting_for_ack = None

    async def _getmany(self, active: set[TP], timeout: float) -> Any:
        return await self.records.fetch(active, timeout)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        self.records.positions.update(partitions)

    async def wait(self, event: Any) -> None:
        await event.wait()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _deliver(self, fetched: Sequence[Batch]) -> None:
        self.delivered += fetched

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        self.commits.append(dict(offsets))
        return self.commit_works

    def run(self, number: int, token: object) -> None:
        self.app.engine.running[number] = token

    def offsets(self, number: int, token: object) -> list[int]:
        return [
            r.offset for batch in self.delivered if batch.partition == number and batch.token is token for r in batch
        ]


@pytest.fixture
async def consumer() -> AsyncIterator[Consumer]:
    consumer = Consumer()
    stop = SimpleNamespace(should_stop=False)
    type(consumer).should_stop = False
    draining = asyncio.create_task(consumer._drain_messages(stop))
    yield consumer
    stop.should_stop = True
    consumer.can_resume_flow.set()
    await draining


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_partition_that_starts_during_a_poll_loses_no_record(consumer: Consumer) -> None:
    """The race: a poll for partition 0 is under way when partition 1 starts and its records arrive."""
    consumer.run(0, "run 0")
    await consumer.start_partition(P0, 0)
    await until(consumer._polling.locked)
    consumer.run(1, "run 1")
    starting = asyncio.create_task(consumer.start_partition(P1, 0))
    consumer.records.add(P1, 3)
    await starting
    consumer.records.add(P1, 2)
    await until(lambda: len(consumer.offsets(1, "run 1")) >= 5)
    assert consumer.offsets(1, "run 1") == [0, 1, 2, 3, 4]


async def test_records_taken_for_an_earlier_run_are_read_again_by_the_next(consumer: Consumer) -> None:
    consumer.run(0, "first")
    await consumer.start_partition(P0, 0)
    consumer.records.add(P0, 2)
    await until(lambda: consumer.offsets(0, "first"))
    await until(consumer._polling.locked)
    consumer.run(0, "second")  # the poll under way belongs to the first run
    restarted = asyncio.create_task(consumer.start_partition(P0, 1))
    consumer.records.add(P0, 2)
    await restarted
    await until(lambda: len(consumer.offsets(0, "second")) >= 3)
    assert consumer.offsets(0, "second") == [1, 2, 3]


async def test_only_running_partitions_of_the_event_topic_are_fetched(consumer: Consumer) -> None:
    consumer._active_partitions |= {P0, P1, TP("app-state-changelog", 0)}
    consumer.run(0, "run")
    consumer.records.add(P1, 1)
    consumer.records.add(P0, 1)
    await until(lambda: consumer.offsets(0, "run") == [0])
    assert consumer.records.positions[P1] == 0


async def test_a_full_partition_keeps_no_other_waiting(consumer: Consumer) -> None:
    """Partition 0 has no room and is left out: what comes for partition 1 does not wait, nor does 0 once it has."""
    consumer._active_partitions |= {P0, P1}
    consumer.app.engine.crowded = True
    consumer.run(1, "run 1")
    consumer.records.add(P0, 3)
    consumer.records.add(P1, 1)
    await until(lambda: consumer.offsets(1, "run 1") == [0])
    assert consumer.records.positions[P0] == 0
    consumer.run(0, "run 0")
    await until(lambda: consumer.offsets(0, "run 0") == [0, 1, 2])
    assert consumer.app.engine.on_the_way == [(1, "run 1"), (0, "run 0")]


async def test_nothing_is_fetched_while_the_flow_is_suspended(consumer: Consumer) -> None:
    consumer.flow_active = False
    await asyncio.sleep(0.05)
    consumer.run(0, "run")
    await consumer.start_partition(P0, 0)
    consumer.records.add(P0, 1)
    await asyncio.sleep(0.05)
    assert consumer.records.positions[P0] == 0
    consumer.flow_active = True
    consumer.can_resume_flow.set()
    await until(lambda: consumer.offsets(0, "run") == [0])


def test_broker_collects_only_while_events_keep_coming() -> None:
    consumer = Consumer()
    for events, now in ((1, 1.0), (1, 1.1), (30, 1.2), (11, 1.25), (0, 1.35), (9, 1.36)):
        consumer._pace(events, now)
    assert consumer.waits == [AT_ONCE, AT_ONCE, COLLECT, COLLECT, AT_ONCE, AT_ONCE]


def test_long_fetches_only_after_a_pause() -> None:
    consumer = Consumer()
    for events, now in ((1, 1.0), (0, 1.9), (0, 2.1), (0, 9.0), (1, 9.1), (0, 9.2)):
        consumer._pace(events, now)
    assert consumer.waits == [AT_ONCE, AT_ONCE, IDLE, IDLE, AT_ONCE, AT_ONCE]


async def test_fetches_are_short_while_partitions_start(consumer: Consumer) -> None:
    consumer.run(0, "run")
    await consumer.start_partition(P0, 0)
    await until(lambda: consumer.waits)
    assert IDLE not in consumer.waits


async def test_commits_what_the_markers_say_once() -> None:
    consumer = Consumer()
    assert not await consumer.force_commit()
    consumer.app.engine.markers = {0: Marker(applied=4), 1: Marker(applied=-1)}
    assert await consumer.force_commit()
    assert not await consumer.force_commit()
    consumer.app.engine.markers = {0: Marker(applied=4), 1: Marker(applied=0)}
    consumer.commit_works = False
    assert not await consumer.force_commit()
    consumer.commit_works = True
    assert await consumer.force_commit()
    assert consumer.commits == [{P0: 5, P1: 0}, {P1: 1}, {P1: 1}]


async def test_acks_leave_nothing_behind() -> None:
    """Faust's own lists of acked offsets are emptied by its own commit, which is not used."""
    consumer = Consumer()
    message = FakeMessage()
    consumer._unacked_messages = {message}
    assert consumer.ack(message)
    assert message.acked
    assert not consumer._unacked_messages
    assert not hasattr(consumer, "_acked")


def test_scheme_is_known_to_faust() -> None:
    import faust.transport

    register()
    transport = faust.transport.by_url(f"{SCHEME}://localhost:9092")
    assert transport.Consumer is BatchConsumer


@pytest.mark.parametrize("error", [kafka_errors.CommitFailedError(), kafka_errors.RequestTimedOutError()])
async def test_a_refused_commit_is_no_reason_to_die(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Faust crashes the worker for each of them, and leaves a process that does nothing."""
    asked: list[Mapping[Any, Any]] = []

    async def commit(offsets: Mapping[Any, Any]) -> None:
        asked.append(offsets)
        raise error

    thread = object.__new__(BatchConsumerThread)
    thread._consumer = SimpleNamespace(commit=commit, assignment=lambda: {P0})
    assert not await thread._commit({P0: 5, P1: 6})
    assert asked == [{TopicPartition(TOPIC, 0): OffsetAndMetadata(5, "")}]
    assert type(error).__name__ in caplog.text


@pytest.mark.parametrize("ends", [False, True])
async def test_rejoining_is_asked_of_the_coordinator_in_its_thread_unless_that_ends(ends: bool) -> None:
    asked: list[str] = []
    thread: Any = object.__new__(FakeThread)
    thread.should_stop = ends
    thread.thread_loop = asyncio.get_running_loop()
    thread._consumer = SimpleNamespace(_coordinator=SimpleNamespace(request_rejoin=lambda: asked.append("rejoin")))
    consumer = Consumer()
    consumer._thread = thread
    consumer.rejoin()
    assert asked == []
    await asyncio.sleep(0)
    assert asked == ([] if ends else ["rejoin"])


async def test_one_message_carries_all_that_a_fetch_brought(consumer: Consumer) -> None:
    consumer._active_partitions |= {P0, P1}
    sent: list[Any] = []

    async def callback(message: Any) -> None:
        sent.append(message)

    consumer.callback, consumer.suspend_flow = callback, asyncio.Event()
    batches = [Batch([SimpleNamespace(topic=TOPIC, offset=4, timestamp=1, timestamp_type=0)], n, n) for n in (1, 0)]
    consumer.wait_first = lambda first, other: asyncio.gather(first, _closed(other))
    await BatchConsumer._deliver(consumer, batches)
    assert [(message.tp, message.offset) for message in sent] == [(P1, 4)]

    async def stream() -> AsyncIterator[Any]:
        for message in sent:
            yield message.value

    assert [batch async for batch in each_batch(stream())] == batches


async def _closed(waiting: Any) -> None:
    waiting.close()
