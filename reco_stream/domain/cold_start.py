"""Room for items that nobody knows yet: each tenth place goes to a cold item whose content is near to the person's.

An item without events has no co-view list, no session and no popularity; whatever ranks by behaviour never shows it,
and so it never gets events. Its content is known at once. Cold items take places 10, 20, 30, ... (in a shorter
list the last one), nearest first, if they are near enough; without any, the list is what it would be. The price is what
these places would have brought: with each fifth place the hit rate of all items fell twice as much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from reco_stream.domain.ranker import ContentSource, Near, Query, Ranker, Ranking, Reason, RecentItem, Scored

SEEDS: Final = 10
EVERY: Final = 10
NEAR_ENOUGH: Final = (
    0.35  # movielens_100k: 0.2 found 8 % more of the cold items and cost 1.5 times as much of the others
)
CANDIDATES: Final = 100

IsCold = Callable[[str], bool]


class ColdStart:
    """Ranks by another ranker and mixes cold items in."""

    def __init__(self, ranker: Ranker, content: ContentSource, is_cold: IsCold) -> None:
        self._ranker = ranker
        self._content = content
        self._is_cold = is_cold

    @property
    def name(self) -> str:
        """The name of the ranker whose list it is."""
        return self._ranker.name

    def rank(self, query: Query) -> Ranking:
        """Return the ranking with cold items in it, each with the score of the item that it goes before."""
        ranking = self._ranker.rank(query)
        if not query.recent or not self._content.ready:
            return ranking
        cold = self._cold(query, {scored.item for scored in ranking.items})
        return Ranking(mixed(ranking.items, cold, query.count), ranking.notes) if cold else ranking

    def _cold(self, query: Query, taken: set[str]) -> list[Near]:
        out = taken | query.hidden | {seen.item for seen in query.recent}

        def wanted(item: str) -> bool:
            return item not in out and self._is_cold(item) and (query.accept is None or query.accept(item))

        limit = max(1, query.count // EVERY)
        near = self._content.near(seeds_of(query.recent), CANDIDATES, wanted)
        return [found for found in near if found.cosine >= NEAR_ENOUGH][:limit]


def seeds_of(recent: Sequence[RecentItem]) -> list[tuple[str, float]]:
    """Return the newest 10 items with their weights: the k-th newest counts 1/k.

    >>> seeds_of([RecentItem("a", 1.0, 9), RecentItem("b", 1.0, 8)])
    [('a', 1.0), ('b', 0.5)]
    """
    return [(seen.item, 1 / rank) for rank, seen in enumerate(recent[:SEEDS], start=1)]


def mixed(items: list[Scored], cold: list[Near], count: int) -> list[Scored]:
    """Return `items` with `cold` at places 10, 20, 30, ..., and after the end when there are too few."""
    found: list[Scored] = []
    rest, late = list(items), list(cold)
    while (rest or late) and len(found) < count:
        is_place = (len(found) + 1) % EVERY == 0 or len(found) + 1 == count < EVERY or not rest
        if late and is_place:
            near = late.pop(0)
            score = rest[0].score if rest else 0.0
            found.append(Scored(near.item, score, Reason("content", item=near.seed), {"embedding": near.cosine}))
        elif rest:
            found.append(rest.pop(0))
    return found
