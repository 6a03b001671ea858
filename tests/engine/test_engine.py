"""The engine on fakes: what happens to partitions when the group moves them, in whatever order it says so."""

import asyncio
import dataclasses
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from reco_stream.engine import engine as module
from reco_stream.engine import recovery
from reco_stream.engine.checkpoint import Rejection
from reco_stream.engine.engine import Engine
from reco_stream.engine.errors import EXIT_FAILED, EXIT_FENCED, EXIT_REFUSED, Fenced, LogTruncated
from reco_stream.engine.partition import Partition, Phase
from reco_stream.engine.store import PartitionStore
from tests.engine.counting_worker import COUNTS, CountingProcessor, PublishesCounts, Silent, config_for
from tests.engine.fakes import FakeBroker, FakeDisk, FakeLink, LogRecord, MemoryStore, changelog_reader
from tests.engine.python_rows import PythonRows


class Died(BaseException):
    """In place of the end of the process."""


class Source:
    def __init__(self) -> None:
        self.started: list[int] = []

    async def bounds(self, partition: int) -> tuple[int, int]:
        return 0, 1_000

    async def start(self, partition: int, offset: int) -> None:
        self.started.append(partition)


class Worker(Engine):
    """An engine on a shared broker with a disk of its own."""

    def __init__(self, broker: FakeBroker) -> None:
        self.on_gate: Callable[[str], Awaitable[None]] | None = None
        link: Any = FakeLink(broker, self._gate)
        config = config_for("app", "", Path("disk"))
        config = dataclasses.replace(config, client_kwargs={"link": link}, publish_interval_s=0.002)
        super().__init__(
            config, lambda number: CountingProcessor(), PublishesCounts(config.item_stats_topic), _ignore, Silent()
        )
        self._broker = link
        self.disk = FakeDisk()
        self.source = Source()
        self.opened: list[MemoryStore] = []

    async def _gate(self, name: str) -> None:
        if self.on_gate is not None:
            await self.on_gate(name)

    def _new_store(self, number: int) -> PartitionStore:
        store = MemoryStore(self.config.store_path(number), self.disk)
        store.open()
        self.opened.append(store)
        return store

    async def own(self, *numbers: int) -> None:
        """Assigns partitions and waits until they run."""
        await self.assign(numbers, (), self.source, self.revocations)
        await until(lambda: set(self.running()) == set(numbers))

    async def apply(self, number: int, *values: str, first: int = 0) -> None:
        token = self.tokens()[number]
        self.taken(number, token)
        records = [
            LogRecord("app.events", number, first + i, b"user", value.encode()) for i, value in enumerate(values)
        ]
        await self.submit(number, records, token)
        await until(lambda: self.partitions[number].marker.applied >= first + len(values) - 1)

    def count(self, number: int) -> int:
        raw = self.partitions[number].store.get(b"nuser")
        return 0 if raw is None else COUNTS.decode(raw)[0]


async def _ignore(rejections: Sequence[Rejection]) -> None: ...


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
async def workers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Worker, Worker]]:
    monkeypatch.setattr(recovery, "changelog_reader", changelog_reader)
    broker = FakeBroker()
    found = Worker(broker), Worker(broker)
    yield found
    for worker in found:
        worker.on_gate = None
        await worker.stop()


@pytest.fixture
def worker(workers: tuple[Worker, Worker]) -> Worker:
    return workers[0]


# -- moving ----------------------------------------------------------------------------------------------------------


async def test_partition_moves_with_its_state(workers: tuple[Worker, Worker]) -> None:
    first, second = workers
    await first.own(0, 1)
    await first.apply(0, "a", "b")
    await first.revoke()
    await first.own(1)
    await second.own(0)
    assert set(first.partitions) == {1}
    await second.apply(0, "c", first=2)
    assert second.count(0) == 3


async def test_revoked_partitions_stay_open_for_stale_reads_but_run_no_more(worker: Worker) -> None:
    await worker.own(0)
    await worker.apply(0, "a")
    await worker.revoke()
    assert (worker.running(), worker.tokens(), worker.applied()) == ({}, {}, {})
    assert worker.count(0) == 1


async def test_stores_of_partitions_that_moved_away_are_closed(worker: Worker) -> None:
    await worker.own(0, 1)
    await worker.own(1)
    assert [store.is_open for store in worker.opened] == [False, True]


async def test_publisher_of_a_partition_that_moves_away_ends_with_it(worker: Worker) -> None:
    """Its store is closed at once; a flush that lives on would read it, or write with the old claim."""
    reached = asyncio.Event()

    async def hold(name: str) -> None:
        if "item-stats" in name:
            reached.set()
            await asyncio.Event().wait()

    await worker.own(0)
    worker.on_gate = hold
    await worker.apply(0, "a")
    await reached.wait()
    worker.on_gate = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_DRAIN_TIMEOUT_S", 0.01)
        await worker.own(1)
    assert not worker.opened[0].is_open
    assert [task.get_name() for task in worker._tasks] == ["partition-1", "publisher-1"]


async def test_assignment_from_before_the_last_revocation_starts_nothing(worker: Worker) -> None:
    """A claim made now would fence the owner that the group chooses meanwhile."""
    decided_after = worker.revocations
    await worker.revoke()
    await worker.assign({0}, (), worker.source, decided_after)
    assert (worker.partitions, worker._tasks, worker.assigned) == ({}, [], False)
    await worker.assign({0}, (), worker.source, worker.revocations)
    await until(lambda: set(worker.running()) == {0})
    assert worker.assigned


