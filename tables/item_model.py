"""The read model of items: the published rows of all partitions in memory, and what can be asked of them.

Rows are kept packed (`reco_stream/domain/compact.cpp`) and decoded when asked for: most items of a catalogue are
hardly ever asked for, and decoded they take 10 to 20 times the memory. Lists of neighbours are merged when
they are asked for after a change, and kept; a hot item changes more often than a list of it need be merged.
"""

from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from reco_stream.domain.canary_ids import PREFIX
from reco_stream.domain.compact import CoViewRows, Numbers, PopularityRows, take_items
from reco_stream.domain.decay import STEPS_PER_HALF_LIFE
from reco_stream.engine.published import Stamp, seal
from reco_stream.engine.table import Table
from tables import co_view, popularity
from tables.co_view import CO_VIEW, CoViewRow, Neighbour
from tables.popularity import POPULARITY, PopularityRow
from tables.rules import TableRules
from tables.top_items import NAMES, TopItems

TOP_LIST_S: Final = 1.0  # with a clock: a top list is computed at most so often
NEIGHBOURS_S: Final = 0.25  # with a clock: the neighbours of an item are merged at most so often
TOLERANCE_MS: Final = 60_000  # with a clock: window sums leave out what left the window since at most so long
TOP_LIST_DEPTH: Final = 1_000
NEIGHBOURS_KEPT: Final = 200_000  # in merged lists of all items, some 25 MB

Version = tuple[int, int]


class _Head(msgspec.Struct, array_like=True, gc=False):
    """The first fields of a popularity row."""

    weighted: float
    last_ms: int


_decode_head = msgspec.msgpack.Decoder(_Head).decode
_HIDDEN: Final = PREFIX.encode()


class _Record(NamedTuple):
    key: bytes
    value: bytes


class _Merged(msgspec.Struct, gc=False):
    """Neighbours of an item as of a time step, and whether a row has changed since."""

    step: int
    at_s: float
    stale: bool
    found: list[Neighbour]


class _TopList(msgspec.Struct, gc=False):
    """A top list: until when (clock) it may be given out again, and what it was computed from."""

    at_s: float
    now_ms: int
    changes: int
    depth: int
    found: list[tuple[str, float]]


