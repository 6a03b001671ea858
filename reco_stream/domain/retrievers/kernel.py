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

import numpy as np

from reco_stream.domain.neighbourhood import Events, Floats, Ints, Neighbours, Workspace, strongest, summed
from reco_stream.domain.retrievers.session_based import SessionRetriever
from reco_stream.domain.session_index import SessionIndex


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


class KernelBank:
    """Several kernels evaluated together: one row a kernel in everything that it returns.

    Four kernels at once cost about as much as one and a half, because most of a small numpy call is the call.
    """

    def __init__(self, kernels: Sequence[Kernel], last_n: int, reach: int) -> None:
        """`last_n`: most items of a context; `reach`: longest distance between two events of a session."""
        self._reach = reach
        self._nearness = np.array([[kernel.nearness(step) for step in range(-reach, reach + 1)] for kernel in kernels])
        self._rank_weight = np.array([np.exp(-np.arange(last_n) / kernel.rank_decay) for kernel in kernels])
        self._support_power = np.array([[kernel.support_power] for kernel in kernels])
        self._exponents = -np.array(
            [[kernel.age_power, kernel.length_power, 1.0 / kernel.match_decay] for kernel in kernels]
        )

    def similarity(self, neighbours: Neighbours) -> Floats:
        """Return sim(n) of each kernel (row) for each neighbour session (column)."""
        weight = self._rank_weight[:, : len(neighbours.items)] * neighbours.support() ** -self._support_power
        decays = np.stack([np.log1p(neighbours.age_s / 3_600.0), np.log(neighbours.length), neighbours.best])
        similarity: Floats = weight @ neighbours.shares()
        similarity *= np.exp(self._exponents @ decays)
        return similarity

    def votes(self, events: Events, similarity: Floats, distance: Ints) -> Floats:
        """Return score(x) of each kernel (row) for each candidate (column), given sim(n) of the chosen sessions."""
        rows, size = len(similarity), len(events.candidates)
        weight = similarity[:, events.session] * self._nearness[:, distance + self._reach]
        places = events.candidate + np.arange(0, rows * size, size)[:, None] if rows > 1 else events.candidate
        return summed(places.ravel(), weight.ravel(), rows * size).reshape(rows, size)


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
        workspace: Workspace | None = None,
    ) -> None:
        self.name = name
        super().__init__(index, last_n, limit, workspace)
        self.kernel = kernel
        self.k = k
        self._bank = KernelBank([kernel], last_n, index.events_per_session)

    def score(self, neighbours: Neighbours) -> tuple[Ints, Floats]:
        """Return item numbers and their scores."""
        similarity = self._bank.similarity(neighbours)
        chosen = strongest(similarity[0], self.k, neighbours.length)
        if chosen is not None:
            similarity = similarity[:, chosen]
        events = neighbours.expand(chosen)
        return events.candidates, self._bank.votes(events, similarity, events.from_newest_match())[0]
