from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.domain.blend import BadBlend, Blend, BlendWeights
from reco_stream.domain.ranker import Near as NearInContent
from reco_stream.domain.ranker import Query, Ranker, Reason, RecentItem

NOW_MS = 1_700_000_000_000
DAY_MS = 24 * 3_600_000


@dataclass(frozen=True)
class Near:
    item: str
    weight: float
    last_ms: int = NOW_MS


@dataclass
class Items:
    """An item source of plain dictionaries; `scores` are per window."""

    near: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    last: Mapping[str, int] = field(default_factory=dict)

    def neighbours(self, item: str, now_ms: int, limit: int) -> list[Near]:
        pairs = sorted(self.near.get(item, {}).items(), key=lambda pair: -pair[1])
        return [Near(other, weight) for other, weight in pairs[:limit]]

    def popular(self, window: str, now_ms: int, count: int, exclude: Set[str]) -> Sequence[tuple[str, float]]:
        pairs = sorted(self.scores.get(window, {}).items(), key=lambda pair: (-pair[1], pair[0]))
        return [pair for pair in pairs if pair[0] not in exclude][:count]

    def popular_among(self, items: Iterable[str], window: str, now_ms: int, count: int) -> Sequence[tuple[str, float]]:
        everything = self.popular(window, now_ms, 10_000, frozenset())
        return [pair for pair in everything if pair[0] in set(items)][:count]

    def last_ms(self, item: str) -> int | None:
        return self.last.get(item)


def recent(*items: str) -> list[RecentItem]:
    """Newest first."""
    return [RecentItem(item, 1.0, NOW_MS - n) for n, item in enumerate(items)]


def ids(ranker: Ranker, query: Query) -> list[str]:
    return [scored.item for scored in ranker.rank(query).items]


EVEN = BlendWeights.of({"co_view": 0.5, "popularity": 0.3, "recency": 0.2})
SHOP = Items(
    near={"a": {"b": 6.0, "c": 2.0}, "z": {"c": 1.0}},
    scores={"24h": {"p": 10.0, "q": 5.0, "b": 1.0}, "all": {"p": 10.0, "q": 5.0, "b": 1.0, "c": 1.0, "old": 0.5}},
    last={"p": NOW_MS, "q": NOW_MS - DAY_MS, "b": NOW_MS},
)


def test_the_score_is_the_weighted_sum_of_parts() -> None:
    [b, *others] = Blend(SHOP, EVEN).rank(Query(recent("a", "z"), 5, NOW_MS)).items
    votes = {"b": 6 / 8, "c": 2 / 8 + 1 / 2}  # the second newest item counts half
    assert (b.item, dict(b.parts)) == ("b", {"co_view": 1.0, "popularity": 0.1, "recency": 1.0})
    assert b.score == pytest.approx(0.5 * 1.0 + 0.3 * 0.1 + 0.2 * 1.0)
    c = next(scored for scored in others if scored.item == "c")
    assert c.parts["co_view"] == pytest.approx(votes["c"] / votes["b"])
    q = next(scored for scored in others if scored.item == "q")
    assert dict(q.parts) == {"co_view": 0.0, "popularity": 0.5, "recency": 0.5}


def test_reasons_name_what_gave_most() -> None:
    found = {scored.item: scored.reason for scored in Blend(SHOP, EVEN).rank(Query(recent("a"), 3, NOW_MS)).items}
    assert found["b"] == Reason("co_view", item="a")
    assert found["p"] == Reason("popular", window="24h")
    assert found["b"].words({"a": "Lamp"}.get) == "people who viewed Lamp also viewed this"
    assert found["p"].words() == "popular in the last 24 hours"


def test_an_unknown_user_gets_what_is_popular() -> None:
    items = Blend(SHOP, EVEN).rank(Query([], 3, NOW_MS)).items
    assert [scored.item for scored in items] == ["p", "q", "b"]
    assert {scored.reason.words() for scored in items} == {"popular"}


@pytest.mark.parametrize(("count", "words"), [(1, "24 hours"), (2, "30 days"), (3, "all time")])
def test_the_window_is_the_first_that_fills_the_list(count: int, words: str) -> None:
    quiet = Items(scores={"24h": {"y": 1.0}, "30d": {"x": 4.0, "y": 2.0}, "all": {"x": 4.0, "y": 2.0, "z": 1.0}})
    items = Blend(quiet).rank(Query(recent("unknown"), count, NOW_MS)).items
    assert [scored.parts["popularity"] for scored in items] == [1.0, 0.5, 0.25][:count]
    assert items[0].reason.words().endswith(words)


