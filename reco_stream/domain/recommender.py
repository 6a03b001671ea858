"""The default ranker: several sources over one session index, fused by weights that are learned on the stream.

Fed with absolute session values (`update_session`), asked with a context (`recommend`). The answer is a function of the
last value of every session, the weights in force and the context, so whoever holds the same sessions gives the same
list.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from reco_stream.domain.context import Context
from reco_stream.domain.fusion import (
    FLOOR,
    KEPT,
    SCENARIOS,
    SOURCES,
    Slate,
    chances,
    ranks,
    reciprocal_rank_scores,
    slate_of,
    weights_of,
)
from reco_stream.domain.fusion_learning import ALL, LONGEST, ScenarioLearner, length_class
from reco_stream.domain.neighbourhood import Floats, Ints
from reco_stream.domain.reasons import THEN_SHARE, SessionReason
from reco_stream.domain.retrievers.base import best_places
from reco_stream.domain.retrievers.history import History
from reco_stream.domain.retrievers.kernel import (
    CO_VIEW,
    MAX_EVENTS,
    RULES,
    SEQUENCE,
    SESSION_KNN,
    KernelBank,
)
from reco_stream.domain.retrievers.transitive import Transitive
from reco_stream.domain.retrievers.trending import Trending
from reco_stream.domain.scoring import rank
from reco_stream.domain.session_index import SessionIndex

SAMPLE_ONE_IN = 16
_NOTHING: Mapping[str, float] = {}
_NO_RANKS: Mapping[str, int] = {}
_HISTORY, _TRANSITIVE, _REPEAT = (SessionReason(kind) for kind in ("history", "transitive", "repeat"))
_NO_SCORES: Floats = np.zeros(0)
LAST_N = 10  # items of the context that look for sessions
_KERNELS = (SESSION_KNN, SEQUENCE, RULES, CO_VIEW)  # the first four of SOURCES, in that order


class Recommendation(NamedTuple):
    """One item. `score` is its probability among the candidates; `parts` each source's score as a share of its best.

    `source_ranks` (with explain) is the item's rank in each source that knows it.
    """

    item: str
    score: float
    reason: SessionReason
    parts: Mapping[str, float] = _NOTHING
    source_ranks: Mapping[str, int] = _NO_RANKS


# Without a call of Python for each of them, which takes twice as long.
_recommendation: Final[Callable[[tuple[Any, ...]], Recommendation]] = partial(tuple.__new__, Recommendation)
_reason: Final[Callable[[tuple[Any, ...]], SessionReason]] = partial(tuple.__new__, SessionReason)


def is_sampled(key: str, one_in: int = SAMPLE_ONE_IN) -> bool:
    """Return whether the event of `key` teaches the weights: one in `one_in`, by a hash, so every replay samples the
    same.

    >>> sum(is_sampled(f"session-{number}/3") for number in range(1600))
    96
    """
    return zlib.crc32(key.encode()) % one_in == 0


class Recommender:
    """Recommends by the fusion of all sources; learns the weights of "unseen" and "repeats" from what comes next.

    `pinned` fixes the weights of a scenario by name; `method` "rrf" uses reciprocal-rank fusion instead.

    >>> recommender = Recommender()
    >>> for key in ("s1", "s2"):
    ...     recommender.update_session(key, [("a", "view", 0), ("b", "view", 1_000)], last_ms=1_000)
    >>> context = Context.of([("a", "view", 5_000)], now_ms=6_000, session_gap_ms=1_800_000)
    >>> best = recommender.recommend(context, count=1, exclude={"a"})[0]
    >>> best.item, best.reason.words()
    ('b', 'people who viewed a then viewed this: 2 sessions in 1 minute')
    """

    def __init__(
        self,
        index: SessionIndex | None = None,
        pinned: Mapping[str, Mapping[str, float]] | None = None,
        method: str = "learned",
        limit: int = 1_000,
        k: int = 500,
    ) -> None:
        if method not in ("learned", "rrf"):
            raise ValueError(f"fusion method is {method!r}, wanted 'learned' or 'rrf'")
        self.index = index if index is not None else SessionIndex()
        self.trending = Trending(self.index)
        self.history = History()
        self._bank = KernelBank(self.index, _KERNELS, LAST_N)
        self._transitive = Transitive(self.index)
        self._method = method
        hop = self._transitive
        self._limits = (limit, k, MAX_EVENTS, hop.enough, hop.seeds, hop.limit, KEPT, FLOOR)
        self._k = k
        self._limit = limit
        self._pinned = {scenario: weights_of(scenario, named) for scenario, named in (pinned or {}).items()}
        self.learners = {scenario: ScenarioLearner(scenario) for scenario in SCENARIOS}

    # -- feeding ----------------------------------------------------------------------------------------------------

    def update_session(self, key: str, items: Sequence[tuple[str, str, int]], last_ms: int) -> None:
        """Replace the session of `key` by `items` (item, type, time_ms; oldest first).

        The last value of a key counts.
        """
        self.index.put(key, items, last_ms)

    def take_sessions(self, records: Sequence[Any], version: int, hidden: bytes) -> int:
        """Replace sessions by those that were published: see `SessionStore.take`. Returns the highest version."""
        return self.index.take(records, version, hidden)

    def remove_session(self, key: str) -> None:
        """Forget a session; nothing happens when it is unknown."""
        self.index.remove(key)

    def observe(self, context: Context, item: str, learners: Mapping[str, ScenarioLearner] | None = None) -> None:
        """Learn from one event: `context` as it was just before, `item` what came.

        Call it before the event is applied. `learners` by scenario learn instead of the recommender's own.
        """
        taught = self.learners if learners is None else learners
        number = self.index.number_of.get(item, -1)
        seen = set(context.items)
        length = length_class(len(seen))
        scored = self._scored(context)
        if item not in seen:
            taught["unseen"].learn(self._slate(context, scored, seen), number, length)
        taught["repeats"].learn(self._slate(context, scored, frozenset()), number, length)

    # -- asking -----------------------------------------------------------------------------------------------------

    def is_pinned(self, scenario: str) -> bool:
        """Return whether the weights of the scenario are fixed."""
        return scenario in self._pinned

    def weights(self, scenario: str, length: int = ALL) -> dict[str, float]:
        """Return the weights in force by name: pinned, or learned; `length`: a place in `LENGTHS`."""
        return dict(zip(SCENARIOS[scenario], self._weights(scenario, length).tolist(), strict=True))

    def recommend(
        self,
        context: Context,
        count: int,
        exclude: Set[str] = frozenset(),
        explain: bool = False,
        method: str | None = None,
    ) -> list[Recommendation]:
        """Return at most `count` items by falling score, none of them in `exclude`; trending items fill what is
        missing.

        The weights are those of "unseen" when every item of the context is excluded, else those of "repeats". `method`
        overrides the recommender's own for this call.
        """
        scenario = "unseen" if all(event.item in exclude for event in context.recent) else "repeats"
        newest = context.newest(len(context.recent) or 1)
        length = length_class(min(len(newest), LONGEST))
        method = method or self._method
        if explain or (method == "rrf" and scenario not in self._pinned):
            slate = self._slate(context, self._scored(context), exclude)
            scores = self._fused(slate, scenario, length, method)
            found = self._explained(slate, best_places(scores, count), scores, context, explain)
        else:
            found = self._ranked(context, newest, exclude, self._weights(scenario, length), count)
        if len(found) < count:
            taken = {recommendation.item for recommendation in found}
            filler = self.trending.recommend(context, count - len(found), exclude | taken)
            found.extend(Recommendation(item, 0.0, SessionReason("trending")) for item, _ in filler)
        return found

    # -- internals --------------------------------------------------------------------------------------------------

    def _weights(self, scenario: str, length: int) -> Floats:
        pinned = self._pinned.get(scenario)
        return self.learners[scenario].weights(length) if pinned is None else pinned

    def _fused(self, slate: Slate, scenario: str, length: int, method: str) -> Floats:
        if not len(slate):
            return np.zeros(0)
        if method == "rrf" and scenario not in self._pinned:
            return reciprocal_rank_scores(slate.scores)
        return chances(slate, self._weights(scenario, length))

    def _ranked(
        self, context: Context, newest: list[str], exclude: Set[str], weights: Floats, count: int
    ) -> list[Recommendation]:
        """The best items by `_slate`, `chances` and `_explained`, in one compiled call."""
        index = self.index
        names = index.names
        past, scores = self._past(context)
        seen = index.numbers(newest)
        question = (seen, past, scores, index.numbers(exclude), context.now_ms)
        known = (*index.arrays(), *index.item_figures()[:3])
        found = rank(self._bank.scorer, self._transitive.scorer, known, question, self._limits, weights, count)
        types = {event.item: event.type for event in context.recent}
        recommended = []
        reason: SessionReason
        for number, chance, old, again, anchor, sessions, after, age_s in found:
            if anchor < 0:
                reason = _HISTORY if old else _TRANSITIVE
            elif again:
                reason = _REPEAT
            else:
                item = names[seen[anchor]]
                then = after >= THEN_SHARE * sessions
                reason = _reason(("sessions", item, types[item], sessions, then, age_s))
            recommended.append(_recommendation((names[number], chance, reason, _NOTHING, _NO_RANKS)))
        return recommended

    def _past(self, context: Context) -> tuple[list[int], Floats]:
        """The items of the history that are in the index, and their scores."""
        if not context.history:
            return [], _NO_SCORES
        known = self.index.number_of
        past = {item: score for item, score in self.history.scores(context).items() if item in known}
        return [known[item] for item in past], np.array(list(past.values()), np.float64)

    def _scored(self, context: Context) -> list[tuple[Ints, Floats, int]]:
        """Score every source for the context: numbers, scores and how many sources these are."""
        newest = self.index.numbers(context.newest(len(context.recent) or 1))[:LAST_N]
        past, scores = self._past(context)
        numbers, votes = self._bank.score(newest, context.now_ms, self._limit, self._k)
        further, reached = self._transitive.hop(newest, context.now_ms, numbers, votes[0])
        return [
            (numbers, votes, len(_KERNELS)),
            (further, reached, 1),
            (np.array(past, np.int64), scores, 1),
        ]

    def _slate(self, context: Context, scored: list[tuple[Ints, Floats, int]], exclude: Set[str]) -> Slate:
        """Join the sources; everything but the weights."""
        seen = self.index.numbers(context.newest(len(context.recent) or 1))
        return slate_of(self.index, scored, exclude, seen, context.now_ms)

    def _explained(
        self, slate: Slate, order: Ints, scores: Floats, context: Context, explain: bool
    ) -> list[Recommendation]:
        names = self.index.names
        reasons = self._reasons(slate, order, context)
        items = [names[number] for number in slate.numbers[order].tolist()]
        chances = scores[order].tolist()
        if not explain:
            return [Recommendation(*found) for found in zip(items, chances, reasons, strict=True)]
        source_ranks = [ranks(row) for row in slate.scores]
        found = []
        for place, item, score, reason in zip(order.tolist(), items, chances, reasons, strict=True):
            parts = dict(zip(SOURCES, slate.shares[:, place].tolist(), strict=True))
            ranked = zip(SOURCES, source_ranks, strict=True)
            placed = {name: int(rank[place]) for name, rank in ranked if rank[place] > 0}
            found.append(Recommendation(item, score, reason, parts, placed))
        return found

    def _reasons(self, slate: Slate, order: Ints, context: Context) -> list[SessionReason]:
        """Return a reason for each place of `order`, from the sessions that `_slate` looked at last."""
        known = [item for item in context.newest(len(context.recent)) if item in self.index.number_of]
        types = {event.item: event.type for event in context.recent}
        past = (slate.scores[SOURCES.index("history"), order] > 0).tolist()
        repeated = (slate.rank[order] > 0).tolist()
        reasons = []
        proofs = self._bank.evidence(slate.numbers[order].tolist())
        for proof, again, old in zip(proofs, repeated, past, strict=True):
            if proof.anchor < 0:
                reasons.append(_HISTORY if old else _TRANSITIVE)
            elif again:
                reasons.append(_REPEAT)
            else:
                item = known[proof.anchor]
                then = proof.after >= THEN_SHARE * proof.sessions
                reasons.append(SessionReason("sessions", item, types[item], proof.sessions, then, proof.age_s))
        return reasons
