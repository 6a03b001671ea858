"""Blend: one weighted sum of co-view, content, popularity and recency.

    score = w1 * co_view + w2 * embedding + w3 * popularity + w4 * recency        every part in 0..1

    co_view     sum over the newest 10 items of the user, the k-th newest counting 1/k, of the share that the candidate
                has in the co-view list of that item; divided by the best candidate's sum
    embedding   cosine between the candidate's content and that of the user's newest 10 items, the k-th newest counting
                1/k; where no content is known, its weight is shared out among the others
    popularity  weighted events in the window, divided by those of the most popular item; the window is the last 24
                hours, or the first longer one with enough items to fill the list
    recency     0.5 ** (hours since the last event on the item / 24)

The parts explain themselves, which is why people ask for this ranker. It is not the most accurate one: the popularity
term drowns part of what co-view knows.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from heapq import nlargest, nsmallest
from itertools import islice
from typing import NamedTuple

from reco_stream.domain.ranker import (
    WINDOWS,
    ContentSource,
    CoViewed,
    ItemSource,
    Near,
    Query,
    Ranking,
    Reason,
    Scored,
)

PARTS = ("co_view", "embedding", "popularity", "recency")
DEFAULT_WEIGHTS: Mapping[str, float] = {"co_view": 0.4, "embedding": 0.3, "popularity": 0.2, "recency": 0.1}

SEEDS = 10  # items of the user that vote: as many as a session keeps for co-view
NEIGHBOURS_PER_SEED = 100  # a co-view list is no longer than that
CO_VIEW_CANDIDATES = 100  # scored in full, of at most 1,000; twice the items asked for, when that is more
NEAR_CANDIDATES = 100
POPULAR_DEPTH = 1000  # below that rank the popularity part is taken as 0 (its true value is about 1/1000 under Zipf)
RECENCY_HALF_LIFE_MS = 24 * 3_600_000
TOTAL_TOLERANCE = 1e-6
POPULAR_WINDOWS = WINDOWS[1:]  # 24h first: an hour is too short for a small shop, and longer ones are a last resort


class BadBlend(ValueError):
    """The weights are not a blend: a name is unknown, one is negative or not finite, or they do not sum to 1."""


@dataclass(frozen=True, slots=True)
class BlendWeights:
    """Non-negative weights of the four parts that sum to 1 (within 1e-6).

    >>> BlendWeights.of({"co_view": 0.5, "popularity": 0.6})
    Traceback (most recent call last):
        ...
    reco_stream.domain.blend.BadBlend: blend weights sum to 1.1, wanted 1: co_view 0.5, popularity 0.6
    >>> {name: round(weight, 3) for name, weight in BlendWeights().without_embedding().items()}
    {'co_view': 0.571, 'popularity': 0.286, 'recency': 0.143}
    """

    co_view: float = DEFAULT_WEIGHTS["co_view"]
    embedding: float = DEFAULT_WEIGHTS["embedding"]
    popularity: float = DEFAULT_WEIGHTS["popularity"]
    recency: float = DEFAULT_WEIGHTS["recency"]

    @classmethod
    def of(cls, weights: Mapping[str, float]) -> BlendWeights:
        """Returns checked weights; a part that is not named weighs 0. Raises `BadBlend`."""
        unknown = sorted(set(weights) - set(PARTS))
        if unknown:
            raise BadBlend(f"blend has unknown parts {', '.join(unknown)}, wanted some of {', '.join(PARTS)}")
        for name, weight in weights.items():
            if not math.isfinite(weight) or weight < 0:
                raise BadBlend(f"blend weight of {name} is {weight}, wanted a number of 0 or more")
        total = sum(weights.values())
        if abs(total - 1) > TOTAL_TOLERANCE:
            listed = ", ".join(f"{name} {weight:g}" for name, weight in weights.items()) or "none given"
            raise BadBlend(f"blend weights sum to {total:g}, wanted 1: {listed}")
        return cls(**{name: float(weights.get(name, 0.0)) for name in PARTS})

    def without_embedding(self) -> dict[str, float]:
        """Returns the other three with the embedding's weight shared out in proportion; they sum to 1 again."""
        kept = {"co_view": self.co_view, "popularity": self.popularity, "recency": self.recency}
        total = sum(kept.values())
        if total <= 0:  # the embedding had everything
            return dict.fromkeys(kept, 1 / len(kept))
        return {name: weight / total for name, weight in kept.items()}