def test_the_longest_window_serves_when_none_fills_the_list() -> None:
    items = Blend(Items(scores={"7d": {"x": 4.0}})).rank(Query(recent("unknown"), 5, NOW_MS)).items
    assert [(scored.item, scored.reason) for scored in items] == [("x", Reason("popular", window="7d"))]


def test_the_list_is_filled_when_the_top_is_hidden() -> None:
    many = Items(scores={"all": {f"i{n:05d}": 20_000.0 - n for n in range(3_000)}})
    hidden = frozenset(f"i{n:05d}" for n in range(2_000))
    assert ids(Blend(many), Query([], 2, NOW_MS, hidden)) == ["i02000", "i02001"]


def test_a_list_is_filled_from_longer_windows() -> None:
    assert set(ids(Blend(SHOP, EVEN), Query(recent("a"), 5, NOW_MS))) == {"b", "c", "p", "q", "old"}


def test_hidden_items_never_come_back() -> None:
    query = Query(recent("a"), 9, NOW_MS, hidden=frozenset({"b", "p"}), exclude_seen=True)
    assert not {"b", "p"} & set(ids(Blend(SHOP, EVEN), query))


def test_seen_items_are_left_out_only_when_asked_for() -> None:
    assert "b" in ids(Blend(SHOP, EVEN), Query(recent("a", "b"), 9, NOW_MS))
    assert "b" not in ids(Blend(SHOP, EVEN), Query(recent("a", "b"), 9, NOW_MS, exclude_seen=True))


def test_seen_items_come_back_when_nothing_else_is_left() -> None:
    few = Items(scores={"24h": {"a": 1.0, "b": 1.0, "c": 1.0}})
    query = Query(recent("a", "b"), 9, NOW_MS, hidden=frozenset({"c"}), exclude_seen=True)
    ranking = Blend(few).rank(query)
    assert [scored.item for scored in ranking.items] == ["a", "b"]
    assert "seen items are shown again" in ranking.notes[-1]


def test_a_filter_is_followed_to_the_end_of_the_list() -> None:
    many = Items(scores={"all": {f"i{n:05d}": 20_000.0 - n for n in range(20_000)}})
    wanted = {"i00003", "i19999"}
    assert set(ids(Blend(many), Query([], 5, NOW_MS, accept=wanted.__contains__))) == wanted


def test_without_items_the_list_is_empty() -> None:
    assert Blend(Items()).rank(Query(recent("a"), 5, NOW_MS)).items == []


def test_ties_stay_in_the_order_of_the_source() -> None:
    same = Items(scores={"24h": dict.fromkeys("dbca", 1.0)})
    assert ids(Blend(same), Query([], 4, NOW_MS)) == ["a", "b", "c", "d"]


def test_popularity_follows_its_source() -> None:
    scores = {"24h": {"a": 2.0, "b": 1.0}}
    ranker = Blend(Items(scores=scores))
    assert ids(ranker, Query([], 2, NOW_MS)) == ["a", "b"]
    scores["24h"] = {"a": 2.0, "b": 3.0}
    assert ids(ranker, Query([], 2, NOW_MS)) == ["b", "a"]


def test_only_the_newest_ten_items_vote() -> None:
    items = [f"s{n}" for n in range(11)]
    near = {item: {f"near-{item}": 1.0} for item in items}
    found = ids(Blend(Items(near=near)), Query(recent(*items), 100, NOW_MS))
    assert found == [f"near-{item}" for item in items[:10]]


def test_the_missing_embedding_is_said_and_shared_out() -> None:
    ranking = Blend(SHOP).rank(Query([], 1, NOW_MS))
    assert ranking.notes[0].startswith("no embedding yet: its weight 0.3 is shared out, giving co_view 0.571")
    assert Blend(SHOP, EVEN).rank(Query([], 1, NOW_MS)).notes == ()


