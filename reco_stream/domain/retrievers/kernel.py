"""One kernel for session kNN, sequential rules and co-view: who votes, and for what.

    sim(n)   = sum over items i of the context that n holds of  exp(-rank(i) / rank_decay) * support(i)^-support_power
               * exp(-rank(i') / match_decay) * (1 + age_n / 1 hour)^-age_power * |n|^-length_power
    score(x) = sum over n, over events on x in n, of  sim(n) * nearness(distance of the event from n's last event on i')

rank 0 is the newest item of the context, i' the newest item of the context that n holds, and
nearness(d) = 1 / (1 + |d| / distance_scale), times `backward` for events before the match.

What differs from VSTAN, and why: items that few sessions hold say more (support_power), a power of the age fits
minutes of news and months of shopping with the same constants, and events after the match may weigh more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reco_stream.domain.neighbourhood import Floats, Ints
from reco_stream.domain.retrievers.session_based import SessionRetriever
from reco_stream.domain.scoring import Scorer
from reco_stream.domain.session_index import SessionIndex

MAX_EVENTS = 8_000  # events that vote in a query: bounds the time of a query on sessions of 50 events
_POWERS = ("support_power", "age_power", "length_power")


@dataclass(frozen=True, slots=True)
class Kernel:
    """Constants of the formula above; infinity switches a decay off."""

    rank_decay: float = 3.6
    support_power: float = 0.5
    match_decay: float = 3.6
    age_power: float = 0.25
    length_power: float = 0.25
    distance_scale: float = 1.0
    backward: float = 1.0

    def nearness(self, distance: int) -> float:
        """Return the weight of an event `distance` events after the match (negative: before it)."""
        return (1.0 if distance >= 0 else self.backward) / (1.0 + abs(distance) / self.distance_scale)


SESSION_KNN = Kernel()
SEQUENCE = Kernel(rank_decay=8.0, support_power=0.0, match_decay=2.0, age_power=0.4, backward=0.3)
RULES = Kernel(rank_decay=1.0, support_power=0.0, match_decay=1.0, length_power=0.0, backward=0.0)
CO_VIEW = Kernel(support_power=0.0, age_power=0.0, length_power=0.0, distance_scale=math.inf)


class Evidence(NamedTuple):
    """The sessions behind a candidate: rank of the anchor in the context (-1: none), how many sessions, in how many of
    them the candidate came after the anchor, and how old the oldest is.

    The anchor is the newest shared item of most of the sessions that hold the candidate, the newer among equals.
    """

    anchor: int
    sessions: int
    after: int
    age_s: float


class KernelBank:
    """Several kernels evaluated together: one row a kernel in everything that it returns. `scorer` is compiled."""

    def __init__(self, index: SessionIndex, kernels: Sequence[Kernel], last_n: int) -> None:
        """`last_n`: most items of a context; at most four kernels."""
        self._index = index
        reach = index.events_per_session
        ranks = np.arange(last_n)
        self.scorer = Scorer(
            np.array([np.exp(-ranks / kernel.rank_decay) for kernel in kernels]),
            np.array([np.exp(-ranks / kernel.match_decay) for kernel in kernels]),
            np.array([[kernel.nearness(step) for step in range(-reach, reach + 1)] for kernel in kernels]),
            np.array([[getattr(kernel, name) for kernel in kernels] for name in _POWERS]),
        )
        self._kernels = len(kernels)

    def score(self, items: list[int], now_ms: int, limit: int, k: int) -> tuple[Ints, Floats]:
        """Return candidates, those of the newest session last, and score(x) of each kernel (row).

        `items`: numbers, newest first. Of the newest `limit` sessions that hold any of them, the `k` nearest by
        the first kernel vote; fewer when together they hold more than `MAX_EVENTS` events.
        """
        index = self._index
        numbers, votes = self.scorer.score(
            *index.arrays(),
            index.support_of(np.array(items, np.int64)),
            items,
            now_ms,
            limit,
            index.sessions_per_item,
            k,
            MAX_EVENTS,
        )
        candidates = np.frombuffer(numbers, np.int64)
        return candidates, np.frombuffer(votes, np.float64).reshape(self._kernels, len(candidates))

    def evidence(self, candidates: list[int]) -> list[Evidence]:
        """Return the evidence of candidates of the last `score`; the index must not have changed since."""
        return [Evidence(*found) for found in self.scorer.evidence(*self._index.arrays(), candidates)]


class KernelRetriever(SessionRetriever):
    """Scores the sessions near the context by a `Kernel`."""

    def __init__(
        self,
        index: SessionIndex,
        name: str,
        kernel: Kernel,
        last_n: int = 10,
        limit: int = 1_000,
        k: int = 500,
    ) -> None:
        self.name = name
        super().__init__(index, last_n, limit)
        self.kernel = kernel
        self.k = k
        self._bank = KernelBank(index, [kernel], last_n)

    @property
    def scorer(self) -> Scorer:
        """The compiled scorer."""
        return self._bank.scorer

    def score(self, items: list[int], now_ms: int) -> tuple[Ints, Floats]:
        """Return item numbers and their scores."""
        numbers, votes = self._bank.score(items, now_ms, self.limit, self.k)
        return numbers, votes[0]
