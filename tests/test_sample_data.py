"""The sample events: deterministic, in the form that was asked for, and with something to learn in them."""

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from reco_stream.event_files import write_events, write_items
from reco_stream.events import EventRules, RawEvent, parse_event
from reco_stream.sample_data import (
    DAY_MS,
    DEFAULT_END_MS,
    HOUR_MS,
    SampleSize,
    live_events,
    sample_events,
    sample_items,
)
from reco_stream.settings import Settings

SIZE = SampleSize(events=30_000, users=500, items=400, days=7)


@pytest.fixture(scope="module")
def events() -> list[RawEvent]:
    return sample_events(SIZE, seed=1)


@pytest.fixture
def rules() -> EventRules:
    return Settings().event_rules()


def times(events: Sequence[RawEvent]) -> list[int]:
    return [int(event.timestamp or 0) for event in events]


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    size = SampleSize(events=2_000, users=50, items=60, days=3)
    for name in ("one", "two"):
        write_events(tmp_path / name / "events.csv.gz", sample_events(size, seed=5))
        write_items(tmp_path / name / "items.csv", sample_items(size, seed=5))
    for name in ("events.csv.gz", "items.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_these_very_events_are_made_on_every_machine() -> None:
    events = sample_events(SampleSize(events=1_000, users=50, items=60, days=3), seed=5)
    digest = hashlib.sha256(b"".join(map(msgspec.json.encode, events))).hexdigest()
    assert digest[:16] == "9a22bfe135ea00b4"


def test_another_seed_makes_other_events(events: list[RawEvent]) -> None:
    assert sample_events(SIZE, seed=2) != events


def test_number_order_and_range_are_as_asked_for(events: list[RawEvent]) -> None:
    assert len(events) == SIZE.events
    assert times(events) == sorted(times(events))
    assert DEFAULT_END_MS - SIZE.days * DAY_MS <= times(events)[0] < times(events)[-1] < DEFAULT_END_MS
    items = {item.item_id for item in sample_items(SIZE, seed=1)}
    assert len(items) == SIZE.items
    assert {event.item_id for event in events} <= items


def test_every_event_is_valid(events: list[RawEvent], rules: EventRules) -> None:
    parsed = [parse_event(event, DEFAULT_END_MS, rules) for event in events]
    assert {event.user[0] for event in parsed} == {"u", "~"}  # with an account and without
    assert {event.type for event in parsed} == {"view", "click", "cart", "purchase", "rating", "hide"}


def test_popularity_has_a_head_and_a_tail(events: list[RawEvent]) -> None:
    counts = [count for _, count in Counter(event.item_id for event in events).most_common()]
    assert sum(counts[:40]) > 0.25 * len(events)  # a tenth of the items
    assert len(counts) > 0.9 * SIZE.items


def test_evenings_are_busy_and_nights_quiet_whatever_the_end() -> None:
    for end_ms in (DEFAULT_END_MS, DEFAULT_END_MS + 5 * HOUR_MS + 1):
        hours = Counter(at // HOUR_MS % 24 for at in times(sample_events(SIZE, 1, end_ms)))
        assert sum(hours[hour] for hour in (18, 19, 20, 21)) > 5 * sum(hours[hour] for hour in (1, 2, 3, 4))


def test_a_session_is_one_visit(events: list[RawEvent]) -> None:
    visits: dict[object, list[RawEvent]] = defaultdict(list)
    for event in events:
        visits[event.session_id].append(event)
    for visit in visits.values():
        assert len({event.user_id for event in visit}) == 1
        moments = times(visit)
        assert all(later - earlier <= 30 * 60_000 for earlier, later in itertools.pairwise(moments))


def test_items_have_titles_categories_and_prices() -> None:
    items = sample_items(SIZE, seed=1)
    assert len({item.title for item in items}) == len(items)
    assert all(len(item.categories) == 2 and item.price and item.published_at for item in items)


def test_what_was_viewed_together_predicts_better_than_what_is_popular(events: list[RawEvent]) -> None:
    """Next item within the session, hit rate at 10: train on the first 80 % of the events, ask about the rest."""
    train, test = events[: SIZE.events * 8 // 10], events[SIZE.events * 8 // 10 :]
    together: dict[object, Counter[object]] = defaultdict(Counter)
    seen: dict[object, list[object]] = defaultdict(list)
    for event in train:
        for other in set(seen[event.session_id][-10:]) - {event.item_id}:
            together[other][event.item_id] += 1
            together[event.item_id][other] += 1
        seen[event.session_id].append(event.item_id)
    popular = {item for item, _ in Counter(event.item_id for event in train).most_common(10)}

    last: dict[object, object] = {}
    asked = co_view_hits = popular_hits = 0
    for event in test:
        before = last.get(event.session_id)
        if before is not None and before != event.item_id:
            asked += 1
            co_view_hits += event.item_id in dict(together[before].most_common(10))
            popular_hits += event.item_id in popular
        last[event.session_id] = event.item_id
    assert asked > 4_000
    assert popular_hits > 0.05 * asked  # popularity is no nonsense either
    assert co_view_hits > 2 * popular_hits


def test_live_events_go_on_without_end(rules: EventRules) -> None:
    events = list(islice(live_events(SIZE, seed=1), 2_000))
    assert all(parse_event(event, 1_000_000, rules).time_ms == 1_000_000 for event in events)
    assert len({event.session_id for event in events}) > 200
    assert len({event.session_id for event in events[:20]}) < 10  # visits go on side by side
    assert list(islice(live_events(SIZE, seed=1), 10)) == events[:10]


@pytest.mark.parametrize("name", ["events", "users", "items", "days"])
def test_a_size_below_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0; wanted: at least 1"):
        SampleSize(**{name: 0})


@pytest.mark.parametrize("size", [SampleSize(1, 1, 1, 1), SampleSize(50, 1, 3, 1), SampleSize(50, 9, 13, 2)])
def test_tiny_shops_work(size: SampleSize) -> None:
    assert len(sample_events(size, seed=3)) == size.events
