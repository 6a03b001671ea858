from __future__ import annotations

import asyncio
import contextlib

import pytest

from reco_stream.engine import tasks
from reco_stream.engine.tasks import end_tasks, heed_cancellation


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


async def test_a_swallowed_cancellation_is_heeded() -> None:
    async def work() -> None:
        heed_cancellation()  # nobody has asked yet
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        heed_cancellation()
        raise AssertionError("it went on")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_time_limit_that_ran_out_is_no_cancellation() -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()
    heed_cancellation()
