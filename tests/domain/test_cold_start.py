from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from reco_stream.domain.cold_start import EVERY, ColdStart, mixed
from reco_stream.domain.ranker import Near, Query, Ranking, Reason, RecentItem, Scored

RECENT = [RecentItem("seen", 1.0, 0)]


class Fixed:
    name = "fixed"

    def __init__(self, count: int) -> None:
        self.items = [Scored(f"w{n}", 1 - n / 100, Reason("popular"), {}) for n in range(count)]

    def rank(self, query: Query) -> Ranking:
        return Ranking(self.items[: query.count])


class Content:
    ready = True

    def __init__(self, **cosines: float) -> None:
        self.cosines = cosines

    def near(self, seeds: Sequence[tuple[str, float]], count: int, accept: Callable[[str], bool] | None) -> list[Near]:
        assert seeds == [("seen", 1.0)]
        assert accept is not None
        return [Near(item, cosine, "seen") for item, cosine in self.cosines.items() if accept(item)]


def ranked(ranker: Fixed, content: Content, **query: Any) -> list[str]:
    cold = ColdStart(ranker, content, lambda item: item.startswith("c"))
    asked: dict[str, Any] = {"recent": RECENT, "count": 10, "now_ms": 0} | query
    return [found.item for found in cold.rank(Query(**asked)).items]


def test_each_tenth_place_goes_to_a_cold_item_that_is_near() -> None:
    content = Content(c1=0.9, warm=0.8, c2=0.7, c3=0.6, far=0.1)
    found = ranked(Fixed(30), content, count=25)
    assert [found.index("c1"), found.index("c2")] == [9, 19]
    assert len(found) == len(set(found)) == 25
    assert found[:9] == [f"w{n}" for n in range(9)]
    assert not {"c3", "warm", "far"} & set(found)
    assert EVERY == 10


def test_in_a_shorter_list_it_is_the_last_place() -> None:
    assert ranked(Fixed(20), Content(c1=0.9, c2=0.8), count=3) == ["w0", "w1", "c1"]


def test_without_near_cold_items_the_list_is_what_it_was() -> None:
    plain = [f"w{n}" for n in range(10)]
    assert ranked(Fixed(20), Content(c1=0.1, warm=0.9)) == plain
    assert ranked(Fixed(20), Content(c1=0.9), recent=[]) == plain
    assert ranked(Fixed(20), Content(c1=0.9), hidden={"c1"}) == plain
    assert ranked(Fixed(20), Content(c1=0.9), accept=lambda item: item != "c1") == plain


def test_cold_items_fill_a_short_list_and_scores_never_rise() -> None:
    near = [Near("c1", 0.9, "seen"), Near("c2", 0.8, "seen")]
    found = mixed(Fixed(2).items, near, 10)
    assert [one.item for one in found] == ["w0", "w1", "c1", "c2"]
    scores = [one.score for one in mixed(Fixed(19).items, near, 25)]
    assert scores == sorted(scores, reverse=True)
    assert found[2].reason.words({"seen": "Blue lamp"}.get) == "similar to Blue lamp"