def test_a_blend_of_the_embedding_alone_still_ranks() -> None:
    weights = BlendWeights.of({"embedding": 1.0}).without_embedding()
    assert weights == {
        "co_view": pytest.approx(1 / 3),
        "popularity": pytest.approx(1 / 3),
        "recency": pytest.approx(1 / 3),
    }


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "sum to 0, wanted 1: none given"),
        ({"co_view": 0.5}, "sum to 0.5, wanted 1: co_view 0.5"),
        ({"co_view": 1.5, "recency": -0.5}, "weight of recency is -0.5"),
        ({"co_view": float("nan")}, "weight of co_view is nan"),
        ({"views": 1.0}, "unknown parts views"),
    ],
)
def test_what_is_no_blend_is_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(BadBlend, match=message):
        BlendWeights.of(weights)


names = st.sampled_from([f"i{n}" for n in range(12)])
numbers = st.dictionaries(names, st.floats(0.01, 1e6), max_size=12)


@given(
    near=st.dictionaries(names, numbers, max_size=6),
    scores=st.fixed_dictionaries({"24h": numbers, "all": numbers}),
    seen=st.lists(names, max_size=12, unique=True),
    hidden=st.frozensets(names, max_size=6),
    count=st.integers(1, 12),
    exclude_seen=st.booleans(),
)
def test_every_answer_is_sound(
    near: dict[str, dict[str, float]],
    scores: dict[str, dict[str, float]],
    seen: list[str],
    hidden: frozenset[str],
    count: int,
    exclude_seen: bool,
) -> None:
    scores = {**scores, "all": {**scores["24h"], **scores["all"]}}  # no window has items that the total has not
    source = Items(near, scores, dict.fromkeys(scores["all"], NOW_MS))
    query = Query(recent(*seen), count, NOW_MS, hidden, exclude_seen)
    items = Blend(source).rank(query).items
    found = [scored.item for scored in items]
    reachable = set(scores["all"]).union(*(near.get(item, {}) for item in seen[:10])) - hidden
    assert len(found) == len(set(found)) <= count
    assert set(found) <= reachable
    assert bool(found) == bool(reachable)
    if exclude_seen and reachable - set(seen):
        assert not set(found) & set(seen)
    assert [scored.score for scored in items] == sorted((scored.score for scored in items), reverse=True)
    for scored in items:
        assert all(0.0 <= part <= 1.0 for part in scored.parts.values())
        assert 0.0 <= scored.score <= 1.0 + 1e-9


class NearContent:
    ready = True

    def near(
        self, seeds: Sequence[tuple[str, float]], count: int, accept: Callable[[str], bool] | None
    ) -> list[NearInContent]:
        assert accept is not None
        found = [NearInContent(item, cosine, seeds[0][0]) for item, cosine in (("new", 0.9), ("b", 0.2))]
        return [near for near in found if accept(near.item)]


def test_content_brings_items_that_nobody_touched_and_its_weight_counts() -> None:
    blend = Blend(SHOP, content=NearContent())
    ranking = blend.rank(Query(recent("a"), 9, NOW_MS))
    new, both = (next(found for found in ranking.items if found.item == item) for item in ("new", "b"))
    assert new.parts["embedding"] == 0.9
    assert new.score == pytest.approx(0.3 * 0.9)
    assert new.reason == Reason("content", item="a")
    assert both.score == pytest.approx(0.4 + 0.3 * 0.2 + 0.2 * 0.1 + 0.1)
    assert both.reason == Reason("co_view", item="a")
    assert ranking.notes == ()
    assert "new" not in ids(blend, Query(recent("a"), 9, NOW_MS, hidden={"new"}))
    assert blend.rank(Query([], 2, NOW_MS)).items[0].item == "p"


def test_of_a_pool_the_popular_come_first_and_then_the_others() -> None:
    pool = frozenset(f"x{n:03}" for n in range(500)) | {"old", "c", "p"}
    found = ids(Blend(SHOP), Query((), 5, NOW_MS, hidden={"p"}, accept=pool.__contains__, pool=pool))
    assert found == ["c", "old", "x000", "x001", "x002"]
    scores = {"all": {f"x{n:03}": float(n) for n in range(500)}}
    found = ids(Blend(Items(scores=scores)), Query((), 5, NOW_MS, accept=lambda item: item < "x100", pool=pool))
    assert found == ["x099", "x098", "x097", "x096", "x095"]  # far down among the pool's popular ones
