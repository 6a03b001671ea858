"""An event loop whose clock stands still until it is told to move on, and that never waits for anything."""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class _NeverWaits(selectors.SelectSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs what can run, then stops: between two calls of `settle` every task waits for the test."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_NeverWaits())

    def time(self) -> float:
        return self._now

    def settle(self) -> None:
        """Runs until no task can go on without a timer or the test."""
        while self._ready or self._next_timer() <= self._now:  # type: ignore[attr-defined]
            self.stop()
            self.run_forever()

    def advance(self) -> bool:
        """Moves the clock to the next timer and settles; False when there is none."""
        next_timer = self._next_timer()
        if next_timer == float("inf"):
            return False
        self._now = max(self._now, next_timer)
        self.settle()
        return True

    def _next_timer(self) -> float:
        timers: list[Any] = self._scheduled  # type: ignore[attr-defined]
        return min((timer.when() for timer in timers if not timer.cancelled()), default=float("inf"))

    def call_exception_handler(self, context: Mapping[str, Any]) -> None:
        """Errors of tasks are looked at by the test; the default handler would log those of killed ones."""
