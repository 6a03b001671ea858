"""The read model equals the sum of the newest rows, whatever the order, repetition and staleness of updates."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_stream.domain.buckets import DAY_MS, HOUR_MS
from reco_stream.engine.table import MemoryRows, Table
from reco_stream.events import Event
from tables import co_view, item_model, popularity
from tables.co_view import CO_VIEW, CoViewRow, Neighbour
from tables.fold import fold_event
from tables.item_model import ItemModel
from tables.popularity import POPULARITY, PopularityRow, window
from tables.recent import RECENT, RecentRow
from tables.rules import TableRules

START_MS = 1_700_000_000_000
RULES = TableRules()
WINDOWS = ("1h", "24h", "7d", "30d", "all")
NONE: frozenset[str] = frozenset()

Version = tuple[int, int]
Update = tuple[Table[Any], int, str, bytes | None, Version, int]


class Published:
    """Partitions that fold events and publish the rows that change."""

    def __init__(self, partitions: int = 3) -> None:
        self.rows = [MemoryRows() for _ in range(partitions)]
        self.updates: list[Update] = []

    def fold(self, partition: int, event: Event) -> None:
        rows = self.rows[partition]
        before = rows.snapshot()
        fold_event(rows, event, RULES)
        for key, row in rows.snapshot().items():
            for table in (POPULARITY, CO_VIEW):
                if key[:1] == table.prefix and before.get(key) != row:
                    self.publish(table, partition, key[1:].decode(), row)

    def publish(self, table: Table[Any], partition: int, item: str, row: bytes | None, epoch: int = 1) -> None:
        version = (epoch, len(self.updates))
        self.updates.append((table, partition, item, row, version, self.rows[partition].stream_time_ms))

    def now_ms(self) -> int:
        return max(rows.stream_time_ms for rows in self.rows)


def newest(updates: list[Update]) -> dict[tuple[Table[Any], str], dict[int, Any]]:
    """Rows by table and item, and by partition, of highest version; without removed ones."""
    best: dict[tuple[Any, int, str], tuple[Version, bytes | None]] = {}
    for table, partition, item, row, version, _ in updates:
        key = (table, partition, item)
        if key not in best or version > best[key][0]:
            best[key] = (version, row)
    found: dict[tuple[Table[Any], str], dict[int, Any]] = {}
    for (table, partition, item), (_, row) in best.items():
        if row is not None:
            found.setdefault((table, item), {})[partition] = table.decode(row)
    return found


def wanted_top(updates: list[Update], name: str, now_ms: int) -> dict[str, float]:
    sums: dict[str, float] = {}
    for (table, item), rows in newest(updates).items():
        if table is POPULARITY:
            sums[item] = sum(window(row, name, now_ms).weighted for row in rows.values())
    return {item: weight for item, weight in sums.items() if weight > 1e-6}


def wanted_neighbours(updates: list[Update], item: str, now_ms: int) -> list[Neighbour]:
    rows: dict[int, CoViewRow] = newest(updates).get((CO_VIEW, item), {})
    return co_view.neighbours(co_view.merge(rows), now_ms, 100, RULES.co_view_half_life_ms, RULES.co_view_window_ms)


def model_of(updates: list[Update]) -> ItemModel:
    model = ItemModel(RULES)
    for update in updates:
        model.update(*update)
    return model


def kept(model: ItemModel) -> dict[str, tuple[list[bytes], list[bytes]]]:
    """What the model holds of each item, byte for byte."""
    return {
        item: (model._popularity.rows(number), model._co_view.rows(number)) for number, item in enumerate(model._names)
    }


def check(model: ItemModel, updates: list[Update], now_ms: int) -> None:
    """The model answers everything as the newest rows of `updates` do."""
    rows = newest(updates)
    items = {item for _, item in rows} | {update[2] for update in updates}
    for item in items:
        merged = model.popularity(item)
        parts = rows.get((POPULARITY, item))
        assert merged == (popularity.merge(parts) if parts else None)
        assert model.last_ms(item) == (max(row.last_ms for row in parts.values()) if parts else None)
        assert model.touched(item) == pytest.approx(sum(row.weighted for row in parts.values()) if parts else 0)
        step_ms = now_ms - now_ms % (RULES.co_view_half_life_ms // 4096)
        assert model.neighbours(item, now_ms, 100) == wanted_neighbours(updates, item, step_ms)
    assert len(model) == sum(1 for table, _ in rows if table is POPULARITY)
    for name in WINDOWS:
        found = model.popular(name, now_ms, 100, NONE)
        assert dict(found) == pytest.approx(wanted_top(updates, name, now_ms), abs=2e-6)
        assert found == sorted(found, key=lambda pair: (-pair[1], pair[0]))


STEPS_MS = st.one_of(st.integers(-HOUR_MS, 2 * HOUR_MS), st.sampled_from([DAY_MS, 3 * DAY_MS, 8 * DAY_MS, 31 * DAY_MS]))
STEPS = st.tuples(st.integers(0, 2), st.sampled_from("uv"), st.sampled_from("abcde"), STEPS_MS, st.integers(1, 12))


def published(steps: list[tuple[int, str, str, int, int]]) -> Published:
    source = Published()
    time_ms = START_MS
    for partition, user, item, step_ms, quarters in steps:
        time_ms = max(START_MS, time_ms + step_ms)
        source.fold(partition, Event(user, item, "view", time_ms, quarters / 4))
    return source


@settings(max_examples=60)
@given(st.lists(STEPS, max_size=12), st.data())
def test_order_and_repetition_of_updates_do_not_matter(
    steps: list[tuple[int, str, str, int, int]], data: st.DataObject
) -> None:
    source = published(steps)
    for item in data.draw(st.lists(st.sampled_from("abcde"), max_size=2)):
        source.publish(POPULARITY, 0, item, None)
        source.publish(CO_VIEW, 0, item, None)
    updates = source.updates
    shuffled = data.draw(st.permutations(updates + updates[: len(updates) // 2]))
    later_ms = data.draw(st.sampled_from([0, 90 * 60_000, 2 * DAY_MS, 40 * DAY_MS]))
    model = model_of(shuffled)
    check(model, updates, source.now_ms() + later_ms)
    assert kept(model) == kept(model_of(updates))


@settings(max_examples=40)
@given(st.lists(STEPS, min_size=1, max_size=12))
def test_questions_in_between_do_not_matter(steps: list[tuple[int, str, str, int, int]]) -> None:
    source = published(steps)
    model = ItemModel(RULES)
    now_ms = 0
    for n, update in enumerate(source.updates, start=1):
        model.update(*update)
        now_ms = max(now_ms, update[-1])
        check(model, source.updates[:n], now_ms)


def view(item: str, minutes: float = 0, weight: float = 1.0, user: str = "u") -> Event:
    return Event(user, item, "view", START_MS + int(minutes * 60_000), weight)


@pytest.fixture
def shop() -> Published:
    """Item a has weight 4, b 3, c 2, d 1; user u went from one to the next in partition 0."""
    source = Published()
    for weight, item in enumerate("dcba", start=1):
        source.fold(0, view(item, weight, weight))
    return source


def test_decoded_rows_do_as_well_as_bytes(shop: Published) -> None:
    model = ItemModel(RULES)
    for table, partition, item, row, version, stream_time_ms in shop.updates:
        assert row is not None
        model.update(table, partition, item, table.decode(row), version, stream_time_ms)
    check(model, shop.updates, shop.now_ms())
    assert model.stream_time_ms == shop.now_ms()


def test_a_lower_epoch_is_ignored_however_much_it_applied() -> None:
    model = ItemModel(RULES)
    model.update(POPULARITY, 0, "a", PopularityRow(weighted=1.0), (2, 5), START_MS)
    model.update(POPULARITY, 0, "a", PopularityRow(weighted=9.0), (1, 99), START_MS)
    model.update(POPULARITY, 0, "a", None, (2, 5), START_MS)
    merged = model.popularity("a")
    assert merged is not None
    assert merged.weighted == 1.0


def test_a_removed_row_does_not_come_back_by_an_older_one(shop: Published) -> None:
    model = model_of(shop.updates)
    model.update(POPULARITY, 0, "a", None, (2, 0), START_MS)
    model.update(*next(update for update in shop.updates if update[0] is POPULARITY and update[2] == "a"))
    assert model.popularity("a") is None
    assert model.last_ms("a") is None
    assert len(model) == 3
    assert [item for item, _ in model.popular("all", START_MS, 9, NONE)] == ["b", "c", "d"]


def test_only_tables_of_items_are_taken() -> None:
    with pytest.raises(ValueError, match="table is 'recent'; wanted: 'popularity' or 'co_view'"):
        ItemModel(RULES).update(RECENT, 0, "a", RecentRow(), (1, 1), START_MS)


def test_unknown_window_names_the_known_ones(shop: Published) -> None:
    with pytest.raises(ValueError, match="window is '2h'; wanted: one of 1h, 24h, 7d, 30d, all"):
        model_of(shop.updates).popular("2h", START_MS, 1, NONE)


def test_unknown_items_have_nothing() -> None:
    model = ItemModel(RULES)
    assert model.popularity("x") is None
    assert model.co_view("x") is None
    assert model.last_ms("x") is None
    assert model.neighbours("x", START_MS, 9) == []
    assert model.popular("all", START_MS, 9, NONE) == []
    assert len(model) == 0


def test_excluded_and_unaccepted_items_leave_room_for_the_next(shop: Published) -> None:
    model = model_of(shop.updates)
    assert model.popular("24h", shop.now_ms(), 2, NONE) == [("a", 4.0), ("b", 3.0)]
    assert model.popular("24h", shop.now_ms(), 2, {"a"}) == [("b", 3.0), ("c", 2.0)]
    assert model.popular("24h", shop.now_ms(), 2, {"b"}, lambda item: item != "a") == [("c", 2.0), ("d", 1.0)]


@pytest.mark.parametrize("window", WINDOWS)
def test_the_popular_among_some_are_those_that_a_filter_leaves(shop: Published, window: str) -> None:
    model, now_ms = model_of(shop.updates), shop.now_ms()
    for some in ({"b", "d", "nobody"}, {"a", "b", "c", "d", "e"}, set[str]()):
        found = model_of(shop.updates).popular_among(some, window, now_ms, 2)
        assert found == model.popular_among(some, window, now_ms, 2)
        assert found == model.popular(window, now_ms, 2, NONE, some.__contains__)
    with pytest.raises(ValueError, match="window is '2h'"):
        model.popular_among((), "2h", now_ms, 1)


def test_a_narrow_filter_reaches_past_the_kept_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_model, "TOP_LIST_DEPTH", 4)
    source = Published()
    for n in range(100):
        source.fold(n % 3, view(f"i{n:02d}", n, user=f"u{n}", weight=100.0 - n))
    model = model_of(source.updates)
    assert model.popular("all", source.now_ms(), 3, NONE, lambda item: item > "i96") == [
        ("i97", 3.0),
        ("i98", 2.0),
        ("i99", 1.0),
    ]
    assert len(model.popular("all", source.now_ms(), 3, NONE, lambda item: item > "i98")) == 1


def test_neighbours_decay_and_leave_the_window(shop: Published) -> None:
    model = model_of(shop.updates)
    now_ms = shop.now_ms()
    (first, *_) = model.neighbours("a", now_ms, 1)
    assert (first.item, first.count, first.last_ms) == ("b", 1, now_ms)
    assert first.weight == pytest.approx(3.0, rel=1e-3)
    assert model.neighbours("a", now_ms + 7 * DAY_MS, 1)[0].weight == pytest.approx(1.5, rel=1e-3)
    assert model.neighbours("a", now_ms + 31 * DAY_MS, 1) == []


def test_kept_neighbours_are_bounded(shop: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_model, "NEIGHBOURS_KEPT", 7)
    model = model_of(shop.updates)
    lists = [model.neighbours(item, shop.now_ms(), 9) for item in "abcdabcd"]
    assert [len(found) for found in lists] == [3] * 8
    assert lists[:4] == lists[4:]
    assert sum(len(merged.found) for merged in model._merged.values()) <= 7


@pytest.fixture
def clocked() -> tuple[ItemModel, list[float]]:
    """A model with a clock that tests set."""
    now_s = [100.0]
    return ItemModel(RULES, clock=lambda: now_s[0]), now_s


@pytest.mark.parametrize(
    ("kept_s", "ask"),
    [
        (item_model.TOP_LIST_S, lambda model: model.popular("24h", START_MS, 9, NONE)),
        (item_model.NEIGHBOURS_S, lambda model: model.neighbours("a", START_MS, 9)),
    ],
    ids=["top list", "neighbours"],
)
def test_with_a_clock_answers_are_kept_for_a_while(
    kept_s: float, ask: Callable[[ItemModel], Any], clocked: tuple[ItemModel, list[float]]
) -> None:
    model, now_s = clocked
    source = Published()
    for n, item in enumerate("ab"):
        source.fold(0, view(item, n))
    for update in source.updates:
        model.update(*update)
    first = ask(model)
    source.fold(0, view("c", 2, weight=9.0))
    for update in source.updates:
        model.update(*update)
    now_s[0] += kept_s * 0.9
    assert ask(model) == first
    now_s[0] += kept_s * 0.2
    assert ask(model) == ask(model_of(source.updates))
    assert ask(model) != first


def test_bytes_that_are_no_row_are_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        ItemModel(RULES).update(POPULARITY, 0, "a", b"\xc1", (1, 1), START_MS)
