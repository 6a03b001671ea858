"""Learning the fusion weights on the stream, in decayed statistics that add up over partitions.

Each sampled event first asks for the slate as it was just before, then compares it with what came. With the features F
of the candidates, p = P(next) under the weights w in force, and t the item that came, the log-likelihood has

    gradient g = F_t - F p        curvature H = F diag(p) F' - (F p)(F p)'

and its quadratic model around w is a Gaussian of precision H and information H w + g. Both are summed with a decay per
sample, and w = (prior + sum H)^-1 (prior + sum (H w + g)): an online Newton method whose whole memory is two arrays
that add over partitions, like the counts of everything else here.

What tells is not the same after one item as after ten, so there are sums by length of the context (1, 2 to 3, 4 or more
distinct items), and w_l = (20 + sum_l H)^-1 (20 w + sum_l (H w_l + g)): a length starts from the weights of all.

Beside the weights, each arm (the fusion, and each source alone) keeps a decayed reciprocal rank and hit rate. A source
alone takes over only while its lead over the fusion, measured on the same samples, is significant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from reco_stream.domain.fusion import SCENARIOS, SOURCES, Slate, features, probabilities, ranks, weights_of
from reco_stream.domain.neighbourhood import Floats

HALF_LIFE_SAMPLES = 20_000
PRIOR_PRECISION = 20.0  # the prior is worth about as much as the first hundred samples
DEPTH = 20  # a hit is a rank of at most this
TAKE_OVER_Z = 2.5  # a source alone must lead by 2.5 standard errors
TAKE_OVER_SAMPLES = 200
LENGTHS = ("1", "2-3", "4+")  # distinct items of the context
LONGEST = 4
ALL = -1  # weights over all lengths

# Weights before anything is learned: set by hand, near what fits on validation parts of shops, news and films gave.
PRIOR: Mapping[str, Mapping[str, float]] = {
    "unseen": {"session_knn": 0.8, "sequence": 0.3, "rules": 0.1, "co_view": -0.4, "transitive": 0.15, "history": 0.0},
    "repeats": {
        "session_knn": 1.1,
        "sequence": 0.0,
        "rules": 0.15,
        "co_view": -0.4,
        "transitive": 0.15,
        "history": 0.0,
    },
}


def length_class(items: int) -> int:
    """Return the place in `LENGTHS` of a context of so many distinct items.

    >>> [LENGTHS[length_class(items)] for items in (0, 1, 2, 3, 4, 50)]
    ['1', '1', '2-3', '2-3', '4+', '4+']
    """
    return 0 if items <= 1 else 1 if items < LONGEST else 2


@dataclass(slots=True)
class ArmScore:
    """Decayed figures of one arm: mean reciprocal rank and hit rate at 20."""

    mrr: float
    hit_rate: float


class ScenarioLearner:
    """Decayed statistics of one scenario, and the weights that follow from them.

    Deterministic: equal samples in equal order give equal weights.
    """

    def __init__(
        self, scenario: str, prior: Mapping[str, float] | None = None, half_life_samples: int = HALF_LIFE_SAMPLES
    ) -> None:
        self.scenario = scenario
        self.names = SCENARIOS[scenario]
        self._prior = weights_of(scenario, PRIOR[scenario] if prior is None else prior)
        self._keep = 0.5 ** (1.0 / half_life_samples)
        size = len(self.names)
        self.precision: Floats = np.zeros((len(LENGTHS), size, size))
        self.information: Floats = np.zeros((len(LENGTHS), size))
        self.samples = 0.0
        arms = 1 + len(SOURCES)
        self.reciprocal: Floats = np.zeros(arms)
        self.hits: Floats = np.zeros(arms)
        self.lead: Floats = np.zeros((2, arms))  # sums of the lead over the fusion, and of its square
        self._learned: Floats = np.tile(self._prior, (len(LENGTHS) + 1, 1))  # one row a length, the last of all
        self._in_force: Floats | None = None  # of the statistics as they are: every question asks for it

    def learned(self, length: int = ALL) -> Floats:
        """Return the learned weights, whatever arm is in force; `length`: a place in `LENGTHS`."""
        return cast(Floats, self._learned[length])

    def weights(self, length: int = ALL) -> Floats:
        """Return the weights in force: the learned ones, or 1 for a source that is significantly better alone."""
        if self._in_force is None:
            arm = self.winner()
            alone = np.eye(len(self.names))[arm - 1]
            self._in_force = self._learned if arm == 0 else np.tile(alone, (len(LENGTHS) + 1, 1))
        return cast(Floats, self._in_force[length])

    def winner(self) -> int:
        """Return the arm in force: 0 for the fusion, 1 + i for source i alone."""
        if self.samples < TAKE_OVER_SAMPLES:
            return 0
        mean = self.lead[0] / self.samples
        variance = np.maximum(self.lead[1] / self.samples - mean**2, 1e-12)
        z = mean / np.sqrt(variance / self.samples)
        best = int(np.argmax(z))
        return best if z[best] > TAKE_OVER_Z else 0

    def learn(self, slate: Slate, target: int, length: int = 0) -> None:
        """Learn from one event: `target` is the number of the item that came, -1 for an unknown one.

        `length`: place of the context's length in `LENGTHS`.

        A slate without the target counts as a miss of every arm and teaches nothing else.
        """
        found = np.flatnonzero(slate.numbers == target)
        keep = self._keep
        self._in_force = None
        self.samples = self.samples * keep + 1.0
        for sums in (self.reciprocal, self.hits, self.lead, self.precision, self.information):
            sums *= keep
        if len(found):
            self._learn_from(features(slate, self.scenario), slate.scores, int(found[0]), length)

    def _learn_from(self, rows: Floats, scores: Floats, target: int, length: int) -> None:
        weights = self._learned[length]
        chances = probabilities(rows, weights)
        mean: Floats = rows @ chances
        curvature = (rows * chances) @ rows.T - np.outer(mean, mean)
        self._score_arms(chances, scores, target)
        self.precision[length] += curvature
        self.information[length] += curvature @ weights + rows[:, target] - mean
        self._solve()

    def _score_arms(self, chances: Floats, scores: Floats, target: int) -> None:
        rank = np.array([ranks(row)[target] for row in (chances, *scores)])
        hit = (rank > 0) & (rank <= DEPTH)
        reciprocal = np.where(hit, 1.0 / np.maximum(rank, 1), 0.0)
        utility = reciprocal + 0.5 * hit  # both figures count: a lead in one is not to cost the other
        lead = utility - utility[0]
        self.reciprocal += reciprocal
        self.hits += hit
        self.lead += np.stack([lead, lead**2])

    def _solve(self) -> None:
        prior = PRIOR_PRECISION * np.eye(len(self.names))
        precision, information = self.precision.sum(axis=0) + prior, self.information.sum(axis=0)
        overall = np.linalg.solve(precision, information + PRIOR_PRECISION * self._prior)
        right = (self.information + PRIOR_PRECISION * overall)[:, :, np.newaxis]
        self._learned = np.vstack([np.linalg.solve(self.precision + prior, right)[:, :, 0], overall])

    def arms(self) -> dict[str, ArmScore]:
        """Return decayed figures of the fusion and of each source alone, as a rank just before the event gave them."""
        total = max(self.samples, 1e-12)
        names = ("fusion", *SOURCES)
        return {
            name: ArmScore(float(self.reciprocal[arm] / total), float(self.hits[arm] / total))
            for arm, name in enumerate(names)
        }

    # -- statistics as values ---------------------------------------------------------------------------------------

    def row(self) -> dict[str, Any]:
        """Return the statistics as plain values: what one partition publishes."""
        return {
            "scenario": self.scenario,
            "names": list(self.names),
            "lengths": list(LENGTHS),
            "samples": self.samples,
            "precision": self.precision.tolist(),
            "information": self.information.tolist(),
            "reciprocal": self.reciprocal.tolist(),
            "hits": self.hits.tolist(),
            "lead": self.lead.tolist(),
        }

    def load(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace the statistics by the sum of `rows`, one a partition, without those of other sources or lengths."""
        self._in_force = None
        wanted = [row for row in rows if self._is_alike(row)]
        self.samples = float(sum(row["samples"] for row in wanted))
        for name in ("precision", "information", "reciprocal", "hits", "lead"):
            sums = getattr(self, name)
            sums[...] = 0.0
            for row in wanted:
                sums += np.asarray(row[name], np.float64)
        self._solve()

    def _is_alike(self, row: Mapping[str, Any]) -> bool:
        wanted = {"scenario": self.scenario, "names": list(self.names), "lengths": list(LENGTHS)}
        return all(row.get(name) == value for name, value in wanted.items())
