import random

import pytest

from reco_stream.domain.context import Context
from reco_stream.domain.retrievers.trending import Trending
from reco_stream.domain.session_index import SessionIndex
from tests.domain.random_sessions import START_MS, random_sessions

HOUR_MS = 3_600_000
NOBODY = Context((), START_MS)


def listed(trending: Trending, count: int = 500) -> list[str]:
    return [candidate.item for candidate in trending.recommend(NOBODY, count)]


def test_a_half_life_halves() -> None:
    index = SessionIndex()
    trending = Trending(index, HOUR_MS)
    index.put("s1", [("old", "view", START_MS), ("old", "view", START_MS)], START_MS)
    index.put("s2", [("new", "view", START_MS + HOUR_MS)], START_MS + HOUR_MS)
    old, new = (candidate.score for candidate in trending.recommend(NOBODY, 2))
    assert old == pytest.approx(new)


def test_landmarks_move_without_a_change_of_order() -> None:
    index = SessionIndex()
    trending = Trending(index, half_life_ms=1_000)
    for number in range(300):
        time_ms = START_MS + number * 1_500
        index.put(f"s{number}", [(f"i{number}", "view", time_ms)], time_ms)
    assert listed(trending, 20) == [f"i{number}" for number in range(299, 279, -1)]


def test_no_decay_counts_events() -> None:
    index = SessionIndex()
    trending = Trending(index, half_life_ms=None)
    index.put("s1", [("a", "view", 0), ("b", "view", 10**12), ("a", "view", 5)], 10**12)
    assert listed(trending) == ["a", "b"]


def test_removal_takes_the_counts_back() -> None:
    index = SessionIndex()
    trending = Trending(index, HOUR_MS)
    index.put("s1", [("a", "view", START_MS), ("b", "view", START_MS)], START_MS)
    index.put("s2", [("b", "view", START_MS)], START_MS)
    index.remove("s1")
    assert listed(trending) == ["b"]


def test_any_order_of_sessions_gives_the_same_list() -> None:
    sessions = random_sessions(200, 30)
    lists = []
    for seed in range(3):
        random.Random(seed).shuffle(sessions)
        index = SessionIndex()
        trending = Trending(index, HOUR_MS)
        for key, events in sessions:
            index.put(key, events, events[-1][2])
        lists.append(listed(trending))
    assert lists[0] == lists[1] == lists[2]


def test_a_half_life_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="half_life_ms is 0"):
        Trending(SessionIndex(), half_life_ms=0)
