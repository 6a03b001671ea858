"""Turns on the event loop: in one pass of it one slice of work in the background runs, whoever asks for it.

Web views share the loop with the partitions. When each of twelve partitions folded for 4 ms before it gave way, a pass
took 50 ms and a request waited for half of one; now it waits for one slice.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final
from weakref import WeakKeyDictionary

# What works on many small things gives way after so long.
_SLICE_S: Final = 0.002


class Turns:
    """The turns of one event loop, first come first served."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._call_soon, self._new_future = loop.call_soon, loop.create_future
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    async def take(self) -> None:
        """Returns when the caller may hold the loop for a slice; at once when nobody has had this pass."""
        if self._taken:
            turn = self._new_future()
            self._waiting.append(turn)
            await turn
        else:
            self._taken = True
            self._call_soon(self._pass_on)

    def _pass_on(self) -> None:
        """In the next pass of the loop; in between it has looked at its sockets."""
        self._taken = False
        while self._waiting and not self._taken:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._taken = True
                self._call_soon(self._pass_on)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


async def take_turn() -> None:
    """Waits for a turn on the running loop; whoever works in the background asks before each slice of 1 to 4 ms."""
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = Turns(loop)
    await turns.take()


class Slices:
    """Work on many small things, in slices of 2 ms from now on: while `is_over` (a look costs 0.1 us) await `next`."""

    def __init__(self) -> None:
        self._ends = time.perf_counter() + _SLICE_S

    @property
    def is_over(self) -> bool:
        """True once the loop has been held for long enough."""
        return time.perf_counter() > self._ends

    async def next(self) -> None:
        """Returns when the next slice may begin."""
        await take_turn()
        self._ends = time.perf_counter() + _SLICE_S
