"""The most popular items of each window, without adding up every item for each question.

An upper bound of each item's sum in each window is kept: new events raise it, time only lowers the true sum. A question
evaluates the items with the highest bounds, which lowers their bounds to the truth, until the best ones are all
evaluated. Items that nobody touched since the window began are left out by their last event.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from reco_stream.domain.buckets import DAY_MS, HOUR_MS, HOURS_PER_DAY, CellWeights
from tables.popularity import WINDOWS_MS, Tally

ALL: Final = "all"
NAMES: Final = (*WINDOWS_MS, ALL)
EVALUATED_AT_ONCE: Final = 4096  # items a question may evaluate: 12 partitions of them take some 50 ms
_SLACK: Final = 1e-9  # of a gain: sums of floats may come out a little lower than their terms say
_CLOCK_STEP_MS: Final = 60_000  # now may go back so far before it is taken for a clock that was set


class _Row(msgspec.Struct, array_like=True, gc=False):
    """A popularity row as encoded, without what sums of weights do not need."""

    weighted: float
    last_ms: int
    score: msgspec.Raw
    landmark: msgspec.Raw
    sessions: msgspec.Raw
    by_type: msgspec.Raw
    hour: int
    open: dict[str, Tally]
    hours: bytes
    days: bytes


_decode = msgspec.msgpack.Decoder(_Row).decode


class TopItems:
    """Bounds and top lists of items that are known by consecutive numbers.

    `rows_of` gives an item's encoded popularity rows in a fixed order. Answers are right at the time of the question;
    with `tolerance_ms` they may be that old, with all gains since then added. Takes 52 bytes an item.
    """

    def __init__(self, rows_of: Callable[[int], Sequence[bytes]], tolerance_ms: int = 0) -> None:
        self._rows_of = rows_of
        self._tolerance_ms = tolerance_ms
        self._len = 0
        self._now_ms = 0
        self._last_ms = np.zeros(0, np.int64)
        self._bounds = np.zeros((len(NAMES), 0))
        self._evaluated_s = np.zeros(0, np.uint32)
        self._floors = dict.fromkeys(NAMES, 0.0)  # the last sum of the list before, a little lowered

    def __len__(self) -> int:
        return self._len

    def fit(self, count: int) -> None:
        """Make room for the first `count` items."""
        if count > len(self._last_ms):
            more = max(1024, count - len(self._last_ms) + count // 8)
            self._last_ms = np.append(self._last_ms, np.full(more, -1))
            self._bounds = np.append(self._bounds, np.zeros((len(NAMES), more)), axis=1)
            self._evaluated_s = np.append(self._evaluated_s, np.zeros(more, np.uint32))
        self._len = max(self._len, count)

    def last_ms(self, number: int) -> int:
        """Return the time of the newest event on the item, -1 when it has none."""
        return int(self._last_ms[number])

    def changed(self, numbers: NDArray[np.int64], gains: NDArray[np.float64], last_ms: NDArray[np.int64]) -> None:
        """Note that the rows of each of these items sum to its gain more than before, and their newest event.

        A gain below 0 asks for a new evaluation. An item may be there twice, in the order of its changes.
        """
        self._last_ms[numbers] = last_ms
        raised = gains >= 0.0
        by = gains[raised] * (1.0 + _SLACK)
        for bounds in self._bounds:
            np.add.at(bounds, numbers[raised], by)
        self._evaluated_s[numbers[~raised]] = 0

    def top(self, window: str, now_ms: int, count: int) -> list[tuple[int, float]]:
        """Return up to `count` (number, sum of weights above 0), highest first; equal sums in any order.

        When more than `EVALUATED_AT_ONCE` items would have to be evaluated, the rest come behind the evaluated ones, by
        their bounds, and are left to the next questions.
        """
        self._set_now(now_ms)
        bounds = self._bounds_of(window)
        floor = self._floors[window]
        sure, rest = self._best(bounds, np.flatnonzero(bounds > floor), count, floor)
        if len(sure) + len(rest) < count and floor > 0.0:
            sure, rest = self._best(bounds, np.flatnonzero(bounds > 0.0), count, 0.0)
        self._floors[window] = 0.9 * float(bounds[sure[-1]]) if 0 < len(sure) == count else 0.0
        return _listed(bounds, sure, rest)

    def top_among(self, numbers: NDArray[np.int64], window: str, now_ms: int, count: int) -> list[tuple[int, float]]:
        """Return `top` of these items alone; takes time for their number, whatever else there is."""
        self._set_now(now_ms)
        bounds = self._bounds_of(window)
        return _listed(bounds, *self._best(bounds, numbers[bounds[numbers] > 0.0], count, 0.0))

    def _bounds_of(self, window: str) -> NDArray[np.float64]:
        """Returns the bounds of the window, 0 for items that nobody touched since it began."""
        bounds = self._bounds[NAMES.index(window), : self._len]
        if window != ALL:
            length_ms = WINDOWS_MS[window]
            bucket_ms = HOUR_MS if length_ms <= DAY_MS else DAY_MS
            bounds[self._last_ms[: self._len] < self._now_ms - length_ms - bucket_ms] = 0.0
        return bounds

    def _set_now(self, now_ms: int) -> None:
        if now_ms < self._now_ms - _CLOCK_STEP_MS:
            # A bound holds from the time of its evaluation on; the one that always holds is the sum of everything.
            self._bounds[:] = self._bounds[NAMES.index(ALL)]
            self._evaluated_s[:] = 0
            self._floors = dict.fromkeys(NAMES, 0.0)
            self._now_ms = now_ms
        self._now_ms = max(self._now_ms, now_ms)

    def _best(
        self, bounds: NDArray[np.float64], numbers: NDArray[np.int64], count: int, floor: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the best `count` of `numbers` above `floor`: evaluated ones, then those there was no time for."""
        fresh_s = (self._now_ms - self._tolerance_ms) // 1000
        done = self._evaluated_s[: self._len] >= fresh_s if self._tolerance_ms else np.zeros(self._len, np.bool_)
        budget = EVALUATED_AT_ONCE
        best = _highest(numbers, bounds, count)
        while budget and not done[best].all():
            chosen = best[~done[best]][:budget]
            budget -= len(chosen)
            self._evaluate(chosen)
            done[chosen] = True
            best = _highest(numbers, bounds, count)
        sure = best if done[best].all() else _highest(numbers[done[numbers]], bounds, count)
        sure = sure[bounds[sure] > floor]
        rest = numbers[~done[numbers]] if len(sure) < count else numbers[:0]
        return sure, _highest(rest, bounds, count - len(sure))

    def _evaluate(self, numbers: NDArray[np.int64]) -> None:
        """Brings the bounds of the items down to their sums, rounded to 1e-6 so that equal sums are equal."""
        rows_of_items = [self._rows_of(int(number)) for number in numbers]
        rows = [_decode(row) for rows in rows_of_items for row in rows]
        owners = np.repeat(np.arange(len(numbers)), [len(rows) for rows in rows_of_items])
        for at, sums in enumerate(_sums(rows, self._now_ms)):
            self._bounds[at, numbers] = np.bincount(owners, weights=sums, minlength=len(numbers)).round(6)
        self._evaluated_s[numbers] = max(self._now_ms, 0) // 1000


