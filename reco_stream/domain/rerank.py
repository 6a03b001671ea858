"""From candidates to the list that is shown: freshness, diversity, at most n a category, pinned items first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from reco_stream.domain.ranker import Reason, Scored
from reco_stream.domain.rules import Rules

DAY_MS = 86_400_000


class Facts(NamedTuple):
    """What the rules look at: categories with their letter case folded, tags likewise, the time of publication."""

    categories: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    published_ms: int | None = None


FactsOf = Callable[[str], Facts]
Similarity = Callable[[str, str], float]


def rerank(found: Sequence[Scored], rules: Rules, facts_of: FactsOf, now_ms: int, count: int) -> list[Scored]:
    """Return at most `count` of `found` in the order that the rules ask for; without rules, the first ones."""
    items = list(found)
    if rules.freshness > 0:
        items = _freshened(items, rules, facts_of, now_ms)
    facts = {scored.item: facts_of(scored.item) for scored in items} if rules.reorders else {}
    if rules.diversity > 0:
        items = diversified(items, rules.diversity, count, lambda a, b: likeness(facts[a], facts[b]))
    if rules.max_per_category is not None:
        items = _capped(items, rules.max_per_category, rules.first, facts)
    return items[:count]


def pinned_first(items: Sequence[Scored], pinned: Iterable[str], count: int) -> list[Scored]:
    """Return `pinned` in their order, then the others; a pinned item takes the highest score."""
    known = {scored.item: scored for scored in items}
    top = max((scored.score for scored in items), default=0.0)
    first = [
        known[item]._replace(score=top) if item in known else Scored(item, top, Reason("pinned"), {})
        for item in dict.fromkeys(pinned)
    ]
    taken = {scored.item for scored in first}
    return [*first, *(scored for scored in items if scored.item not in taken)][:count]


def _freshened(items: Iterable[Scored], rules: Rules, facts_of: FactsOf, now_ms: int) -> list[Scored]:
    boosted = []
    for scored in items:
        published_ms = facts_of(scored.item).published_ms
        gain = 0.0
        if published_ms is not None:
            age_days = max(now_ms - published_ms, 0) / DAY_MS
            gain = rules.freshness * 0.5 ** (age_days / rules.freshness_half_life_days)
        boosted.append(scored._replace(score=scored.score * (1 + gain)))
    return sorted(boosted, key=lambda scored: -scored.score)


def diversified(items: Sequence[Scored], diversity: float, count: int, similarity: Similarity) -> list[Scored]:
    """Return `items`, the first `count` chosen one by one: the best of (1 - d) * score - d * likeness to those chosen.

    Scores count relative to the best one. Cost: `count` times the number of items.
    """
    top = max((scored.score for scored in items), default=0.0) or 1.0
    left = {scored.item: scored for scored in items}
    closest = dict.fromkeys(left, 0.0)
    chosen: list[Scored] = []
    while left and len(chosen) < count:
        best = max(left, key=lambda item: (1 - diversity) * left[item].score / top - diversity * closest[item])
        chosen.append(left.pop(best))
        for item in left:
            closest[item] = max(closest[item], similarity(best, item))
    return [*chosen, *left.values()]


def likeness(one: Facts, other: Facts) -> float:
    """Return the share of categories and tags that two items have in common.

    >>> likeness(Facts(frozenset("ab")), Facts(frozenset("bc")))
    0.3333333333333333
    """
    mine, theirs = one.categories | one.tags, other.categories | other.tags
    return len(mine & theirs) / len(mine | theirs) if mine and theirs else 0.0


def _capped(items: Iterable[Scored], limit: int, first: int, facts: dict[str, Facts]) -> list[Scored]:
    """Returns the items with those that would be too many of a category in the first ones moved behind these."""
    counts: Counter[str] = Counter()
    kept: list[Scored] = []
    late: list[Scored] = []
    for scored in items:
        categories = facts[scored.item].categories
        if len(kept) < first and any(counts[category] >= limit for category in categories):
            late.append(scored)
            continue
        kept.append(scored)
        counts.update(categories)
    # With too few kept to fill the first places, what was moved back stays out: a shorter list keeps the rule.
    return kept if len(kept) < first else [*kept[:first], *_by_rank([*late, *kept[first:]], items)]


def _by_rank(some: Iterable[Scored], ranked: Iterable[Scored]) -> list[Scored]:
    rank = {scored.item: number for number, scored in enumerate(ranked)}
    return sorted(some, key=lambda scored: rank[scored.item])
