"""A second hop: what the sessions near the first hop's best items hold, for contexts that few sessions share.

On sparse shops six in ten next items lie in a session that shares an item with the context; with the second hop three
in four do. It costs as much as the first, so it runs only where the first found few items.
"""

from __future__ import annotations

import numpy as np

from reco_stream.domain.neighbourhood import Floats, Ints
from reco_stream.domain.retrievers.base import best_places
from reco_stream.domain.retrievers.kernel import SESSION_KNN, Kernel, KernelRetriever
from reco_stream.domain.retrievers.session_based import SessionRetriever
from reco_stream.domain.scoring import Scorer
from reco_stream.domain.session_index import SessionIndex

_NO_NUMBERS: Ints = np.zeros(0, np.int64)
_NO_SCORES: Floats = np.zeros(0)


class Transitive(SessionRetriever):
    """Scores the sessions near the `seeds` best items of the session kNN, where that found fewer than `enough`."""

    name = "transitive"

    def __init__(
        self, index: SessionIndex, kernel: Kernel = SESSION_KNN, seeds: int = 8, enough: int = 200, limit: int = 300
    ) -> None:
        super().__init__(index, last_n=10, limit=limit)
        self.seeds = seeds
        self.enough = enough
        self._first = KernelRetriever(index, "session_knn", kernel)
        self._second = KernelRetriever(index, "second_hop", kernel, last_n=seeds, limit=limit, k=limit)

    @property
    def scorer(self) -> Scorer:
        """The compiled scorer of the second hop."""
        return self._second.scorer

    def hop(self, items: list[int], now_ms: int, numbers: Ints, scores: Floats) -> tuple[Ints, Floats]:
        """Return items and scores of the second hop, given those of the first; both empty where the first is enough."""
        if len(numbers) >= self.enough:
            return _NO_NUMBERS, _NO_SCORES
        best = numbers[best_places(scores, self.seeds + len(items))].tolist()
        seeds = [number for number in best if number not in items][: self.seeds]
        return self._second.score(seeds, now_ms) if seeds else (_NO_NUMBERS, _NO_SCORES)

    def score(self, items: list[int], now_ms: int) -> tuple[Ints, Floats]:
        """Return item numbers and their scores."""
        return self.hop(items, now_ms, *self._first.score(items, now_ms))
