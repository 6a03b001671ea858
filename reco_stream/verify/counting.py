"""Counting without the rules: what the event contract says of popularity and duplicates, written a second time.

Slow and plain on purpose. An event counts for its item by type, in total, in its hour and in its day, by event time;
a negative one counts for nothing; the same id of the same user within 24 hours of event time counts once, for the
user's last 1,000 ids. It reads rows of `tables.popularity` but imports none of its rules.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from math import isclose
from typing import Final

from reco_stream.domain.buckets import unpack
from reco_stream.events import Event
from tables.popularity import PopularityRow

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 86_400_000
_KEPT_DAYS: Final = 30
_KEPT_IDS: Final = 1_000


class ItemCount:
    """Events and weights of one item: (type) and (type, hour) and (type, day) -> number, weight."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self.weight: defaultdict[str, float] = defaultdict(float)
        self.by_hour: Counter[tuple[str, int]] = Counter()
        self.by_day: Counter[tuple[str, int]] = Counter()

    def add(self, event: Event) -> None:
        self.total[event.type] += 1
        self.weight[event.type] += event.weight
        self.by_hour[event.type, event.time_ms // _HOUR_MS] += 1
        self.by_day[event.type, event.time_ms // _DAY_MS] += 1


class Counts:
    """Counts of one partition's events, in the order of the log."""

    def __init__(self) -> None:
        self.items: defaultdict[str, ItemCount] = defaultdict(ItemCount)
        self.duplicates = 0
        self._now_ms = 0
        self._ids: defaultdict[str, dict[str, int]] = defaultdict(dict)  # user -> id -> when it counted, oldest first

    def count(self, event: Event) -> None:
        """Takes one valid event in."""
        self._now_ms = max(self._now_ms, event.time_ms)
        if event.event_id is not None and self._is_duplicate(event.user, event.event_id):
            self.duplicates += 1
        elif not event.negative:
            self.items[event.item].add(event)

    def _is_duplicate(self, user: str, event_id: str) -> bool:
        ids = self._ids[user]
        while ids and self._now_ms - ids[oldest := next(iter(ids))] >= _DAY_MS:
            del ids[oldest]
        if event_id in ids:
            return True
        ids[event_id] = self._now_ms
        if len(ids) > _KEPT_IDS:
            del ids[next(iter(ids))]
        return False

    def problems(self, item: str, row: PopularityRow) -> Iterator[tuple[str, str]]:
        """Yields (found, wanted) of each figure in the row of `item` that was counted otherwise."""
        counted = self.items[item]
        total = {event_type: tally.count for event_type, tally in row.by_type.items()}
        if total != dict(counted.total):
            yield f"total {total}", f"total {dict(counted.total)}"
        weights = {event_type: tally.weight for event_type, tally in row.by_type.items()}
        for event_type, wanted in counted.weight.items():
            if not isclose(weights.get(event_type, 0.0), wanted, rel_tol=1e-9, abs_tol=1e-9):
                yield f"weight of {event_type} {weights.get(event_type)}", f"{wanted}"
        if not isclose(row.weighted, sum(counted.weight.values()), rel_tol=1e-9, abs_tol=1e-9):
            yield f"weight {row.weighted}", f"{sum(counted.weight.values())}"
        yield from _bucket_problems(counted, row, self._now_ms // _DAY_MS - _KEPT_DAYS)


def _bucket_problems(counted: ItemCount, row: PopularityRow, first_day: int) -> Iterator[tuple[str, str]]:
    """An hour's events lie together, in `hours` or in their day; a day from `first_day` on is complete."""
    types = list(row.by_type)
    hours: Counter[tuple[str, int]] = Counter({(name, row.hour): tally.count for name, tally in row.open.items()})
    for cell in unpack(row.hours):
        hours[types[cell.kind], cell.bucket] += cell.events
    for key, found in hours.items():
        if found != counted.by_hour[key]:
            yield f"{key[0]} in hour {key[1]}: {found}", f"{counted.by_hour[key]}"
    days: Counter[tuple[str, int]] = Counter()
    for cell in unpack(row.days):
        days[types[cell.kind], cell.bucket] += cell.events
    for (event_type, hour), events in hours.items():
        days[event_type, hour // 24] += events
    kept = {key for key in counted.by_day if key[1] >= first_day}
    for key in sorted(kept | days.keys()):
        # Of an older day the open hour may be left alone; it was compared above.
        if days[key] != counted.by_day[key] and not (key[1] < first_day and days[key] < counted.by_day[key]):
            yield f"{key[0]} on day {key[1]}: {days[key]}", f"{counted.by_day[key]}"
