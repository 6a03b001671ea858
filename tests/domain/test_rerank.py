from __future__ import annotations

from reco_stream.domain.ranker import Reason, Scored
from reco_stream.domain.rerank import DAY_MS, Facts, pinned_first, rerank
from reco_stream.domain.rules import NO_RULES, Rules

NOW_MS = 1_000 * DAY_MS


def scored(**scores: float) -> list[Scored]:
    return [Scored(item, score, Reason("popular"), {}) for item, score in scores.items()]


def names(items: list[Scored]) -> list[str]:
    return [found.item for found in items]


def facts_of(item: str) -> Facts:
    """a1 and a2 lie in category a, and so on; the digit is the age in days."""
    return Facts(frozenset(item[0]), frozenset(), NOW_MS - int(item[1]) * DAY_MS)


FOUND = scored(a1=9.0, a2=8.0, a3=7.0, b4=6.0, b5=5.0, c6=4.0)


def test_without_rules_the_first_ones() -> None:
    assert rerank(FOUND, NO_RULES, facts_of, NOW_MS, 2) == FOUND[:2]


def test_at_most_n_of_a_category_in_the_first_k() -> None:
    assert names(rerank(FOUND, Rules(max_per_category=1, first=3), facts_of, NOW_MS, 6)) == [
        "a1", "b4", "c6", "a2", "a3", "b5",
    ]  # fmt: skip
    assert names(rerank(FOUND, Rules(max_per_category=1, first=5), facts_of, NOW_MS, 6)) == ["a1", "b4", "c6"]


def test_freshness_multiplies_the_score_by_its_half_life() -> None:
    found = rerank(scored(a9=2.0, b0=1.6), Rules(freshness=1.0, freshness_half_life_days=9), facts_of, NOW_MS, 2)
    assert [(one.item, one.score) for one in found] == [("b0", 3.2), ("a9", 3.0)]
    unknown = rerank(scored(x=1.0), Rules(freshness=1.0), lambda item: Facts(), NOW_MS, 1)
    assert unknown[0].score == 1.0


def test_diversity_prefers_what_is_unlike_the_chosen() -> None:
    assert names(rerank(FOUND, Rules(diversity=0.5), facts_of, NOW_MS, 3)) == ["a1", "b4", "c6"]
    assert names(rerank(FOUND, Rules(diversity=0.01), facts_of, NOW_MS, 3)) == ["a1", "a2", "a3"]


def test_pinned_items_come_first_once_with_the_highest_score() -> None:
    found = pinned_first(FOUND, ["x", "b4", "x"], 3)
    assert [(one.item, one.score) for one in found] == [("x", 9.0), ("b4", 9.0), ("a1", 9.0)]
    assert pinned_first([], ["x"], 3)[0].score == 0.0
