from reco_stream.domain.context import Context, Interaction


def test_a_pause_longer_than_the_gap_starts_the_session() -> None:
    events = [("a", "view", 0), ("b", "view", 100), ("c", "view", 201), ("d", "view", 301)]
    context = Context.of(events, now_ms=400, session_gap_ms=100)
    assert context.items == ["c", "d"]
    assert [event.item for event in context.history] == ["a", "b"]


def test_events_in_any_order_are_sorted_by_time() -> None:
    context = Context.of([("b", "view", 5), ("a", "view", 1)], now_ms=9, session_gap_ms=100)
    assert context.items == ["a", "b"]


def test_nothing_gives_an_empty_context() -> None:
    context = Context.of([], now_ms=9, session_gap_ms=100)
    assert context.items == []
    assert context.newest(5) == []


def test_newest_is_distinct_and_bounded() -> None:
    recent = tuple(Interaction(item, "view", time) for time, item in enumerate("abacad"))
    context = Context(recent, now_ms=9)
    assert context.newest(3) == ["d", "a", "c"]
    assert context.newest(99) == ["d", "a", "c", "b"]
