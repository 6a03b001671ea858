"""An owner that another has fenced: what it lets go, and how it owns again, in the same process."""

import asyncio

import pytest

from reco_stream.engine import engine as module
from reco_stream.engine.partition import Phase
from tests.engine.engine_world import Worker, until
from tests.engine.fakes import LogRecord

pytestmark = pytest.mark.usefixtures("exits")


def suspended(worker: Worker) -> bool:
    return worker.partitions[0].phase is Phase.SUSPENDED


async def test_fenced_owner_lets_go_and_owns_again_what_the_newer_one_left(workers: tuple[Worker, Worker]) -> None:
    first, second = workers
    await first.own(0, 1)
    await first.apply(0, "a")
    await second.own(0)
    await first.submit(0, [LogRecord("app.events", 0, 1, b"user", b"refused")], first.tokens()[0])
    await until(lambda: suspended(first))
    assert set(first.running()) == {1}
    await second.apply(0, "b", "c", first=1)
    await first.own(0, 1)
    await first.apply(0, "d", first=3)
    assert first.count(0) == 4
    await second.submit(0, [LogRecord("app.events", 0, 3, b"user", b"refused")], second.tokens()[0])
    await until(lambda: suspended(second))
    assert second.count(0) == 3


async def test_owner_that_is_fenced_while_it_gives_its_partitions_back_goes_on(workers: tuple[Worker, Worker]) -> None:
    """As in a coordinator's failover: the session has ended, and an append waits for a new leader meanwhile."""
    first, second = workers
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold(name: str) -> None:
        if name == "append to app-state-changelog":
            reached.set()
            await go_on.wait()

    await first.own(0)
    first.on_gate = hold
    await first.submit(0, [LogRecord("app.events", 0, 0, b"user", b"a")], first.tokens()[0])
    await reached.wait()
    revoking = asyncio.create_task(first.revoke())
    await until(lambda: suspended(first))
    await second.own(0)
    go_on.set()
    await revoking
    await first.assign((), (), first.source, first.revocations)
    await second.apply(0, "a")
    assert (first.partitions, second.count(0)) == ({}, 1)


async def test_owner_whose_publication_is_fenced_lets_go(workers: tuple[Worker, Worker]) -> None:
    first, second = workers
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold(name: str) -> None:
        if name == "append to app.item-stats":
            reached.set()
            await go_on.wait()

    await first.own(0)
    first.on_gate = hold
    await first.apply(0, "a")
    await reached.wait()
    await second.own(0)
    await second.apply(0, "b", first=1)
    await second.partitions[0].publisher.flush(everything=True)  # type: ignore[union-attr]
    # The group has noticed as well: giving the partition back waits for that flush, and publishes no more after it.
    revoking = asyncio.create_task(first.revoke())
    await until(lambda: suspended(first))
    go_on.set()
    await revoking
    assert suspended(first)


@pytest.mark.parametrize("what", ["partition", "publisher"])
async def test_fenced_owner_asks_the_group_when_no_rebalance_comes(
    workers: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The claim may have come from one that the group had given up: then nobody would own the partition."""
    first, second = workers
    monkeypatch.setattr(module, "_REBALANCE_WITHIN_S", 0.0)
    await first.own(0)
    await first.apply(0, "a")
    await second.own(0)
    await second.apply(0, "b", first=1)
    await second.partitions[0].publisher.flush(everything=True)  # type: ignore[union-attr]
    if what == "partition":
        await first.submit(0, [LogRecord("app.events", 0, 1, b"user", b"refused")], first.tokens()[0])
    else:
        first.partitions[0].publisher.changed([b"nuser"], 0)  # type: ignore[union-attr]
    await until(lambda: first.source.rejoined == 1)
    assert suspended(first)


async def test_fenced_owner_is_told_by_the_rebalance_and_asks_no_more(workers: tuple[Worker, Worker]) -> None:
    first, second = workers
    await first.own(0)
    await second.own(0)
    await first.submit(0, [LogRecord("app.events", 0, 0, b"user", b"refused")], first.tokens()[0])
    await until(lambda: suspended(first))
    await first.assign((), (), first.source, first.revocations)
    assert (first._tasks, first.source.rejoined) == ([], 0)
