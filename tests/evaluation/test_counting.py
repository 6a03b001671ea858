from reco_stream.domain.context import Interaction
from reco_stream.evaluation.counting import HOUR_MS, Counts


def visits(*items: str, start_ms: int = 0) -> list[Interaction]:
    return [Interaction(item, "view", start_ms + place) for place, item in enumerate(items)]


def test_counting_a_growing_session_equals_counting_it_at_once() -> None:
    session = visits("a", "b", "a", "c")
    grown, whole = Counts(), Counts()
    for length in range(1, 5):
        grown.add(session[:length], length - 1)
    whole.add(session, 0)
    assert grown.pairs == whole.pairs
    assert grown.rules == whole.rules
    assert grown.events == whole.events == {"a": 2, "b": 1, "c": 1}


def test_rules_weigh_by_distance_and_look_back_ten_steps() -> None:
    counts = Counts()
    counts.add(visits(*"abcdefghijkl"), 0)
    assert counts.rules["a"]["b"] == 1
    assert counts.rules["a"]["k"] == 0.1
    assert "l" not in counts.rules["a"]
    assert counts.pairs["a"]["l"] == 1


def test_neighbours_are_the_most_frequent_pairs() -> None:
    counts = Counts()
    counts.add(visits("a", "b"), 0)
    counts.add(visits("a", "b", "c"), 0)
    assert [(pair.item, pair.weight) for pair in counts.neighbours("a", 0, 5)] == [("b", 2), ("c", 1)]
    assert counts.neighbours("unknown", 0, 5) == []


def test_popularity_of_a_window() -> None:
    counts = Counts()
    counts.add(visits("old", "old", "old"), 0)
    now_ms = 40 * HOUR_MS
    counts.add(visits("new", start_ms=now_ms), 0)
    assert counts.popular("24h", now_ms, 5, frozenset()) == [("new", 1)]
    assert counts.popular("all", now_ms, 5, frozenset()) == [("old", 3), ("new", 1)]
    assert counts.popular("all", now_ms, 5, {"old"}) == [("new", 1)]
    assert counts.last_ms("new") == now_ms
    assert counts.last_ms("unknown") is None
