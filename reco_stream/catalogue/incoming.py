"""What of a request or a file is an item: checked as a whole, with the field and the reason when it is none."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from reco_stream.catalogue.item import Item, moment_ms

MAX_ID_BYTES: Final = 256
MAX_TITLE: Final = 1_000
MAX_DESCRIPTION: Final = 20_000
MAX_NAMES: Final = 100
MAX_NAME: Final = 256
MAX_PROPERTIES_BYTES: Final = 16_384
MAX_PRICE: Final = 1e12
MAX_STOCK: Final = 2**53
_SHOWN: Final = 80

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Names = Annotated[tuple[Name, ...], Meta(max_length=MAX_NAMES)]


class ItemFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What can be said of an item; a field that is missing or null is empty."""

    title: Annotated[str, Meta(max_length=MAX_TITLE)] | None = None
    description: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | None = None
    categories: Names | None = None
    tags: Names | None = None
    price: Annotated[float, Meta(ge=0, le=MAX_PRICE)] | None = None
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] | None = None
    stock: Annotated[int, Meta(ge=0, le=MAX_STOCK)] | None = None
    published_at: Annotated[str, Meta(max_length=64, description="RFC 3339 with a time zone")] | None = None
    properties: dict[str, Any] | None = None
    hidden: bool | None = None


class NewItem(ItemFields):
    """An item as it is sent; it replaces the one with the same id as a whole."""

    item_id: Annotated[str | int, Meta(description="1 to 256 bytes of UTF-8; an integer becomes its decimal text")]


class BadItem(ValueError):
    """Not an item: `field` is to blame, the message says what was found and what is wanted."""

    def __init__(self, field: str | None, message: str) -> None:
        super().__init__(message)
        self.field = field


_NEW = msgspec.json.Decoder(NewItem)
_NULLABLE: Final = frozenset(ItemFields.__struct_fields__)
_AT = re.compile(r" - at `\$\.?([A-Za-z_]+)?.*`$")
_UNKNOWN = re.compile(r"unknown field `(.*)`")


def parse_item(text: bytes, updated_at: str) -> Item:
    """Returns the item of one JSON object. Raises BadItem."""
    try:
        return checked(_NEW.decode(text), updated_at)
    except msgspec.ValidationError as error:
        raise _translated(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadItem(None, f"not JSON: {error}") from None


def convert_item(fields: Mapping[str, Any], updated_at: str) -> Item:
    """Returns the item of a CSV row, whose numbers are text. Raises BadItem."""
    try:
        return checked(msgspec.convert(fields, NewItem, strict=False), updated_at)
    except msgspec.ValidationError as error:
        raise _translated(error) from None


def patched(item: Item, change: Mapping[str, Any], updated_at: str) -> Item:
    """Returns the item with the fields of `change` in place; null empties a field. Raises BadItem."""
    for name in change:
        if name not in _NULLABLE:
            raise BadItem(name, f"{name[:_SHOWN]} is no field that can be changed, wanted: some of {_listed()}")
    fields = {name: getattr(item, name) for name in _NULLABLE}
    try:
        return checked(msgspec.convert({**fields, **change, "item_id": item.item_id}, NewItem), updated_at)
    except msgspec.ValidationError as error:
        raise _translated(error) from None


def checked(new: NewItem, updated_at: str) -> Item:
    """Returns the item, with what types cannot say checked. Raises BadItem."""
    item_id = str(new.item_id)
    _check_text("item_id", item_id)
    if not 1 <= len(item_id.encode()) <= MAX_ID_BYTES:
        raise BadItem("item_id", f"item_id has {len(item_id.encode())} bytes, wanted: 1 to {MAX_ID_BYTES}")
    for field in ("title", "description", "currency", "published_at"):
        _check_text(field, getattr(new, field) or "")
    for field in ("categories", "tags"):
        _check_text(field, "".join(getattr(new, field) or ()))
    if new.price is not None and not math.isfinite(new.price):
        raise BadItem("price", f"price is {new.price}, wanted: a finite number of 0 or more")
    if new.published_at is not None and moment_ms(new.published_at) is None:
        found = ascii(new.published_at[:_SHOWN])
        raise BadItem("published_at", f"published_at is {found}, wanted: RFC 3339 such as 2024-05-01T12:00:00Z")
    return Item(
        item_id=item_id,
        title=new.title,
        description=new.description,
        categories=_distinct(new.categories),
        tags=_distinct(new.tags),
        price=new.price,
        currency=new.currency,
        stock=new.stock,
        published_at=new.published_at,
        properties=checked_properties(new.properties or {}),
        hidden=bool(new.hidden),
        updated_at=updated_at,
    )


def _distinct(names: tuple[str, ...] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names or ()))


def checked_properties(properties: dict[str, Any]) -> dict[str, Any]:
    """Returns what may be kept as JSON. Raises BadItem for what is too long, or what PostgreSQL cannot hold."""
    try:
        encoded = msgspec.json.encode(properties)
    except (UnicodeEncodeError, RecursionError, msgspec.MsgspecError):
        raise BadItem("properties", "properties hold text that is no UTF-8, or are nested too deep") from None
    if len(encoded) > MAX_PROPERTIES_BYTES:
        raise BadItem("properties", f"properties have {len(encoded)} bytes of JSON, wanted: {MAX_PROPERTIES_BYTES}")
    if b"\\u0000" in encoded:
        raise BadItem("properties", "properties hold a NUL character, wanted: none")
    return properties


def _check_text(field: str, text: str) -> None:
    if "\0" in text:
        raise BadItem(field, f"{field} holds a NUL character, wanted: none")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadItem(field, f"{field} holds half of a surrogate pair, wanted: UTF-8") from None


def _translated(error: msgspec.ValidationError) -> BadItem:
    """Returns msgspec's complaint with the field to blame."""
    message = str(error)
    where = _AT.search(message)
    unknown = _UNKNOWN.search(message)
    missing = re.search(r"missing required field `(\w+)`", message)
    found = unknown or missing
    field = found[1][:_SHOWN] if found else where[1] if where else None
    words = _AT.sub("", message)
    if unknown:
        words = f"{field!a} is no field of an item, wanted: item_id and some of {_listed()}"
    return BadItem(field, words if field is None or field in words else f"{field}: {words}")


def _listed() -> str:
    return ", ".join(ItemFields.__struct_fields__)
