"""Trending: popularity that decays, by forward decay, so that the order never changes while nothing happens."""

from __future__ import annotations

from collections.abc import Set

import numpy as np

from reco_stream.domain.context import Context
from reco_stream.domain.neighbourhood import Floats, Ints
from reco_stream.domain.retrievers.base import Candidate
from reco_stream.domain.session_index import SessionIndex

HALF_LIFE_MS = 86_400_000
DEPTH = 500  # items kept ready in order: the longest list that can be asked for, with room for excluded items
_DIGITS = 1e9  # weights are compared at nine digits, so that the order of additions cannot change a list


class Trending:
    """Events per item of the sessions that the index takes from now on, an event of `half_life_ms` ago counting half.

    `half_life_ms=None` switches the decay off: plain popularity.

    >>> index = SessionIndex()
    >>> trending = Trending(index, half_life_ms=1_000)
    >>> _ = index.put("s1", [("old", "view", 0), ("old", "view", 1), ("new", "view", 9_000)], 9_000)
    >>> [candidate.item for candidate in trending.recommend(Context((), now_ms=9_000), count=2)]
    ['new', 'old']
    """

    name = "trending"

    def __init__(self, index: SessionIndex, half_life_ms: int | None = HALF_LIFE_MS) -> None:
        if half_life_ms is not None and half_life_ms < 1:
            raise ValueError(f"trending: half_life_ms is {half_life_ms}, wanted 1 or more, or None for no decay")
        self.index = index
        self._counts = index.count(half_life_ms)
        self._ready: list[int] = []
        self._ready_at = -1  # changes of the index

    def weights(self, numbers: Ints) -> Floats:
        """Return the decayed counts of items; they compare with each other, at any time."""
        return np.maximum(self._counts()[numbers], 0.0)

    def leaders(self) -> list[int]:
        """Return the numbers of the leading items, highest first; equal ones by name."""
        if self._ready_at != self.index.changes:
            self._ready, self._ready_at = self._ranked(), self.index.changes
        return self._ready

    def _ranked(self) -> list[int]:
        weights = self._counts()
        depth = min(DEPTH, len(weights))
        if not depth:
            return []
        best = np.argpartition(weights, len(weights) - depth)[len(weights) - depth :]
        floor = weights[best].min()
        best = np.flatnonzero(weights >= floor * (1 - 1 / _DIGITS))
        top = float(weights[best].max()) or 1.0
        ranked = np.rint(weights[best] / top * _DIGITS)
        names = self.index.names
        pairs = sorted(zip((-ranked).tolist(), [names[n] for n in best.tolist()], best.tolist(), strict=True))
        return [number for weight, _, number in pairs[:DEPTH] if weight < 0]

    def recommend(self, context: Context, count: int, exclude: Set[str] = frozenset()) -> list[Candidate]:
        """Return at most `count` items by falling decayed count (as of the newest landmark)."""
        names = self.index.names
        counts = self._counts()
        chosen = [number for number in self.leaders() if names[number] not in exclude][:count]
        return [Candidate(names[number], float(counts[number])) for number in chosen]
