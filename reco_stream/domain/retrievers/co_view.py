"""Co-view on its own: pairs of items counted over sessions, made comparable by row or by the log-likelihood ratio.

    score(x) = sum over the last n items i of the context of  1 / (1 + rank(i)) * strength(i, x)

k11 = sessions with both, k12 = with i alone, k21 = with x alone, k22 = with neither, of the sessions in the index:

    "row"   strength = k11 / (k11 + k12)
    "llr"   strength = LLR(k11, k12, k21, k22) for the 50 items x with the highest, 0 below, and 0 where the pair is
            rarer than chance

An item counts the newest m sessions that hold it, so for items with more than that the ratios are those of lately.

Sources: Dunning, "Accurate methods for the statistics of surprise and coincidence" (1993); Schelter, Boden, Markl,
"Scalable similarity-based neighborhood methods with MapReduce" (RecSys 2012) for selection by LLR.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from reco_stream.domain.neighbourhood import Floats, Ints, Neighbours, Workspace, summed
from reco_stream.domain.retrievers.session_based import SessionRetriever
from reco_stream.domain.session_index import SessionIndex

Normalise = Literal["row", "llr"]
CORRELATED = 50  # items that an item keeps by LLR


def llr(k11: Floats, k12: Floats, k21: Floats, k22: Floats) -> Floats:
    """Return the log-likelihood ratio of 2 x 2 tables, 0 or more; near 4 a pair is surprising at the 5 % level.

    >>> llr(*(np.array([value], float) for value in (10, 0, 0, 10_000))).round(3).tolist()
    [158.165]
    """
    matrix = _terms(k11, k12, k21, k22)
    rows, columns = _terms(k11 + k12, k21 + k22), _terms(k11 + k21, k12 + k22)
    whole = _terms(k11 + k12 + k21 + k22)
    found: Floats = np.maximum(2.0 * (matrix - rows - columns + whole), 0.0)
    return found


def _terms(*counts: Floats) -> Floats:
    """Return the sum of x ln x."""
    total = np.zeros(len(counts[0]))
    for count in counts:
        total += count * np.log(np.maximum(count, 1.0))
    return total


class CoView(SessionRetriever):
    """Proposes what is in the sessions of the last `last_n` items, however long ago and in whatever order."""

    name = "co_view"

    def __init__(
        self, index: SessionIndex, normalise: Normalise = "row", last_n: int = 10, correlated: int = CORRELATED
    ) -> None:
        if normalise not in ("row", "llr"):
            raise ValueError(f"co_view: normalise is {normalise!r}, wanted 'row' or 'llr'")
        super().__init__(index, last_n, limit=index.sessions_per_item)
        self.normalise = normalise
        self.correlated = correlated
        self._workspace = Workspace(index)

    def score(self, items: list[int], now_ms: int) -> tuple[Ints, Floats]:
        """Return item numbers and their scores."""
        numbers, scores = [np.zeros(0, np.int64)], [np.zeros(0)]
        for rank, item in enumerate(items):
            found, strength = self._strengths(item, now_ms)
            numbers.append(found)
            scores.append(strength / (1 + rank))
        # By name in the order of the sessions, newest last, as everywhere: ties go to the item seen last.
        every, weight = np.concatenate(numbers[::-1]), np.concatenate(scores[::-1])
        self._workspace.fit()
        tag = self._workspace.by_number
        tag[every] = np.arange(len(every))
        places = tag[every]
        total: Floats = summed(places, weight, len(every))
        kept = np.flatnonzero(total > 0)
        return every[kept], total[kept]

    def _strengths(self, item: int, now_ms: int) -> tuple[Ints, Floats]:
        """Return the items seen in sessions with `item`, and how strongly they belong to it."""
        neighbours = Neighbours.gather(self._workspace, [item], now_ms, self.limit)
        if neighbours is None:
            return np.zeros(0, np.int64), np.zeros(0)
        events = neighbours.expand()
        both = events.votes(events.once().astype(np.float64))
        numbers = events.candidates
        if self.normalise == "row":
            return numbers, both / len(neighbours.slots)
        others = numbers != item
        numbers, both = numbers[others], both[others]
        alone = len(neighbours.slots) - both
        reverse = np.maximum(self.index.support_of(numbers) - both, 0.0)
        neither = np.maximum(len(self.index) - both - alone - reverse, 0.0)
        strength = llr(both, alone, reverse, neither)
        strength[both * neither <= alone * reverse] = 0.0
        if len(strength) > self.correlated:
            best = np.sort(np.argsort(strength, kind="stable")[-self.correlated :])  # of equals the one seen last
            numbers, strength = numbers[best], strength[best]
        return numbers, strength
