"""Figures of ranked lists, with bootstrap confidence intervals over sessions.

With r the rank of the item that came next (0 when it is not among the first k), and R the different items still to come
in the session, the next one included:

    HR@k = [r > 0]    MRR@k = 1/r    NDCG@k = 1/log2(1 + r)    precision@k = |list and R| / k    recall@k = |list and R|
    / |R|

averaged over queries. Coverage is the share of the catalogue that was recommended at all, Gini how unequally
(0: all items alike, 1: one item only), novelty the mean of -log2 of an item's share of all events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from reco_stream.domain.neighbourhood import Floats, Ints, summed

PER_QUERY = ("hr", "mrr", "ndcg", "precision", "recall")
CONTEXT_LENGTHS = ((1, 1, "1"), (2, 2, "2"), (3, 4, "3-4"), (5, 9, "5-9"), (10, 1 << 30, "10+"))
BOOTSTRAP_SAMPLES = 1_000
BOOTSTRAP_SEED = 20_250_101


@dataclass(slots=True)
class Answers:
    """What one system answered under one protocol: one entry a query, and what it recommended over all."""

    ranks: list[int] = field(default_factory=list)
    sessions: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)
    to_come: list[int] = field(default_factory=list)
    micros: list[float] = field(default_factory=list)
    shown: Counter[str] = field(default_factory=Counter)

    def add(self, rank: int, session: int, length: int, micros: float) -> int:
        """Record one query and return its position."""
        self.ranks.append(rank)
        self.sessions.append(session)
        self.lengths.append(length)
        self.found.append(0)
        self.to_come.append(0)
        self.micros.append(micros)
        return len(self.ranks) - 1

    def per_query(self, k: int) -> dict[str, Floats]:
        """Return HR, MRR, NDCG, precision and recall of every query."""
        rank = np.array(self.ranks, np.float64)
        hit = rank > 0
        safe = np.maximum(rank, 1.0)
        found = np.array(self.found, np.float64)
        return {
            "hr": hit.astype(np.float64),
            "mrr": np.where(hit, 1.0 / safe, 0.0),
            "ndcg": np.where(hit, 1.0 / np.log2(1.0 + safe), 0.0),
            "precision": found / k,
            "recall": found / np.maximum(np.array(self.to_come, np.float64), 1.0),
        }


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


def bootstrap(values: Mapping[str, Floats], sessions: Ints, samples: int = BOOTSTRAP_SAMPLES) -> dict[str, Figure]:
    """Return means with 95 % intervals, by drawing sessions with replacement (queries of one session go together)."""
    count = len(sessions)
    if count == 0:
        return {name: Figure(0.0, 0.0, 0.0) for name in values}
    _, where = np.unique(sessions, return_inverse=True)
    groups = int(where.max()) + 1
    queries: Floats = np.bincount(where, minlength=groups).astype(np.float64)
    sums = {name: summed(where, column, groups) for name, column in values.items()}
    random = np.random.default_rng(BOOTSTRAP_SEED)
    drawn: dict[str, list[float]] = {name: [] for name in values}
    for _ in range(samples):
        times = np.bincount(random.integers(0, groups, groups), minlength=groups)
        total = float(times @ queries)
        for name, column in sums.items():
            drawn[name].append(float(times @ column) / total)
    figures = {}
    for name, column in values.items():
        low, high = np.percentile(drawn[name], (2.5, 97.5))
        figures[name] = Figure(float(column.mean()), float(low), float(high))
    return figures


def gini(counts: npt.ArrayLike) -> float:
    """Return the Gini coefficient of how often each item of the catalogue was shown.

    >>> gini([5, 5, 5, 5]), gini([0, 0, 0, 20])
    (0.0, 0.75)
    """
    ordered = np.sort(np.asarray(counts, np.float64))
    total = ordered.sum()
    if total == 0:
        return 0.0
    count = len(ordered)
    return float((2 * np.arange(1, count + 1) - count - 1) @ ordered / (count * total))


def novelty(shown: Mapping[str, int], events: Mapping[str, int]) -> float:
    """Return the mean of -log2(share of all events) over what was shown; an item without events counts as one."""
    total = sum(shown.values())
    everything = sum(events.values())
    if not total or not everything:
        return 0.0
    return float(sum(n * -np.log2(max(events.get(item, 0), 1) / everything) for item, n in shown.items()) / total)


def by_context_length(values: Floats, lengths: Sequence[int]) -> dict[str, tuple[int, float]]:
    """Return for each class of context length how many queries there were and their mean."""
    length = np.array(lengths)
    found = {}
    for low, high, name in CONTEXT_LENGTHS:
        chosen = (length >= low) & (length <= high)
        if chosen.any():
            found[name] = (int(chosen.sum()), float(values[chosen].mean()))
    return found
