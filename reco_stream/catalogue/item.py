"""The item as it travels on the compacted topic `{app}.items`: one record an item, a null value forgets it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

ItemId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Item(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What is known of an item. Only the id is needed; unknown JSON fields are ignored, so that the form can grow.

    Without the garbage collector, which would look through all items of a large catalogue again and again: an item
    refers to nothing that refers back.
    """

    item_id: ItemId
    title: str | None = None
    description: str | None = None
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    price: Annotated[float, msgspec.Meta(ge=0)] | None = None
    currency: str | None = None
    stock: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """None: not counted, always in stock."""
    published_at: str | None = None
    """RFC 3339, as the source gave it."""
    properties: dict[str, Any] = {}
    hidden: bool = False
    """Never recommended."""
    updated_at: str | None = None
    """RFC 3339; when the change was taken."""

    @property
    def in_stock(self) -> bool:
        """Whether it can be sold: stock is not counted, or there is some."""
        return self.stock is None or self.stock > 0

    @property
    def text(self) -> str:
        """What content is compared by: title, categories, tags and description."""
        parts = (self.title or "", " ".join(self.categories), " ".join(self.tags), self.description or "")
        return "\n".join(part for part in parts if part)


_DECODER = msgspec.json.Decoder(Item)
_ENCODER = msgspec.json.Encoder()


def encode_item(item: Item) -> tuple[bytes, bytes]:
    """Returns (key, value) of the record for the items topic.

    >>> encode_item(Item(item_id="a1", title="Blue lamp", categories=("light",)))
    (b'a1', b'{"item_id":"a1","title":"Blue lamp","categories":["light"]}')
    """
    return item.item_id.encode(), _ENCODER.encode(item)


def decode_item(value: bytes) -> Item:
    """Returns the item of a record's value. Raises msgspec.DecodeError or UnicodeDecodeError."""
    return _DECODER.decode(value)


def moment_ms(text: str | None) -> int | None:
    """Returns milliseconds since 1970 of an RFC 3339 time; None when there is none, or it has no time zone.

    >>> moment_ms("1995-01-01T00:00:00Z"), moment_ms("1995-01-01"), moment_ms("soon")
    (788918400000, None, None)
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round(moment.timestamp() * 1000) if moment.tzinfo else None
