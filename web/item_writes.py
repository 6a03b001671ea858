"""Items of a request: told apart, checked one by one, and written together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from reco_stream.catalogue import Item
from reco_stream.catalogue.incoming import BadItem, parse_item
from reco_stream.catalogue.writer import ItemWriter
from web.errors import ApiError
from web.item_schemas import ItemResult, ItemsAnswer
from web.schemas import ErrorDetail

MAX_ITEMS = 1000
# 1,000 items with their longest description would be 20 MB; so many need several requests.
MAX_BODY_BYTES = 8 * 1_048_576

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT = msgspec.json.Decoder(dict[str, Any])


def split_items(body: bytes) -> list[bytes]:
    """Returns the JSON text of each item: one object, or an array of 1 to 1,000 of them.

    Raises `ApiError`: 400 when the body is not JSON, 422 when an array is empty or too long.
    """
    text = body.lstrip(b" \t\r\n")
    try:
        if not text.startswith(b"["):
            msgspec.json.decode(text, type=msgspec.Raw)
            return [text]
        items = [bytes(raw) for raw in _ARRAY.decode(text)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        wanted = "one item, or an array of items"
        raise ApiError(400, "not_json", f"the body is not JSON: {error}; wanted: {wanted}") from None
    if not 1 <= len(items) <= MAX_ITEMS:
        raise ApiError(422, "bad_body", f"the array has {len(items)} items, wanted: 1 to {MAX_ITEMS}")
    return items


def read_change(body: bytes) -> dict[str, Any]:
    """Returns the fields to change; raises `ApiError` 400 when the body is not JSON, 422 when it is no object."""
    try:
        return _OBJECT.decode(body)
    except msgspec.ValidationError:
        raise ApiError(422, "bad_body", 'the body is no object, wanted: one such as {"stock": 3}') from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "not_json", f"the body is not JSON: {error}; wanted: one object") from None


async def submit(writer: ItemWriter, texts: Sequence[bytes], updated_at: str) -> ItemsAnswer:
    """Returns one result an item, once the good ones are durable. Raises WritesUnavailable."""
    results: list[ItemResult] = []
    good: dict[str, Item] = {}
    for index, text in enumerate(texts):
        try:
            item = parse_item(text, updated_at)
            if item.item_id in good:
                raise BadItem("item_id", f"item_id {item.item_id!a} is in the batch already, wanted: each id once")
        except BadItem as error:
            detail = ErrorDetail("bad_item", str(error), error.field)
            results.append(ItemResult(index, _id_of(text), "rejected", detail))
            continue
        good[item.item_id] = item
        results.append(ItemResult(index, item.item_id, "accepted"))
    if good:
        await writer.put(list(good.values()))
    return ItemsAnswer(len(good), len(texts) - len(good), results)


def _id_of(text: bytes) -> str | None:
    """Returns the id that a bad item names, when it is one that can be repeated."""
    try:
        found = msgspec.json.decode(text, type=dict[str, Any]).get("item_id")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return ascii(found)[1:-1][:80] if isinstance(found, str) else None
