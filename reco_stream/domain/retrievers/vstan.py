"""STAN and VSTAN as published, on the streaming index.

With s the session of the context, pos_s(i) the 1-based position of i's last occurrence in it, n a neighbour session, i*
the last item of n that is in s, and i' the newest item of s that is in n:

    w(i)     = exp((pos_s(i) - |s|) / l_spw)
    sim(n)   = sum over i in both of w(i) / (sqrt(sum of w^2) * sqrt(|n|)) * exp(-(t_s - t_n) / l_snh)
    VSTAN    * exp((pos_s(i') - |s|) / l_ipw)
    score(i) = sum over the k most similar n that hold i of sim(n) * exp(-|pos_n(i) - pos_n(i*)| / l_inh)
    VSTAN    * (1 + l_idf * ln(N / n_i))

Here s is the list of distinct items, newest last (an item seen twice stands where it was seen last), and so is n's
position of an item its last. Defaults are those tuned for HR on RetailRocket by the authors of the comparison.

Sources: Garg et al., "Sequence and Time Aware Neighborhood for Session-based Recommendations" (SIGIR 2019); Ludewig,
Mauro, Latifi, Jannach, "Empirical Analysis of Session-Based Recommendation Algorithms" (UMUAI 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reco_stream.domain.neighbourhood import Floats, Ints, Neighbours, Workspace, strongest
from reco_stream.domain.retrievers.session_based import SessionRetriever
from reco_stream.domain.session_index import SessionIndex

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class VstanConstants:
    """The published constants; `match_decay` (l_ipw) and `idf_weight` (l_idf) are None and 0 in plain STAN."""

    k: int = 200
    sample: int = 5_000
    position_decay: float = 3.62  # l_spw
    age_days: float = 40.0  # l_snh
    distance_decay: float = 7.24  # l_inh
    match_decay: float | None = None  # l_ipw
    idf_weight: float = 0.0  # l_idf


STAN = VstanConstants()
VSTAN = VstanConstants(k=1_000, sample=2_500, age_days=100.0, distance_decay=0.4525, match_decay=3.62, idf_weight=1.0)


class Vstan(SessionRetriever):
    """STAN, or VSTAN when its constants say so."""

    name = "vstan"

    def __init__(
        self,
        index: SessionIndex,
        constants: VstanConstants = VSTAN,
        last_n: int = 50,
    ) -> None:
        super().__init__(index, last_n, constants.sample)
        self._workspace = Workspace(index)
        self.constants = constants

    def score(self, items: list[int], now_ms: int) -> tuple[Ints, Floats]:
        """Return item numbers and their scores."""
        neighbours = Neighbours.gather(self._workspace, items, now_ms, self.limit)
        if neighbours is None:
            return np.zeros(0, np.int64), np.zeros(0)
        constants = self.constants
        weight = np.exp(-np.arange(len(neighbours.items)) / constants.position_decay)
        similarity = neighbours.summed(weight) / np.sqrt(np.square(weight).sum() * neighbours.length)
        similarity *= np.exp(-neighbours.age_s / (constants.age_days * DAY_S))
        if constants.match_decay is not None:
            similarity *= np.exp(-neighbours.best / constants.match_decay)
        chosen = strongest(similarity, constants.k)
        if chosen is not None:
            similarity = similarity[chosen]
        events = neighbours.expand(chosen)
        nearness = np.exp(-np.abs(events.from_last_match()) / constants.distance_decay)
        scores = events.votes(similarity[events.session] * nearness * events.once())
        if constants.idf_weight > 0:
            support = self.index.support_of(events.candidates)
            scores *= 1.0 + constants.idf_weight * np.log(len(self.index) / support)
        return events.candidates, scores