async def test_revocation_during_an_assignment_waits_for_it_and_ends_it(worker: Worker) -> None:
    following = worker.standbys.follow
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(numbers: set[int]) -> None:
        reached.set()
        await go_on.wait()
        await following(numbers)

    worker.standbys.follow = slow  # type: ignore[method-assign]
    assigning = asyncio.create_task(worker.assign({0}, (), worker.source, worker.revocations))
    await reached.wait()
    revoking = asyncio.create_task(worker.revoke())
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(assigning, revoking)
    assert (worker._tasks, worker.running()) == ([], {})


@pytest.mark.parametrize("stage", ["claim", "append to app-state-changelog", "fetch"])
async def test_revocation_in_the_middle_of_a_start_ends_it(workers: tuple[Worker, Worker], stage: str) -> None:
    first, second = workers
    await first.own(0)
    await first.apply(0, "a")
    await first.revoke()
    reached = asyncio.Event()

    async def hold(name: str) -> None:
        if name == stage:
            reached.set()
            await asyncio.Event().wait()

    second.on_gate = hold
    await second.assign({0}, (), second.source, second.revocations)
    await reached.wait()
    async with asyncio.timeout(5):
        await second.revoke()
    assert second.partitions[0].phase is Phase.SUSPENDED
    second.on_gate = None
    await second.own(0)
    await second.apply(0, "b", first=1)
    assert second.count(0) == 2


async def test_assignment_revoked_before_its_tasks_have_begun_leaves_no_coroutine_behind(worker: Worker) -> None:
    await worker.assign({0}, (), worker.source, worker.revocations)
    await worker.revoke()  # a coroutine that was never awaited would be a warning, and so an error
    assert worker.partitions[0].phase is Phase.SUSPENDED


def budget_of(partition: Partition) -> int:
    assert isinstance(partition.rows, PythonRows)
    return partition.rows.budget_bytes


async def test_cache_budget_is_shared_among_the_partitions(worker: Worker) -> None:
    await worker.own(0, 1)
    assert {budget_of(partition) for partition in worker.partitions.values()} == {worker.config.row_cache_bytes // 2}
    await worker.own(1)
    assert budget_of(worker.partitions[1]) == worker.config.row_cache_bytes


async def test_stop_drains_publishes_and_closes(workers: tuple[Worker, Worker]) -> None:
    worker, _ = workers
    await worker.own(0)
    broker = worker._broker.broker  # type: ignore[attr-defined]
    await worker.apply(0, "a")
    await worker.stop()
    assert b"nuser" in broker.logs["app.item-stats", 0].last_values()
    assert (worker.partitions, [store.is_open for store in worker.opened]) == ({}, [False])


# -- deliveries ------------------------------------------------------------------------------------------------------


async def test_what_was_fetched_for_an_earlier_run_is_dropped(worker: Worker) -> None:
    await worker.own(0)
    old = worker.tokens()[0]
    await worker.own(0)
    await worker.submit(0, [LogRecord("app.events", 0, 5, b"user", b"behind a gap")], old)
    await worker.apply(0, "a")
    assert worker.count(0) == 1


async def test_what_is_submitted_for_no_partition_of_ours_is_dropped(worker: Worker) -> None:
    await worker.submit(7, [LogRecord("app.events", 7, 0, b"user", b"x")], object())
    worker.taken(7, object())
    assert worker.partitions == {}


async def test_partition_without_room_is_not_fetched_while_others_are(worker: Worker) -> None:
    await worker.own(0, 1)
    full = worker.tokens()[0]
    worker.taken(0, full)
    worker.taken(0, full)
    assert set(worker.tokens()) == {1}
    assert worker.is_crowded()
    await worker.submit(0, [LogRecord("app.events", 0, 0, b"user", b"a")], full)
    await worker.submit(0, [LogRecord("app.events", 0, 1, b"user", b"b")], full)
    await until(lambda: worker.count(0) == 2)
    assert set(worker.tokens()) == {0, 1}
    assert not worker.is_crowded()


async def test_batches_lost_on_the_way_block_no_later_run(worker: Worker) -> None:
    await worker.own(0)
    for _ in range(5):
        worker.taken(0, worker.partitions[0].token)
    assert worker.tokens() == {}
    await worker.own(0)
    await worker.apply(0, "a")
    assert worker.count(0) == 1


# -- the end ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise Died

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(logging, "shutdown", lambda: None)
    return codes


@pytest.mark.parametrize(
    ("error", "code"),
    [(Fenced("x"), EXIT_FENCED), (LogTruncated("x"), EXIT_REFUSED), (ZeroDivisionError("x"), EXIT_FAILED)],
    ids=lambda value: type(value).__name__,
)
async def test_error_ends_the_process_with_its_code(
    worker: Worker, exits: list[int], error: Exception, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(Died):
        await worker.guarded(fail(), "the test")
    assert exits == [code]
    assert f"the test: {error if code != EXIT_FAILED else repr(error)}; stopping with exit code {code}" in caplog.text
    has_trace = any(record.exc_info for record in caplog.records)
    assert has_trace == isinstance(error, ZeroDivisionError)


async def test_cancellation_ends_nothing(worker: Worker, exits: list[int]) -> None:
    guarded = asyncio.create_task(worker.guarded(asyncio.sleep(60), "the test"))
    await asyncio.sleep(0)
    guarded.cancel()
    await asyncio.gather(guarded, return_exceptions=True)
    assert guarded.cancelled()
    assert exits == []


async def test_zombie_ends_when_its_next_checkpoint_is_refused(
    workers: tuple[Worker, Worker], exits: list[int]
) -> None:
    first, second = workers
    await first.own(0)
    token = first.tokens()[0]
    await second.own(0)
    await first.submit(0, [LogRecord("app.events", 0, 0, b"user", b"a")], token)
    await until(lambda: bool(exits))
    assert exits == [EXIT_FENCED]
    assert second.count(0) == 0
