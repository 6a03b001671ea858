"""Plain counts behind the baselines: pairs of a session, sequential rules, popularity."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from reco_stream.evaluation.log import Logged

PAIR_REACH = 50  # events of a session that count as seen together with the next one
RULE_STEPS = 10
POPULAR_DEPTH = 2_000
POPULAR_EVERY = 1.01  # the list of popular items is at most 1 % of the events behind


class Counts:
    """Pair counts (AR), rules weighted by 1/distance (SR) and events by item, of all that has happened.

    >>> counts = Counts()
    >>> counts.add([Logged("s", "u", item, "view", 0) for item in "aba"], start=0)
    >>> dict(counts.pairs["a"]), dict(counts.rules["a"])
    ({'b': 2}, {'b': 1.0, 'a': 0.5})
    """

    def __init__(self) -> None:
        self.pairs: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.rules: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.events: Counter[str] = Counter()
        self.total = 0
        self._popular: tuple[int, list[str]] = (0, [])

    def add(self, session: Sequence[Logged], start: int) -> None:
        """Count the events of a session from position `start` on; those before are counted already."""
        for position in range(start, len(session)):
            item = session[position].item
            self.events[item] += 1
            self.total += 1
            for distance, before in enumerate(reversed(session[max(0, position - PAIR_REACH) : position]), start=1):
                if before.item != item:
                    self.pairs[item][before.item] += 1
                    self.pairs[before.item][item] += 1
                if distance <= RULE_STEPS:
                    self.rules[before.item][item] += 1 / distance

    def popular(self) -> list[str]:
        """Return the items with the most events, most first, at most 1 % of the events behind."""
        if self.total > POPULAR_EVERY * self._popular[0]:
            self._popular = (self.total, [item for item, _ in self.events.most_common(POPULAR_DEPTH)])
        return self._popular[1]
