"""Ending tasks for sure.

aiokafka swallows a cancellation that comes while it closes a client: it awaits its own cancelled task and takes every
CancelledError for that one's (aiokafka/consumer/fetcher.py:444 `close`). A task that goes on then is awaited forever.
Or the cancellation ends the closing half way, and connections stay open that nobody has any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

_AGAIN_S = 1.0


async def to_the_end(work: Awaitable[object]) -> None:
    """Awaits all of `work`, the closing of a client; a cancellation that comes meanwhile is raised afterwards.

    For work that ends by itself soon: nothing else ends it. When it ends as cancelled, nobody has cancelled this task.
    """
    task, told = asyncio.ensure_future(work), None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as cancelled:
            told = cancelled
    if not task.cancelled():
        task.result()
    if told is not None:
        raise told


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Returns when all tasks have ended, in whatever way; one that goes on is told again each second."""
    pending = found = set(tasks)
    while pending := {task for task in pending if not task.done()}:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_AGAIN_S)
    await asyncio.gather(*found, return_exceptions=True)  # so that nobody misses their errors
