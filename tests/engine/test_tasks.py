from __future__ import annotations

import asyncio
import contextlib

import pytest

from reco_stream.engine import tasks
from reco_stream.engine.tasks import end_tasks


async def deaf(times: int) -> None:
    """Swallows the first cancellations."""
    for _ in range(times):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    await asyncio.Event().wait()


async def fails() -> None:
    raise ValueError("before it was told to end")


async def test_a_task_that_swallows_a_cancellation_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_AGAIN_S", 0.01)
    found = [asyncio.create_task(work) for work in (deaf(0), deaf(2), fails())]
    await asyncio.sleep(0)
    await end_tasks(found)
    assert [task.done() for task in found] == [True, True, True]
    assert found[1].cancelled()


async def test_no_tasks_are_no_error() -> None:
    await end_tasks([])


async def test_a_cancellation_comes_after_the_end_of_the_work() -> None:
    ended = []

    async def work() -> None:
        for _ in range(20):
            with contextlib.suppress(asyncio.CancelledError):  # what it is told, nobody who awaits it would hear
                await asyncio.sleep(0)
        ended.append(True)

    async def whole() -> None:
        await tasks.to_the_end(work())
        raise AssertionError("it went on")

    task = asyncio.create_task(whole())
    for _ in range(10):  # all of them while it works
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert ended


async def test_without_a_cancellation_the_work_is_awaited_and_its_error_raised() -> None:
    await tasks.to_the_end(asyncio.sleep(0))
    with pytest.raises(ValueError, match="before it was told"):
        await tasks.to_the_end(fails())


async def test_work_that_ends_as_cancelled_cancels_nobody() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    await tasks.to_the_end(work())
