"""The end of one partition on fakes: what draining, abandoning and cancelling leave behind."""

import asyncio
from typing import Any

import pytest

from reco_stream.engine.changelog import Appender
from reco_stream.engine.partition import Phase
from tests.engine.fakes import FakeLink
from tests.engine.partition_world import STATS, World, applied, events, published, row


async def test_drained_partition_has_applied_and_published_what_was_submitted(world: World) -> None:
    partition = await world.running(world.partition())
    await partition.submit(events("a"))
    await partition.submit(events("b", first=1))
    await partition.drained(5)
    assert (partition.phase, row(partition)) == (Phase.SUSPENDED, b"ab")
    assert published(world) == {b"tk": b"ab"}


async def test_partition_that_has_just_started_is_drained_at_once(world: World) -> None:
    partition = await world.running(world.partition())
    async with asyncio.timeout(1):
        await partition.drained(30)


async def test_draining_gives_up_and_says_so(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def hold(name: str) -> None:
        await asyncio.Event().wait()

    partition = await world.running(world.partition())
    world.on_gate = hold
    await partition.submit(events("a"))
    await partition.drained(0.01)
    assert "partition 0: not drained within 0.0 s" in caplog.text
    assert partition.phase is Phase.SUSPENDED


async def test_draining_survives_a_newer_owner(world: World, caplog: pytest.LogCaptureFixture) -> None:
    partition = await world.running(world.partition())
    await applied(partition, "a")
    link: Any = FakeLink(world.broker)
    await Appender(link, STATS, 0, world.broker.claim("app-0")).append([(b"tz", b"newer")])
    await partition.drained(5)
    assert "a newer owner has taken over" in caplog.text


async def test_abandoned_partition_lets_go_of_who_waits_for_room(world: World) -> None:
    async def hold(name: str) -> None:
        await asyncio.Event().wait()

    partition = await world.running(world.partition())
    world.on_gate = hold
    for first in range(3):
        await partition.submit(events("a", first=first))
        await asyncio.sleep(0)
    waiting = asyncio.create_task(partition.submit(events("a", first=3)))
    await asyncio.sleep(0.01)
    world.on_gate = None
    await world.stopped()
    partition.abandon()
    async with asyncio.timeout(5):
        await waiting
    assert partition.phase is Phase.SUSPENDED


@pytest.mark.parametrize("turns", range(5))
async def test_cancellation_together_with_a_batch_is_not_swallowed(world: World, turns: int) -> None:
    """A rebalance waits for the task; with a swallowed cancellation it would wait for the idle hour."""
    partition = await world.running(world.partition())
    await asyncio.sleep(0.01)
    await partition.submit(events("a"))
    for _ in range(turns):
        await asyncio.sleep(0)
    world.tasks[-1].cancel()
    await asyncio.wait(world.tasks, timeout=5)
    assert world.tasks[-1].cancelled()
