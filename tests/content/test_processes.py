from __future__ import annotations

import asyncio

import pytest

from reco_stream.content.processes import WorkFailed, run_module


async def test_what_a_module_prints_comes_back_and_a_failure_says_why() -> None:
    assert (await run_module("calendar", "2026", "2")).split()[:2] == [b"February", b"2026"]
    with pytest.raises(WorkFailed, match="No module named nothing_of_this_name"):
        await run_module("nothing_of_this_name")


async def test_a_cancelled_caller_takes_the_process_along() -> None:
    task = asyncio.create_task(run_module("http.server", "0"))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