class ItemModel:
    """Item rows of all partitions, kept by highest version and added up: order and repetition of updates do not matter.

    Without a `clock` (seconds, any zero) every answer is exact at its `now_ms`. With one, top lists are up to 1 s
    behind, neighbours up to 0.25 s, and sums may hold what left a window within the last minute.
    """

    def __init__(self, rules: TableRules | None = None, clock: Callable[[], float] | None = None) -> None:
        self._rules = rules or TableRules()
        self._clock = clock
        self._numbers = Numbers()
        self._names = self._numbers.names
        self._popularity = PopularityRows()
        self._co_view = CoViewRows(self._numbers)
        self._merged: dict[int, _Merged] = {}
        self._neighbours_kept = 0
        self._top = TopItems(self._popularity.rows, TOLERANCE_MS if clock else 0)
        self._lists: dict[str, _TopList] = {}
        self._changes = 0
        self.stream_time_ms = 0

    def __len__(self) -> int:
        """Number of items that have events."""
        return len(self._popularity)

    def update(
        self,
        table: Table[Any],
        partition: int,
        item: str,
        row: Any,
        version: Version,
        stream_time_ms: int,
    ) -> None:
        """Take the row of `item` in `partition`: decoded, or (cheaper) as published bytes, or None when it was removed.

        A version that is not above the one known changes nothing. Raises ValueError for a table other than POPULARITY
        and CO_VIEW, and for bytes that are no row of popularity.
        """
        if table.prefix not in (POPULARITY.prefix, CO_VIEW.prefix):
            raise ValueError(f"table is {table.name!r}; wanted: {POPULARITY.name!r} or {CO_VIEW.name!r}")
        data = b"" if row is None else row if isinstance(row, bytes) else table.encode(row)
        self.take(partition, [_Record(table.prefix + item.encode(), seal(Stamp(*version, stream_time_ms), data))])

    def take(self, partition: int, records: Sequence[Any]) -> None:
        """Take the published rows of `records` (with `key` and `value`, see agents/publication.py) of a partition.

        A canary has no popularity: so it is in no list of popular items. Raises ValueError for what is no such row.
        """
        stream_time_ms, *moved, paired = take_items(
            self._numbers, self._popularity, self._co_view, partition, records, _HIDDEN
        )
        self.stream_time_ms = max(self.stream_time_ms, stream_time_ms)
        self._top.fit(len(self._names))
        if moved[0]:
            numbers, last_ms = np.frombuffer(moved[0], np.int64), np.frombuffer(moved[2], np.int64)
            self._top.changed(numbers, np.frombuffer(moved[1], np.float64), last_ms)
            self._changes += len(numbers)
        for number in paired:
            merged = self._merged.get(number)
            if merged is not None:
                merged.stale = True

    def popularity(self, item: str) -> PopularityRow | None:
        """Return the item's popularity over all partitions; None for an item without events."""
        number = self._numbers.get(item)
        rows = [] if number is None else self._popularity.rows(number)
        return popularity.merge(dict(enumerate(map(POPULARITY.decode, rows)))) if rows else None

    def co_view(self, item: str) -> CoViewRow | None:
        """Return the item's pairs over all partitions; None for an item without any."""
        number = self._numbers.get(item)
        rows = [] if number is None else self._co_view.rows(number)
        return co_view.merge(dict(enumerate(map(CO_VIEW.decode, rows)))) if rows else None

    def touched(self, item: str) -> float:
        """Return the sum of the weights of all events on the item: cheap, and 0 for an item without events."""
        number = self._numbers.get(item)
        rows = [] if number is None else self._popularity.rows(number)
        return sum(_decode_head(row).weighted for row in rows)

    def last_ms(self, item: str) -> int | None:
        """Return the time of the newest event on the item; None for an item without events."""
        number = self._numbers.get(item)
        last_ms = -1 if number is None or number >= len(self._top) else self._top.last_ms(number)
        return None if last_ms < 0 else last_ms

    def neighbours(self, item: str, now_ms: int, limit: int) -> list[Neighbour]:
        """Return up to `limit` (at most `co_view_limit`) items seen in the same sessions, heaviest first, ties by item.

        Weights and the window are those of the last step of 1/4096 half-life before `now_ms` (2.5 min at 7 days).
        """
        number = self._numbers.get(item)
        if number is None:
            return []
        step_ms = max(self._rules.co_view_half_life_ms // STEPS_PER_HALF_LIFE, 1)
        step = now_ms // step_ms
        at_s = self._clock() if self._clock else 0.0
        merged = self._merged.get(number)
        if merged is not None and merged.step == step:
            recent = self._clock is not None and at_s - merged.at_s < NEIGHBOURS_S
            if recent or not merged.stale:
                return merged.found[:limit]
        found = self._merge_neighbours(item, step * step_ms)
        if not found and merged is None:
            return []
        self._keep(number, _Merged(step, at_s, False, found))
        return found[:limit]

    def _merge_neighbours(self, item: str, now_ms: int) -> list[Neighbour]:
        row = self.co_view(item)
        if row is None:
            return []
        rules = self._rules
        return co_view.neighbours(row, now_ms, rules.co_view_limit, rules.co_view_half_life_ms, rules.co_view_window_ms)

    def _keep(self, number: int, merged: _Merged) -> None:
        """Keeps a merged list; the ones merged longest ago go when there are too many neighbours in all of them."""
        old = self._merged.pop(number, None)
        self._neighbours_kept += len(merged.found) - (len(old.found) if old is not None else 0)
        self._merged[number] = merged
        while self._neighbours_kept > NEIGHBOURS_KEPT:
            self._neighbours_kept -= len(self._merged.pop(next(iter(self._merged))).found)

    def popular(
        self,
        window: str,
        now_ms: int,
        count: int,
        exclude: Set[str],
        accept: Callable[[str], bool] | None = None,
    ) -> list[tuple[str, float]]:
        """Return up to `count` (item, sum of weights above 0) of the window, highest first, ties by item.

        Leaves out the items of `exclude` and those that `accept` returns false for. Which of equal items comes last in
        a list of more than 1,000 is left open; below rank 4,096 sums are upper bounds. ValueError for another window.
        """
        if window not in NAMES:
            raise ValueError(f"window is {window!r}; wanted: one of {', '.join(NAMES)}")
        depth = count + len(exclude)
        while True:
            listed = self._listed(window, now_ms, depth)
            found = listed
            if exclude or accept is not None:
                found = [pair for pair in listed if pair[0] not in exclude and (accept is None or accept(pair[0]))]
            if len(found) >= count or len(listed) < depth:
                return found[:count]
            depth = 4 * max(depth, TOP_LIST_DEPTH)

    def popular_among(self, items: Iterable[str], window: str, now_ms: int, count: int) -> list[tuple[str, float]]:
        """Return up to `count` (item, sum of weights above 0) of `items` alone, highest first, ties by item.

        For items that are few among all: it takes a millisecond for 10,000 of them. ValueError for another window.
        """
        if window not in NAMES:
            raise ValueError(f"window is {window!r}; wanted: one of {', '.join(NAMES)}")
        numbers = np.array(self._numbers.known(items), np.int64)
        top = self._top.top_among(numbers[numbers < len(self._top)], window, now_ms, count)
        return sorted(((self._names[number], score) for number, score in top), key=lambda pair: (-pair[1], pair[0]))

    def _listed(self, window: str, now_ms: int, depth: int) -> list[tuple[str, float]]:
        """Returns the top list of the window with at least `depth` items, or all there are."""
        at_s = self._clock() if self._clock else 0.0
        known = self._lists.get(window)
        if known is not None and known.depth >= depth:
            recent = self._clock is not None and at_s - known.at_s < TOP_LIST_S
            if recent or (known.changes == self._changes and known.now_ms == now_ms):
                return known.found
        depth = max(depth, TOP_LIST_DEPTH)
        found = [(self._names[number], score) for number, score in self._top.top(window, now_ms, depth)]
        found.sort(key=lambda pair: (-pair[1], pair[0]))
        self._lists[window] = _TopList(at_s, now_ms, self._changes, depth, found)
        return found
