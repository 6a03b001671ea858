from reco_stream.evaluation.counting import Counts
from reco_stream.evaluation.log import Logged


def visits(*items: str) -> list[Logged]:
    return [Logged("s", "u", item, "view", place) for place, item in enumerate(items)]


def test_counting_a_growing_session_equals_counting_it_at_once() -> None:
    session = visits("a", "b", "a", "c")
    grown, whole = Counts(), Counts()
    for length in range(1, 5):
        grown.add(session[:length], length - 1)
    whole.add(session, 0)
    assert grown.pairs == whole.pairs
    assert grown.rules == whole.rules
    assert grown.events == whole.events == {"a": 2, "b": 1, "c": 1}
    assert grown.total == 4


def test_rules_weigh_by_distance_and_look_back_ten_steps() -> None:
    counts = Counts()
    counts.add(visits(*"abcdefghijkl"), 0)
    assert counts.rules["a"]["b"] == 1
    assert counts.rules["a"]["k"] == 0.1
    assert "l" not in counts.rules["a"]
    assert counts.pairs["a"]["l"] == 1


def test_popular_items_come_first_and_are_at_most_a_hundredth_of_the_events_behind() -> None:
    counts = Counts()
    assert counts.popular() == []
    counts.add(visits(*["b"] * 101, *["a"] * 100), 0)
    assert counts.popular() == ["b", "a"]
    counts.add(visits("a", "a"), 0)
    assert counts.popular() == ["b", "a"]
    counts.add(visits("a"), 0)
    assert counts.popular() == ["a", "b"]