class _Votes:
    """Co-view sums of candidates, and the lists that they were added up from."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}
        self._lists: list[tuple[str, float, Sequence[CoViewed]]] = []
        self._parts: list[tuple[str, dict[str, float]]] | None = None

    def add(self, seed: str, rank: int, near: Sequence[CoViewed]) -> None:
        """Adds the list of the user's `rank`-th newest item: shares of the list, divided by the rank."""
        total = sum([n.weight for n in near])
        if total <= 0:
            return
        scale = 1 / (rank * total)
        totals = self.totals
        for n in near:
            totals[n.item] = totals.get(n.item, 0.0) + n.weight * scale
        self._lists.append((seed, scale, near))

    def seed_of(self, item: str) -> str:
        """Returns the item of the user that gave most of the sum, the newest one of equals."""
        if self._parts is None:  # asked for the few items that are shown, so not kept up for all candidates
            self._parts = [(seed, {n.item: n.weight * scale for n in near}) for seed, scale, near in self._lists]
        return max(self._parts, key=lambda part: part[1].get(item, 0.0))[0]


class _Popular(NamedTuple):
    """Popularity 0..1 by item in rank order, and the window that it was taken from."""

    window: str
    share: Mapping[str, float]


_Parts = tuple[float, float, float, float]  # co-view, popularity, recency, embedding
_NOTHING_NEAR: Mapping[str, Near] = {}
_NO_PAIRS: Sequence[tuple[str, float]] = ()


