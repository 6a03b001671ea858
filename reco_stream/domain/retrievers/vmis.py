"""VMIS-kNN as Serenade publishes it, on the streaming index.

With e the last L distinct items, newest first at position 0, and t(s) the time of session s:

    r(s)     = sum over items of e at position p that s holds of (|e| - p) / |e|
    N        = the k sessions of highest r among the m newest that share an item with e (ties: the newer)
    q(s)     = 1-based position of the newest item of e that s holds;  lambda(q) = max(0, 1 - 0.1 q)
    score(i) = sum over s in N that hold i of lambda(q(s)) * r(s) * idf(i),  idf(i) = w_idf * ln(N / n_i)

One difference: the published lambda turns negative for q > 10, here it stops at 0. n_i counts sessions in the index, so
at most m, and N all of them.

Source: Kersbergen, Sprangers, Schelter, "Serenade: Low-Latency Session-Based Recommendation in e-Commerce at Scale"
(SIGMOD 2022), and the published defaults m = 500, k = 500, L = 2, idf weight 1.
"""

from __future__ import annotations

import numpy as np

from reco_stream.domain.neighbourhood import Floats, Ints, Neighbours, Workspace, strongest
from reco_stream.domain.retrievers.session_based import SessionRetriever
from reco_stream.domain.session_index import SessionIndex


class VmisKnn(SessionRetriever):
    """VMIS-kNN; `sample` is the paper's m (sessions looked at), `k` the neighbours kept, `last_n` its L."""

    name = "vmis_knn"

    def __init__(
        self,
        index: SessionIndex,
        sample: int = 500,
        k: int = 500,
        last_n: int = 2,
        idf_weight: float = 1.0,
    ) -> None:
        super().__init__(index, last_n, sample)
        self._workspace = Workspace(index)
        self.k = k
        self.idf_weight = idf_weight

    def score(self, items: list[int], now_ms: int) -> tuple[Ints, Floats]:
        """Return item numbers and their scores."""
        neighbours = Neighbours.gather(self._workspace, items, now_ms, self.limit)
        if neighbours is None:
            return np.zeros(0, np.int64), np.zeros(0)
        size = len(neighbours.items)
        similarity = neighbours.summed((size - np.arange(size)) / size)
        chosen = strongest(similarity, self.k)
        if chosen is not None:
            similarity = similarity[chosen]
        events = neighbours.expand(chosen)
        weight = similarity * np.maximum(0.0, 1.0 - 0.1 * (events.best + 1))
        scores = events.votes(weight[events.session] * events.once())
        if self.idf_weight > 0:
            support = self.index.support_of(events.candidates)
            scores *= self.idf_weight * np.log(len(self.index) / support)
        return events.candidates, scores
