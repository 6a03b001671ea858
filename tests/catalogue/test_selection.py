from __future__ import annotations

import random

import pytest

from reco_stream.catalogue import Catalogue, Item, encode_item
from reco_stream.catalogue.expression import BadExpression
from reco_stream.catalogue.selection import AT_ONCE, Selections, predicate
from reco_stream.domain.rules import Filter

FILTERS = [
    Filter(in_stock=True),
    Filter(price_min=20, price_max=60),
    Filter(categories=("A", "b")),
    Filter(exclude_categories=("a",), tags=("T1",)),
    Filter(exclude_tags=("t1",)),
    Filter(where="price < 30.0 && stock > 0", categories=("a",)),
]


def random_item(item_id: str, random: random.Random) -> Item:
    return Item(
        item_id=item_id,
        categories=tuple(random.sample("ABC", random.randint(0, 2))),
        tags=tuple(random.sample(["t1", "t2"], random.randint(0, 2))),
        price=random.choice([None, random.uniform(0, 100)]),
        stock=random.choice([None, 0, 5]),
    )


@pytest.mark.parametrize("wanted", FILTERS)
def test_a_selection_is_what_the_filter_says_after_any_changes(wanted: Filter) -> None:
    chance = random.Random(3)
    catalogue = Catalogue()
    selections = Selections(catalogue)
    ids = [f"i{number}" for number in range(300)]
    for turn in range(2_000):
        item = random_item(chance.choice(ids), chance)
        catalogue.update(item.item_id, None if chance.random() < 0.2 else encode_item(item)[1])
        if turn == 700:
            selections.get(wanted)
    passes = predicate(wanted)
    selection = selections.get(wanted)
    expected = {item for item in catalogue if passes(catalogue[item])}
    assert selection.complete
    assert selection.items == selection.pool == expected
    assert 0 < len(expected) < len(catalogue)
    assert all(selection.accepts(item) == (item in expected) for item in ids)


def test_a_big_catalogue_is_tried_in_slices_and_answers_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reco_stream.catalogue.selection.SMALL", 2_000)
    catalogue = Catalogue()
    for number in range(3 * AT_ONCE):
        item = Item(item_id=f"i{number}", stock=number % 2)
        catalogue.update(item.item_id, encode_item(item)[1])
    selections = Selections(catalogue)
    selection = selections.get(Filter(in_stock=True))
    assert not selection.complete
    assert selection.is_wide
    assert selection.pool is None
    assert selection.accepts(f"i{3 * AT_ONCE - 1}")
    assert not selection.accepts(f"i{3 * AT_ONCE - 2}")
    assert not any(selection.accepts("i0") for _ in range(AT_ONCE))
    assert not selection.accepts(f"i{3 * AT_ONCE - 1}")  # no time is left for it
    catalogue.update("i1", None)
    while selections.advance():
        pass
    selection = selections.get(Filter(in_stock=True))
    assert selection.complete
    assert len(selection.items) == 3 * AT_ONCE // 2 - 1
    assert selection.pool is None


def filled(count: int) -> Catalogue:
    catalogue = Catalogue()
    for number in range(count):
        tags = ("rare",) if number % 1_000 == 999 else ()
        item = Item(item_id=f"i{number}", tags=tags, categories=(f"c{number % 10}",), price=float(number))
        catalogue.update(item.item_id, encode_item(item)[1])
    return catalogue


def test_wanted_tags_and_categories_are_found_at_once_in_a_big_catalogue() -> None:
    catalogue = filled(4 * AT_ONCE)
    selections = Selections(catalogue)
    for wanted, found in (
        (Filter(tags=("Rare",)), 8),
        (Filter(tags=("rare",), categories=("c9",)), 8),
        (Filter(tags=("rare",), categories=("c1",)), 0),
        (Filter(categories=("c1",)), 800),
        (Filter(tags=("none",)), 0),
    ):
        selection = selections.get(wanted)
        assert (selection.complete, len(selection.items)) == (True, found)


def test_a_narrow_filter_is_known_as_such_before_everything_is_tried() -> None:
    selection = Selections(filled(4 * AT_ONCE)).get(Filter(price_max=99))
    assert (selection.complete, selection.is_wide) == (False, False)
    assert selection.pool == {f"i{number}" for number in range(100)}


def test_a_changed_item_is_tried_again_before_the_next_answer() -> None:
    catalogue = filled(10)
    selections = Selections(catalogue)
    cheap = selections.get(Filter(price_max=4))
    assert cheap.items == {"i0", "i1", "i2", "i3", "i4"}
    catalogue.update("i0", encode_item(Item(item_id="i0", price=9.0))[1])
    catalogue.update("i9", encode_item(Item(item_id="i9", price=1.0))[1])
    assert not cheap.complete
    assert (cheap.accepts("i0"), cheap.accepts("i9"), cheap.accepts("i1"), cheap.accepts("i8")) == (0, 1, 1, 0)
    assert selections.get(Filter(price_max=4)).items == {"i1", "i2", "i3", "i4", "i9"}


def test_a_filter_that_nobody_asks_for_is_forgotten_during_many_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reco_stream.catalogue.selection.MOST_CHANGED", 5)
    catalogue = filled(10)
    selections = Selections(catalogue)
    first = selections.get(Filter(price_max=4))
    for number in range(10):
        catalogue.update(f"i{number}", encode_item(Item(item_id=f"i{number}", price=1.0))[1])
    again = selections.get(Filter(price_max=4))
    assert again is not first
    assert len(again.items) == 10


def test_a_bad_expression_is_refused() -> None:
    with pytest.raises(BadExpression):
        Selections(Catalogue()).get(Filter(where="nonsense"))
