"""The engine on fakes: what happens to partitions when the group moves them, in whatever order it says so."""

import asyncio

import pytest

from reco_stream.engine import engine as module
from reco_stream.engine.errors import EXIT_FAILED, EXIT_REFUSED, EXIT_RESTART, ChangelogUnavailable, LogTruncated
from reco_stream.engine.partition import Partition, Phase
from tests.engine.engine_world import Died, Worker, until
from tests.engine.fakes import LogRecord
from tests.engine.python_rows import PythonRows

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


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ChangelogUnavailable("x"), EXIT_RESTART),
        (LogTruncated("x"), EXIT_REFUSED),
        (ZeroDivisionError("x"), EXIT_FAILED),
    ],
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