class Blend:
    """Ranks by the weighted sum of parts; never empty while an item exists that is neither hidden nor filtered out.

    Candidates are the best 100 by co-view and the most popular items. Cost: about 1,000 dictionary updates and 110
    scores for a user with 10 items.
    """

    name = "blend"

    def __init__(
        self, source: ItemSource, weights: BlendWeights | None = None, content: ContentSource | None = None
    ) -> None:
        self._source = source
        self._content = content
        asked = weights or BlendWeights()
        self._asked = asked
        self.weights = asked.without_embedding()
        self._listed = _NO_PAIRS
        self._shares = _Popular(POPULAR_WINDOWS[-1], {})
        self._notes: tuple[str, ...] = ()
        if asked.embedding > 0:
            shares = ", ".join(f"{name} {weight:.3f}" for name, weight in self.weights.items())
            self._notes = (f"no embedding yet: its weight {asked.embedding:g} is shared out, giving {shares}",)

    def rank(self, query: Query) -> Ranking:
        """Returns the best `query.count` items; seen ones come back, with a note, when nothing else is left."""
        seen = frozenset(r.item for r in query.recent) if query.exclude_seen else frozenset()
        items = self._rank(query, query.hidden | seen)
        notes = () if self._content is not None and self._content.ready else self._notes
        if not items and seen:
            items = self._rank(query, query.hidden)
            if items:
                notes = (*notes, "every item was seen already: seen items are shown again")
        return Ranking(items, notes)

    def _rank(self, query: Query, out: Set[str]) -> list[Scored]:
        popular = self._popular(query, out)
        votes = _Votes()
        for rank, seed in enumerate(query.recent[:SEEDS], start=1):
            votes.add(seed.item, rank, self._source.neighbours(seed.item, query.now_ms, NEIGHBOURS_PER_SEED))
        kept = [item for item in votes.totals if _wanted(item, out, query)]
        candidates = dict.fromkeys(
            nlargest(max(CO_VIEW_CANDIDATES, 2 * query.count), kept, key=votes.totals.__getitem__)
        )
        top = max((votes.totals[item] for item in candidates), default=1.0)
        near = self._near(query, out)
        candidates.update(dict.fromkeys(near))
        self._add_popular(candidates, popular, query, out)
        parts = {
            item: self._parts(item, votes.totals.get(item, 0.0) / top, popular, query, near) for item in candidates
        }
        weights = self._asked if near else BlendWeights(**self.weights, embedding=0.0)
        scores = {item: _score(weights, *found) for item, found in parts.items()}
        # Of equal scores the first candidate wins, which is the same one on every worker.
        best = nlargest(query.count, scores, key=scores.__getitem__)
        return [self._scored(item, scores[item], parts[item], votes, popular.window, query, near) for item in best]

    def _near(self, query: Query, out: Set[str]) -> Mapping[str, Near]:
        """Returns the items whose content is near to that of the newest items, by item."""
        if self._content is None or not self._content.ready or not query.recent or not self._asked.embedding:
            return _NOTHING_NEAR
        seeds = [(seed.item, 1 / rank) for rank, seed in enumerate(query.recent[:SEEDS], start=1)]
        found = self._content.near(seeds, NEAR_CANDIDATES, lambda item: _wanted(item, out, query))
        return {near.item: near for near in found}

    def _popular(self, query: Query, out: Set[str]) -> _Popular:
        """Returns the first window with `count` items to show, else the longest one in which anything happened."""
        found, chosen = POPULAR_WINDOWS[-1], _NO_PAIRS
        for window in POPULAR_WINDOWS:
            listed = self._source.popular(window, query.now_ms, POPULAR_DEPTH, frozenset())
            if not listed or listed[0][1] <= 0:
                continue
            found, chosen = window, listed
            wanted = islice((item for item, _ in listed if _wanted(item, out, query)), query.count)
            if sum(1 for _ in wanted) == query.count:
                break
        # A source gives out the same pairs for about a second; comparing them is a tenth of a new dictionary.
        if chosen != self._listed or found != self._shares.window:
            self._listed = chosen
            self._shares = _Popular(found, {item: score / chosen[0][1] for item, score in chosen})
        return self._shares

    def _add_popular(self, candidates: dict[str, None], popular: _Popular, query: Query, out: Set[str]) -> None:
        wanted = len(candidates) + query.count
        for item in popular.share:
            if len(candidates) >= wanted:
                return
            if _wanted(item, out, query):
                candidates[item] = None
        if query.pool is not None:
            self._add_of_pool(candidates, query.pool, query, out)
            return
        # Still too few: a narrow filter, or a user who has seen or hidden the whole top. Go deeper.
        depth = POPULAR_DEPTH
        while len(candidates) < query.count:
            listed = self._source.popular(POPULAR_WINDOWS[-1], query.now_ms, depth, out)
            wanted_more = (item for item, _ in listed if item not in candidates and _wanted(item, out, query))
            candidates.update(dict.fromkeys(islice(wanted_more, query.count - len(candidates))))
            if len(listed) < depth:
                return
            depth *= 8  # few steps to the end of a long list

    def _add_of_pool(self, candidates: dict[str, None], pool: Collection[str], query: Query, out: Set[str]) -> None:
        """Adds the most popular `count` of the pool, then any others of it while there are fewer."""
        wanted = len(candidates) + query.count
        depth = 4 * query.count
        while len(candidates) < wanted:
            listed = self._source.popular_among(pool, POPULAR_WINDOWS[-1], query.now_ms, depth)
            more = (item for item, _ in listed if item not in candidates and _wanted(item, out, query))
            candidates.update(dict.fromkeys(islice(more, wanted - len(candidates))))
            if len(listed) < depth:
                break
            depth *= 8
        if len(candidates) < query.count:
            rest = (item for item in pool if item not in candidates and _wanted(item, out, query))
            candidates.update(dict.fromkeys(nsmallest(query.count - len(candidates), rest)))

    def _parts(self, item: str, co_view: float, popular: _Popular, query: Query, near: Mapping[str, Near]) -> _Parts:
        last_ms = self._source.last_ms(item)
        # An event a little ahead of `now` (clocks differ) is as recent as can be.
        recency = 0.0 if last_ms is None else 0.5 ** (max(0, query.now_ms - last_ms) / RECENCY_HALF_LIFE_MS)
        return co_view, popular.share.get(item, 0.0), recency, near[item].cosine if item in near else 0.0

    def _scored(
        self,
        item: str,
        score: float,
        parts: _Parts,
        votes: _Votes,
        window: str,
        query: Query,
        near: Mapping[str, Near],
    ) -> Scored:
        co_view, popularity, recency, embedding = parts
        asked = self._asked
        reason = Reason("popular", window=window)
        if not query.recent:
            reason = Reason("unknown_user")
        elif item in near and asked.embedding * embedding > max(asked.co_view * co_view, asked.popularity * popularity):
            reason = Reason("content", item=near[item].seed)
        elif co_view > 0 and self.weights["co_view"] * co_view >= self.weights["popularity"] * popularity:
            reason = Reason("co_view", item=votes.seed_of(item))
        elif popularity <= 0:
            reason = Reason("recent") if recency > 0.5 else Reason("popular", window=POPULAR_WINDOWS[-1])
        shown = {"co_view": co_view, "popularity": popularity, "recency": recency}
        return Scored(item, score, reason, shown | {"embedding": embedding} if near else shown)


def _score(weights: BlendWeights, co_view: float, popularity: float, recency: float, embedding: float) -> float:
    behaviour = weights.co_view * co_view + weights.popularity * popularity + weights.recency * recency
    return behaviour + weights.embedding * embedding


def _wanted(item: str, out: Set[str], query: Query) -> bool:
    return item not in out and (query.accept is None or query.accept(item))
