from reco_stream.domain.context import Context, Interaction
from reco_stream.domain.retrievers.history import DAY_MS, History


def test_repeated_and_recent_items_come_first() -> None:
    past = (Interaction("a", "view", 0), Interaction("b", "view", 99 * DAY_MS), Interaction("a", "view", 0))
    scores = History().scores(Context((), now_ms=99 * DAY_MS, history=past))
    assert scores == {"a": 0.2, "b": 1.0}


def test_equal_items_come_newest_first() -> None:
    past = tuple(Interaction(item, "view", 5) for item in "abc")
    assert [found.item for found in History().recommend(Context((), 5, past), 3)] == ["c", "b", "a"]
