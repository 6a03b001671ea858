"""Trending: popularity that decays, by forward decay, so that the order never changes while nothing happens."""

from __future__ import annotations

from collections.abc import Iterable, Set

import numpy as np

from reco_stream.domain.context import Context
from reco_stream.domain.decay import growth, landmark_of, moved
from reco_stream.domain.neighbourhood import Floats, Ints
from reco_stream.domain.retrievers.base import Candidate
from reco_stream.domain.session_index import Change, SessionIndex

HALF_LIFE_MS = 86_400_000
DEPTH = 500  # items kept ready in order: the longest list that can be asked for, with room for excluded items
_DIGITS = 1e9  # weights are compared at nine digits, so that the order of additions cannot change a list


class Trending:
    """Events per item of the sessions in the index, an event of `half_life_ms` ago counting half.

    `half_life_ms=None` switches the decay off: plain popularity.

    >>> index = SessionIndex()
    >>> trending = Trending(index, half_life_ms=1_000)
    >>> trending.apply(index.put("s1", [("old", "view", 0), ("old", "view", 1), ("new", "view", 9_000)], 9_000))
    >>> [candidate.item for candidate in trending.recommend(Context((), now_ms=9_000), count=2)]
    ['new', 'old']
    """

    name = "trending"

    def __init__(self, index: SessionIndex, half_life_ms: int | None = HALF_LIFE_MS) -> None:
        if half_life_ms is not None and half_life_ms < 1:
            raise ValueError(f"trending: half_life_ms is {half_life_ms}, wanted 1 or more, or None for no decay")
        self.index = index
        self._half_life_ms = half_life_ms
        self._landmark = 0
        self._weights: Floats = np.zeros(1024)
        self._ready: list[int] | None = None

    def apply(self, change: Change) -> None:
        """Count what a put or remove of a session changed."""
        if change.added:
            self._add(change.added, 1.0)
        if change.removed:
            self._add(change.removed, -1.0)
        self._ready = None

    def weights(self, numbers: Ints) -> Floats:
        """Return the decayed counts of items; they compare with each other, at any time."""
        self._fit()
        return np.maximum(self._weights[numbers], 0.0)

    def leaders(self) -> list[int]:
        """Return the numbers of the leading items, highest first; equal ones by name."""
        if self._ready is None:
            self._fit()
            weights = self._weights[: len(self.index.names)]
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
            self._ready = [number for weight, _, number in pairs[:DEPTH] if weight < 0]
        return self._ready

    def recommend(self, context: Context, count: int, exclude: Set[str] = frozenset()) -> list[Candidate]:
        """Return at most `count` items by falling decayed count (as of the newest landmark)."""
        names = self.index.names
        chosen = [number for number in self.leaders() if names[number] not in exclude][:count]
        return [Candidate(names[number], float(self._weights[number])) for number in chosen]

    def _fit(self) -> None:
        if len(self._weights) < len(self.index.names):
            grown = np.zeros(2 * len(self.index.names))
            grown[: len(self._weights)] = self._weights
            self._weights = grown

    def _add(self, events: Iterable[tuple[int, int]], sign: float) -> None:
        for number, time_ms in events:
            if number >= len(self._weights):
                self._fit()
            weight = sign
            if self._half_life_ms is not None:
                landmark = landmark_of(time_ms, self._half_life_ms)
                if landmark > self._landmark:
                    self._move(landmark)
                weight *= growth(time_ms, self._landmark, self._half_life_ms)
            value = self._weights[number] + weight
            gone = sign < 0 and (value <= 0 or not self.index.support(number))
            self._weights[number] = 0.0 if gone else value

    def _move(self, landmark: int) -> None:
        self._weights *= moved(1.0, self._landmark, landmark)
        self._landmark = landmark
