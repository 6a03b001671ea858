from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.catalogue import Item
from reco_stream.catalogue.incoming import BadItem, convert_item, parse_item, patched

NOW = "2026-01-01T00:00:00.000Z"


def parse(**fields: Any) -> Item:
    return parse_item(json.dumps(fields).encode(), NOW)


def test_an_item_is_taken_as_it_was_sent() -> None:
    item = parse(item_id=7, title="Lamp", tags=["a", "a", "b"], price=9, stock=0, properties={"w": [1, {"x": None}]})
    assert item == Item(
        item_id="7",
        title="Lamp",
        tags=("a", "b"),
        price=9.0,
        stock=0,
        properties={"w": [1, {"x": None}]},
        updated_at=NOW,
    )
    assert not item.in_stock
    assert parse(item_id="x").in_stock


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "item_id"),
        ({"item_id": ""}, "item_id"),
        ({"item_id": "é" * 129}, "item_id"),
        ({"item_id": "a\0"}, "item_id"),
        ({"item_id": 1.5}, "item_id"),
        ({"item_id": "a", "colour": "red"}, "colour"),
        ({"item_id": "a", "updated_at": NOW}, "updated_at"),
        ({"item_id": "a", "price": -0.01}, "price"),
        ({"item_id": "a", "price": "9"}, "price"),
        ({"item_id": "a", "stock": -1}, "stock"),
        ({"item_id": "a", "stock": 1.5}, "stock"),
        ({"item_id": "a", "stock": 2**63}, "stock"),
        ({"item_id": "a", "title": "x\0"}, "title"),
        ({"item_id": "a", "description": "x" * 5_000_000}, "description"),
        ({"item_id": "a", "categories": "light"}, "categories"),
        ({"item_id": "a", "categories": [""]}, "categories"),
        ({"item_id": "a", "tags": ["x"] * 101}, "tags"),
        ({"item_id": "a", "tags": ["x\0"]}, "tags"),
        ({"item_id": "a", "currency": "euro"}, "currency"),
        ({"item_id": "a", "published_at": "soon"}, "published_at"),
        ({"item_id": "a", "published_at": "2026-01-01"}, "published_at"),
        ({"item_id": "a", "properties": {"x": "y\0"}}, "properties"),
        ({"item_id": "a", "properties": {"x": "y" * 20_000}}, "properties"),
        ({"item_id": "a", "properties": []}, "properties"),
        ({"item_id": "a", "hidden": "yes"}, "hidden"),
    ],
)
def test_what_is_no_item_is_refused_with_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadItem) as refused:
        parse(**fields)
    assert refused.value.field == field
    assert field in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "text",
    [b"", b"[", b"\xff", b"[]", b"1", b'{"item_id": "\\ud800"}', b'{"item_id": "a", "price": 1e999}', b"[" * 100_000],
)
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(BadItem):
        parse_item(text, NOW)


def test_a_row_of_text_is_converted() -> None:
    item = convert_item({"item_id": "a", "price": "9.5", "stock": "3", "hidden": "true"}, NOW)
    assert (item.price, item.stock, item.hidden) == (9.5, 3, True)
    with pytest.raises(BadItem, match="price"):
        convert_item({"item_id": "a", "price": "cheap"}, NOW)


def test_a_change_keeps_the_rest_and_null_empties() -> None:
    item = parse(item_id="a", title="Lamp", price=9, tags=["x"])
    assert patched(item, {"price": None, "stock": 0}, NOW) == parse(item_id="a", title="Lamp", stock=0, tags=["x"])
    for change in ({"item_id": "b"}, {"colour": 1}, {"price": -1}, {"title": "x\0"}):
        with pytest.raises(BadItem):
            patched(item, change, NOW)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_nothing_else_than_a_refusal_comes_of_anything(value: Any) -> None:
    for fields in (value, {"item_id": "a", "properties": {"x": value}}, {"item_id": "a", "title": value}):
        try:
            assert parse_item(json.dumps(fields).encode(), NOW).updated_at == NOW
        except BadItem:
            continue