def _sums(rows: Sequence[_Row], now_ms: int) -> Iterator[NDArray[np.float64]]:
    """Yields for each of `NAMES` what `popularity.window` calls `weighted`, of many rows at once."""
    hours, days = CellWeights([row.hours for row in rows]), CellWeights([row.days for row in rows])
    open_hours = np.array([row.hour for row in rows], np.int64)
    opened = np.array([sum(tally.weight for tally in row.open.values()) for row in rows])
    for length_ms in WINDOWS_MS.values():
        from_ms = now_ms - length_ms
        if length_ms <= DAY_MS:
            yield hours.since(from_ms, HOUR_MS) + opened * _shares(open_hours, HOUR_MS, from_ms)
        else:
            packed = hours.since(from_ms, DAY_MS, HOURS_PER_DAY) + days.since(from_ms, DAY_MS)
            yield packed + opened * _shares(open_hours // HOURS_PER_DAY, DAY_MS, from_ms)
    yield np.array([row.weighted for row in rows])


def _shares(buckets: NDArray[np.int64], bucket_ms: int, from_ms: int) -> NDArray[np.float64]:
    return np.clip(((buckets + 1) * bucket_ms - from_ms) / bucket_ms, 0.0, 1.0)


def _listed(bounds: NDArray[np.float64], sure: NDArray[np.int64], rest: NDArray[np.int64]) -> list[tuple[int, float]]:
    """Returns evaluated items with their sums, and the rest behind them."""
    least = float(bounds[sure[-1]]) if len(sure) else 0.0
    found = [(int(number), float(bounds[number])) for number in sure]
    return found + [(int(number), min(float(bounds[number]), least)) for number in rest]


def _highest(numbers: NDArray[np.int64], bounds: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Returns up to `count` of `numbers`, highest bound first."""
    if len(numbers) > count:
        numbers = numbers[np.argpartition(-bounds[numbers], max(count - 1, 0))[:count]]
    return numbers[np.argsort(-bounds[numbers], kind="stable")]
