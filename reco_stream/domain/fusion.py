"""Fusion: one list out of several sources' scores, by reciprocal ranks or by weights per source.

The weighted form is a conditional logit over the candidates of one query:

    z(x) = sum over sources s of w_s * ln(score_s(x) / max score_s + 0.001)
           + w_support * ln(sessions that hold x / most) + w_freshness * ln(1 / (1 + hours since x was last seen))
           + w_newest, w_second, w_third, w_any for an x that is in the session itself
    P(next = x) = exp z(x) / sum over candidates of exp z

so equal weights are the geometric mean of the sources, a weight of 0 switches a source off, and the probability is the
score that a recommendation shows. Repeats (items of the session itself) have weights of their own, for the newest item,
the second, the third, and any: whether they come back is what differs most between shops, news and music.

Sources: Cormack, Clarke, Buettcher, "Reciprocal Rank Fusion outperforms Condorcet" (SIGIR 2009); McFadden, "Conditional
logit analysis of qualitative choice behavior" (1974).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from reco_stream.domain.neighbourhood import Floats, Ints
from reco_stream.domain.scoring import fuse, merge
from reco_stream.domain.session_index import SessionIndex

SOURCES = ("session_knn", "sequence", "rules", "co_view", "transitive", "history")
SIGNALS = ("support", "freshness")
REPEATS = ("repeat_newest", "repeat_second", "repeat_third", "repeat_any")
SCENARIOS: Mapping[str, tuple[str, ...]] = {
    "unseen": SOURCES + SIGNALS,
    "repeats": SOURCES + SIGNALS + REPEATS,
}

FLOOR = 1e-3  # a source that does not know an item says 1/1000 of its best
KEPT = 200  # candidates that are weighed; the rest have no source near its best
RRF_CONSTANT = 60


class BadWeights(ValueError):
    """Pinned weights name an unknown scenario or weight, or a value is not a finite number."""


@dataclass(slots=True)
class Slate:
    """Candidates of one query, at most `KEPT`, in the order of their newest session.

    `numbers`: item numbers; `scores` and `shares`: one row a source, raw and as a share of the source's best;
    `signals`: one row a signal, in (0, 1]; `rank`: 1 + rank of the item in the context, 0 when it is not in it.
    """

    numbers: Ints
    scores: Floats
    shares: Floats
    signals: Floats
    rank: Ints

    def __len__(self) -> int:
        return len(self.numbers)


def slate_of(
    index: SessionIndex,
    parts: list[tuple[Ints, Floats, int]],
    exclude: Iterable[str],
    seen: list[int],
    now_ms: int,
) -> Slate:
    """Return one slate of the candidates of all sources without excluded items; `parts` are (numbers, scores, rows).

    Of more than `KEPT` candidates those with the highest sum of shares stay.
    """
    found = merge(
        parts,
        index.numbers(exclude),
        seen,
        *index.item_figures(),
        now_ms,
        KEPT,
    )
    numbers, rank = np.frombuffer(found[0], np.int64), np.frombuffer(found[4], np.int64)
    heights = (len(SOURCES), len(SOURCES), len(SIGNALS))
    scores, shares, signals = (
        np.frombuffer(rows, np.float64).reshape(height, len(numbers))
        for rows, height in zip(found[1:4], heights, strict=True)
    )
    return Slate(numbers, scores, shares, signals, rank)


def features(slate: Slate, scenario: str) -> Floats:
    """Return the features of the formula above, one row a weight of the scenario, one column a candidate."""
    logs = [np.log(slate.shares + FLOOR), np.log(slate.signals)]
    if scenario == "unseen":
        return np.concatenate(logs)
    rank = slate.rank
    return np.concatenate([*logs, np.stack([rank == 1, rank == 2, rank == 3, rank > 0])])


def probabilities(rows: Floats, weights: Floats) -> Floats:
    """Return P(next = x) for each column of the features."""
    logits = weights @ rows
    exponentials: Floats = np.exp(logits - logits.max(initial=-np.inf))
    return cast(Floats, exponentials / exponentials.sum())


def chances(slate: Slate, weights: Floats) -> Floats:
    """Return `probabilities` of a slate that is not empty; `weights` of either scenario."""
    return np.frombuffer(fuse(slate.shares, slate.signals, slate.rank, weights, FLOOR), np.float64)


def ranks(scores: Floats) -> Ints:
    """Return for each candidate its 1-based rank; equal scores: the later candidate first; score 0: rank 0 (absent).

    >>> ranks(np.array([0.2, 0.0, 0.5, 0.2])).tolist()
    [3, 0, 1, 2]
    """
    order = np.argsort(scores, kind="stable")[::-1]
    found = np.zeros(len(scores), np.int64)
    found[order] = np.arange(1, len(scores) + 1)
    found[scores <= 0] = 0
    return found


def reciprocal_rank_scores(scores: Floats, constant: int = RRF_CONSTANT) -> Floats:
    """Return for each column the sum over sources of 1 / (constant + rank); absent from a source counts nothing."""
    total = np.zeros(scores.shape[1])
    for row in scores:
        rank = ranks(row)
        total += np.where(rank > 0, 1.0 / (constant + rank), 0.0)
    return total


def fuse_ranks(lists: Iterable[Sequence[str]], constant: int = RRF_CONSTANT) -> list[tuple[str, float]]:
    """Return items of several ranked lists by falling sum of 1 / (constant + rank); ties by name.

    >>> [item for item, score in fuse_ranks([["a", "b"], ["b", "c"]])]
    ['b', 'a', 'c']
    """
    scores: dict[str, float] = {}
    for ranked in lists:
        for rank, item in enumerate(ranked, start=1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (constant + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def weights_of(scenario: str, named: Mapping[str, float]) -> Floats:
    """Return named weights in the scenario's order; those not named are 0. Raises `BadWeights`."""
    if scenario not in SCENARIOS:
        raise BadWeights(f"fusion scenario is {scenario!r}, wanted one of {', '.join(SCENARIOS)}")
    names = SCENARIOS[scenario]
    unknown = sorted(set(named) - set(names))
    if unknown:
        raise BadWeights(f"fusion weights of {scenario} name {', '.join(unknown)}, wanted some of {', '.join(names)}")
    weights = np.array([float(named.get(name, 0.0)) for name in names])
    if not np.isfinite(weights).all():
        raise BadWeights(f"fusion weights of {scenario} are {dict(named)}, wanted finite numbers")
    return weights
