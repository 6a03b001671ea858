"""Plain counts behind the baselines: pairs of a session, sequential rules, popularity by hour."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence, Set
from heapq import nlargest
from typing import NamedTuple

from reco_stream.domain.context import Interaction

RULE_STEPS = 10
HOUR_MS = 3_600_000
WINDOW_HOURS = {"1h": 1, "24h": 24, "7d": 168, "30d": 720, "all": 1 << 40}
FRESH_MS = {"1h": 60_000, "24h": 600_000, "7d": HOUR_MS, "30d": HOUR_MS, "all": HOUR_MS}  # how long a list is kept


class CoViewed(NamedTuple):
    """An item viewed in one session with another, how often, and when last."""

    item: str
    weight: float
    last_ms: int


class Counts:
    """Pair counts (AR), rules weighted by 1/distance (SR) and events by hour, of all that has happened.

    >>> counts = Counts()
    >>> counts.add([Interaction("a", "view", 0), Interaction("b", "view", 1), Interaction("a", "view", 2)], start=0)
    >>> dict(counts.pairs["a"]), dict(counts.rules["a"])
    ({'b': 2}, {'b': 1.0, 'a': 0.5})
    """

    def __init__(self) -> None:
        self.pairs: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.rules: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.events: Counter[str] = Counter()
        self._hours: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._last_ms: dict[str, int] = {}
        self._popular: dict[str, tuple[int, list[tuple[str, float]]]] = {}

    def add(self, session: Sequence[Interaction], start: int) -> None:
        """Count the events of `session` from position `start` on; those before are counted already."""
        for position in range(start, len(session)):
            item, _, time_ms = session[position]
            self.events[item] += 1
            self._hours[time_ms // HOUR_MS][item] += 1
            self._last_ms[item] = max(time_ms, self._last_ms.get(item, time_ms))
            for distance, before in enumerate(reversed(session[max(0, position - 50) : position]), start=1):
                if before.item != item:
                    self.pairs[item][before.item] += 1
                    self.pairs[before.item][item] += 1
                if distance <= RULE_STEPS:
                    self.rules[before.item][item] += 1 / distance

    # -- what the blend ranker asks ---------------------------------------------------------------------------------

    def neighbours(self, item: str, now_ms: int, limit: int) -> list[CoViewed]:
        """Return the most frequent pairs of an item."""
        if item not in self.pairs:
            return []
        best = nlargest(limit, self.pairs[item].items(), key=lambda pair: (pair[1], pair[0]))
        return [CoViewed(other, float(count), self._last_ms[other]) for other, count in best]

    def popular(self, window: str, now_ms: int, count: int, exclude: Set[str]) -> list[tuple[str, float]]:
        """Return the most frequent items of a window of whole hours, as of at most an hour ago."""
        period = now_ms // FRESH_MS[window]
        held = self._popular.get(window)
        if held is None or held[0] != period:
            first = now_ms // HOUR_MS - WINDOW_HOURS[window]
            total: Counter[str] = Counter()
            for hour, events in self._hours.items():
                if hour >= first:
                    total.update(events)
            held = (period, [(item, float(events)) for item, events in total.most_common(2_000)])
            self._popular[window] = held
        found = held[1] if not exclude else [pair for pair in held[1] if pair[0] not in exclude]
        return found[:count]

    def last_ms(self, item: str) -> int | None:
        """Return the time of an item's newest event."""
        return self._last_ms.get(item)
