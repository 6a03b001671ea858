"""The fused ranker as the web views use it: filters, filling up, explanations."""

from collections.abc import Sequence, Set

from reco_stream.domain.fusion_ranker import FusionRanker
from reco_stream.domain.ranker import Query, Ranking, Reason, RecentItem, Scored
from reco_stream.domain.recommender import Recommender

NOW_MS = 1_700_000_000_000
GAP_MS = 1_800_000


class Popular:
    """A ranker that knows three popular items, and keeps every query."""

    name = "popular"

    def __init__(self) -> None:
        self.queries: list[Query] = []

    def rank(self, query: Query) -> Ranking:
        self.queries.append(query)
        accept = query.accept or (lambda _: True)
        items = [item for item in ("top1", "top2", "a") if item not in query.hidden and accept(item)]
        return Ranking([Scored(item, 0.9, Reason("popular", window="24h"), {}) for item in items[: query.count]])


def ranker(sessions: Sequence[Sequence[str]]) -> FusionRanker:
    recommender = Recommender()
    for number, items in enumerate(sessions):
        visits = [(item, "view", NOW_MS - 60_000 + place) for place, item in enumerate(items)]
        recommender.update_session(f"s{number}", visits, NOW_MS - 50_000)
    return FusionRanker(recommender, Popular(), GAP_MS)


def seen(*items: str) -> list[RecentItem]:
    return [RecentItem(item, 1.0, NOW_MS - number) for number, item in enumerate(items)]


def ask(one: FusionRanker, *items: str, count: int = 3, hidden: Set[str] = frozenset(), **more: object) -> list[str]:
    query = Query(seen(*items), count, NOW_MS, frozenset(hidden), exclude_seen=True, **more)  # type: ignore[arg-type]
    return [scored.item for scored in one.rank(query).items]


def test_sessions_come_first_and_popular_items_fill_up() -> None:
    one = ranker([["a", "b"], ["a", "b"], ["a", "c"]])
    assert ask(one, "a", count=4) == ["b", "c", "top1", "top2"]


def test_nobody_gets_the_answer_of_the_filler() -> None:
    one = ranker([["a", "b"]])
    query = Query((), 2, NOW_MS)
    assert [scored.item for scored in one.rank(query).items] == ["top1", "top2"]


def test_hidden_and_seen_items_never_come_back() -> None:
    one = ranker([["a", "b"], ["a", "c"]])
    assert ask(one, "a", hidden={"b", "top1"}) == ["c", "top2"]


def test_filter_is_applied_before_the_list_is_cut() -> None:
    one = ranker([["a", *(f"i{number}" for number in range(20))]] * 2 + [["a", "rare"]])
    assert ask(one, "a", count=1, accept={"rare"}.__contains__) == ["rare"]


def test_scores_never_rise() -> None:
    one = ranker([["a", "b"], ["a", "b", "c"]])
    scores = [scored.score for scored in one.rank(Query(seen("a"), 5, NOW_MS, exclude_seen=True)).items]
    assert scores == sorted(scores, reverse=True)


def test_explanation_has_counts_and_ranks() -> None:
    one = ranker([["a", "b"], ["a", "b"]])
    best = one.rank(Query(seen("a"), 1, NOW_MS, exclude_seen=True, explain=True)).items[0]
    assert (best.evidence["kind"], best.evidence["item"], best.evidence["sessions"]) == ("sessions", "a", 2)
    assert best.evidence["source_ranks"]["session_knn"] == 1
    assert best.reason.words({"a": "Lamp"}.get).startswith("people who viewed Lamp then viewed this: 2 sessions")
