"""The contract of every retriever."""

import random
from collections.abc import Callable

import pytest

from reco_stream.domain.context import Context, Interaction
from reco_stream.domain.retrievers.base import Retriever
from reco_stream.domain.retrievers.co_view import CoView
from reco_stream.domain.retrievers.history import History
from reco_stream.domain.retrievers.kernel import CO_VIEW, RULES, SEQUENCE, SESSION_KNN, KernelRetriever
from reco_stream.domain.retrievers.transitive import Transitive
from reco_stream.domain.retrievers.trending import Trending
from reco_stream.domain.retrievers.vmis import VmisKnn
from reco_stream.domain.retrievers.vstan import STAN, VSTAN, Vstan
from reco_stream.domain.session_index import SessionIndex
from tests.domain.random_sessions import START_MS, Session, random_sessions

NOW_MS = START_MS + 10**8
Make = Callable[[list[tuple[str, Session]]], Retriever]


def trending(sessions: list[tuple[str, Session]]) -> Retriever:
    index = SessionIndex()
    found = Trending(index, half_life_ms=3_600_000)
    for key, events in sessions:
        index.put(key, events, events[-1][2])
    return found


def over_index(make: Callable[[SessionIndex], Retriever]) -> Make:
    def made(sessions: list[tuple[str, Session]]) -> Retriever:
        index = SessionIndex()
        for key, events in sessions:
            index.put(key, events, events[-1][2])
        return make(index)

    return made


RETRIEVERS: dict[str, Make] = {
    "session_knn": over_index(lambda index: KernelRetriever(index, "session_knn", SESSION_KNN)),
    "sequence": over_index(lambda index: KernelRetriever(index, "sequence", SEQUENCE)),
    "rules": over_index(lambda index: KernelRetriever(index, "rules", RULES)),
    "co_view": over_index(lambda index: KernelRetriever(index, "co_view", CO_VIEW)),
    "co_view_row": over_index(lambda index: CoView(index, "row")),
    "co_view_llr": over_index(lambda index: CoView(index, "llr")),
    "vmis": over_index(VmisKnn),
    "stan": over_index(lambda index: Vstan(index, STAN)),
    "vstan": over_index(lambda index: Vstan(index, VSTAN)),
    "transitive": over_index(Transitive),
    "trending": trending,
    "history": lambda sessions: History(),
}
SESSIONS = random_sessions(300, 40, seed=3)


def context_of(*items: str) -> Context:
    past = tuple(Interaction(f"i{number}", "view", START_MS - number) for number in range(10, 30))
    return Context(tuple(Interaction(item, "view", NOW_MS) for item in items), NOW_MS, past)


@pytest.fixture(params=RETRIEVERS, ids=list(RETRIEVERS))
def make(request: pytest.FixtureRequest) -> Make:
    return RETRIEVERS[request.param]


def test_finds_something(make: Make) -> None:
    assert make(SESSIONS).recommend(context_of("i0", "i4"), count=10)


@pytest.mark.parametrize("count", [1, 3, 20])
def test_returns_at_most_count_distinct_items_by_falling_positive_score(make: Make, count: int) -> None:
    found = make(SESSIONS).recommend(context_of("i0", "i4"), count)
    assert 0 < len(found) <= count
    assert len({candidate.item for candidate in found}) == len(found)
    scores = [candidate.score for candidate in found]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


def test_a_shorter_list_is_the_head_of_a_longer_one(make: Make) -> None:
    retriever = make(SESSIONS)
    assert retriever.recommend(context_of("i0", "i4"), 5) == retriever.recommend(context_of("i0", "i4"), 20)[:5]


def test_excluded_items_never_come_back_and_others_move_up(make: Make) -> None:
    retriever = make(SESSIONS)
    everything = [candidate.item for candidate in retriever.recommend(context_of("i0", "i4"), 100)]
    excluded = set(everything[:3])
    found = [candidate.item for candidate in retriever.recommend(context_of("i0", "i4"), 5, excluded)]
    assert found == everything[3:8]


def test_knows_nothing_when_nothing_happened(make: Make) -> None:
    empty = Context((Interaction("i0", "view", NOW_MS),), NOW_MS)
    assert make([]).recommend(empty, 10) == []


def test_unknown_items_and_an_empty_context_are_no_error(make: Make) -> None:
    retriever = make(SESSIONS)
    assert retriever.recommend(context_of("nobody knows me"), 3) is not None
    assert retriever.recommend(Context((), NOW_MS), 3) is not None


def test_the_same_question_gets_the_same_answer(make: Make) -> None:
    retriever = make(SESSIONS)
    first = retriever.recommend(context_of("i0", "i4"), 20)
    retriever.recommend(context_of("i7"), 20)
    assert retriever.recommend(context_of("i0", "i4"), 20) == first


def test_the_order_in_which_sessions_came_does_not_matter(make: Make) -> None:
    shuffled = list(SESSIONS)
    random.Random(5).shuffle(shuffled)
    for items in (("i0",), ("i3", "i1"), ("i9", "i2", "i0")):
        straight = [candidate.item for candidate in make(SESSIONS).recommend(context_of(*items), 20)]
        assert [candidate.item for candidate in make(shuffled).recommend(context_of(*items), 20)] == straight
