"""How often a partition publishes: each interval, each second one while much comes in, less often while it catches up.

A row that changes with every other event is published half as often then: at 15,000 events/s and 12 partitions 0.96
values an event and not 1.11. With a third interval it would be 0.89.

What a partition that is a minute behind has to say is a minute old, and its rows change again at once: it may grow a
quarter older, up to ten seconds, which saves most of its publications and all that every worker does with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

OLDER_BY: Final = 0.25
LONGEST_S: Final = 10.0
# Fewer rows of a partition are published at each interval: waiting saves little, and what is seldom is seen soon.
BUSY_ROWS: Final = 50
# Of the interval: whoever looks once in it finds every second look due, a little early or late as it may be.
BUSY_INTERVALS: Final = 1.5
# So many rows of a partition are published whatever their age. Where hardly a row changes twice waiting saves nothing,
# and a row that has left RocksDB's memtable costs three times as much to read.
MOST_ROWS: Final = 4_000


class Pace:
    """Says when to publish; `interval_s` is the least time between two publications."""

    def __init__(
        self,
        interval_s: float,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._wall_clock = wall_clock
        self._behind_s = 0.0
        self._applied_at = self._published_at = clock()

    def applied(self, appended_ms: int) -> None:
        """Notes that records were applied just now; the newest was appended to the source at `appended_ms`."""
        self._applied_at = self._clock()
        self._behind_s = self._wall_clock() - appended_ms / 1000

    def is_due(self, rows: int, idle: bool) -> bool:
        """Returns whether to publish now; `rows` wait for it, `idle` says that nothing waits to be applied."""
        now = self._clock()
        has_caught_up = idle and now - self._applied_at >= self._interval_s
        busy_s = BUSY_INTERVALS * self._interval_s if rows >= BUSY_ROWS else 0.0
        wait_s = 0.0 if has_caught_up else max(busy_s, min(LONGEST_S, OLDER_BY * self._behind_s))
        if rows < MOST_ROWS and now - self._published_at < wait_s:
            return False
        self._published_at = now
        return True
