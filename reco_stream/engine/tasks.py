"""Ending tasks for sure.

aiokafka swallows a cancellation that comes while it closes a client: it awaits its own cancelled task and takes every
CancelledError for that one's (aiokafka/consumer/fetcher.py:444 `close`). A task that goes on then is awaited forever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

_AGAIN_S = 1.0


def heed_cancellation() -> None:
    """Raises CancelledError when the running task was told to end and what it awaited has swallowed that."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Returns when all tasks have ended, in whatever way; one that goes on is told again each second."""
    pending = found = set(tasks)
    while pending := {task for task in pending if not task.done()}:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_AGAIN_S)
    await asyncio.gather(*found, return_exceptions=True)  # so that nobody misses their errors
