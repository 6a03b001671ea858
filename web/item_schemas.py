"""Bodies of the catalogue. What can be said of an item is in reco_stream/catalogue/incoming.py."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from reco_stream.catalogue import Item
from web.schemas import ErrorDetail


class ItemBody(msgspec.Struct):
    """An item of the catalogue; null and empty where nothing is known."""

    item_id: str
    title: str | None
    description: str | None
    categories: list[str]
    tags: list[str]
    price: float | None
    currency: str | None
    stock: int | None
    published_at: str | None
    properties: dict[str, Any]
    hidden: bool
    updated_at: str | None


class ItemResult(msgspec.Struct):
    """What became of one item of a request. accepted: durable. rejected: no item, sending it again will not help."""

    index: int
    item_id: str | None
    status: Literal["accepted", "rejected"]
    error: ErrorDetail | UnsetType = UNSET


class ItemsAnswer(msgspec.Struct):
    """Counts of what became of the items, and one result an item, in the order of the request."""

    accepted: int
    rejected: int
    results: list[ItemResult]


class ItemsRefused(msgspec.Struct):
    """No item was accepted: the error, and (when items could be told apart) the results as in a success."""

    error: ErrorDetail
    accepted: int = 0
    rejected: int = 0
    results: list[ItemResult] = []


class ItemPage(msgspec.Struct):
    """Items by id; `cursor` is what to send for the next page, null at the end."""

    items: list[ItemBody]
    cursor: str | None


class Deleted(msgspec.Struct):
    """The item is gone from the catalogue, and is not recommended any more."""

    item_id: str
    status: Literal["deleted"]


def body_of(item: Item) -> ItemBody:
    """Returns the item as an answer shows it."""
    return ItemBody(
        item_id=item.item_id,
        title=item.title,
        description=item.description,
        categories=list(item.categories),
        tags=list(item.tags),
        price=item.price,
        currency=item.currency,
        stock=item.stock,
        published_at=item.published_at,
        properties=item.properties,
        hidden=item.hidden,
        updated_at=item.updated_at,
    )
