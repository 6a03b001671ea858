from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.catalogue import Catalogue, Item, encode_item

LAMP = Item(item_id="a1", title="Blue lamp", categories=("Light", "Home"), price=9.5)


def test_an_item_is_read_back_as_it_was_written() -> None:
    catalogue = Catalogue()
    key, value = encode_item(LAMP)
    assert catalogue.update(key.decode(), value)
    assert catalogue["a1"] == LAMP
    assert (catalogue.title_of("a1"), catalogue.title_of("a2")) == ("Blue lamp", None)
    assert (len(catalogue), list(catalogue)) == (1, ["a1"])


def test_categories_ignore_letter_case() -> None:
    catalogue = Catalogue()
    catalogue.update("a1", encode_item(LAMP)[1])
    assert catalogue.in_category("a1", "LIGHT")
    assert catalogue.has_category("home")
    assert not catalogue.in_category("a1", "garden")
    assert not catalogue.in_category("a2", "light")
    assert not catalogue.has_category("garden")


def test_tags_are_found_without_letter_case_while_an_item_has_them() -> None:
    catalogue = Catalogue()
    for item_id, tags in (("a", ("New", "rare")), ("b", ("new",))):
        catalogue.update(item_id, encode_item(Item(item_id=item_id, tags=tags))[1])
    assert (catalogue.tagged("NEW"), catalogue.tagged("rare")) == ({"a", "b"}, {"a"})
    catalogue.update("a", encode_item(Item(item_id="a", tags=("new",)))[1])
    catalogue.update("b", None)
    assert (catalogue.tagged("new"), catalogue.tagged("rare")) == ({"a"}, set())


def test_items_that_say_the_same_share_it() -> None:
    catalogue = Catalogue()
    for item_id in "ab":
        item = Item(item_id=item_id, categories=("light",), tags=("t",), currency="EUR")
        catalogue.update(item_id, encode_item(item)[1])
        assert catalogue[item_id] == item
    for field in ("categories", "tags", "currency", "properties"):
        assert getattr(catalogue["a"], field) is getattr(catalogue["b"], field)


def test_the_newest_record_wins_and_null_forgets() -> None:
    catalogue = Catalogue()
    catalogue.update("a1", encode_item(LAMP)[1])
    catalogue.update("a1", encode_item(Item(item_id="a1", title="Red lamp"))[1])
    assert catalogue.title_of("a1") == "Red lamp"
    assert not catalogue.has_category("light")
    assert catalogue.update("a1", None)
    assert catalogue.update("never there", None)
    assert len(catalogue) == 0


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"\xff", b'{"title": "x"}', b'{"item_id": "other"}', b'{"item_id": "a1", "price": -1}']
)
def test_a_bad_record_changes_nothing_and_is_counted(value: bytes) -> None:
    catalogue = Catalogue()
    catalogue.update("a1", encode_item(LAMP)[1])
    assert not catalogue.update("a1", value)
    assert catalogue["a1"] == LAMP
    assert catalogue.refused == 1


def test_unknown_fields_are_ignored() -> None:
    catalogue = Catalogue()
    assert catalogue.update("a1", b'{"item_id": "a1", "title": "x", "colour": "blue"}')


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.none() | st.lists(st.sampled_from(["X", "x", "Y"]), max_size=3)),
        max_size=20,
    )
)
def test_has_category_agrees_with_the_items(updates: list[tuple[str, list[str] | None]]) -> None:
    catalogue = Catalogue()
    for item_id, categories in updates:
        value = None if categories is None else encode_item(Item(item_id=item_id, categories=tuple(categories)))[1]
        catalogue.update(item_id, value)
    for category in ("x", "y"):
        assert catalogue.has_category(category) == any(catalogue.in_category(item, category) for item in catalogue)


def test_pages_hold_every_item_once_in_order_of_id() -> None:
    catalogue = Catalogue()
    for number in (5, 3, 9, 1, 7):
        catalogue.update(
            f"i{number}", encode_item(Item(item_id=f"i{number}", categories=("X",) if number > 4 else ()))[1]
        )
    assert [item.item_id for item in catalogue.page("", None, 2)] == ["i1", "i3"]
    catalogue.update("i4", encode_item(Item(item_id="i4"))[1])
    catalogue.update("i5", None)
    assert [item.item_id for item in catalogue.page("i3", None, 2)] == ["i4", "i7"]
    catalogue.update("i5", encode_item(Item(item_id="i5"))[1])
    assert [item.item_id for item in catalogue.page("i4", None, 9)] == ["i5", "i7", "i9"]
    assert [item.item_id for item in catalogue.page("i1", "x", 9)] == ["i7", "i9"]


def test_hidden_and_deleted_items_are_withheld_until_they_come_back() -> None:
    catalogue = Catalogue()
    heard: list[tuple[str, Item | None]] = []
    catalogue.listeners.append(lambda item_id, item: heard.append((item_id, item)))
    for item in (Item(item_id="a", hidden=True), Item(item_id="b")):
        catalogue.update(item.item_id, encode_item(item)[1])
    catalogue.update("b", None)
    assert catalogue.withheld == {"a", "b"}
    catalogue.update("a", encode_item(Item(item_id="a"))[1])
    assert catalogue.withheld == {"b"}
    assert heard[-2:] == [("b", None), ("a", Item(item_id="a"))]


def test_pages_after_deletions_and_returns_hold_every_item_once() -> None:
    catalogue = Catalogue()
    for turn in range(3):
        for number in range(20):
            item_id = f"i{number:02}"
            catalogue.update(item_id, encode_item(Item(item_id=item_id))[1])
            if number % 3 == turn:
                catalogue.update(item_id, None)
        assert [item.item_id for item in catalogue.page("", None, 100)] == sorted(catalogue)
    assert [item.item_id for item in catalogue.page("i04", None, 3)] == ["i06", "i07", "i09"]
