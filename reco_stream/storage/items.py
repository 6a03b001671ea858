"""Items in PostgreSQL: a change and its message for the topic are written in one transaction, in order per item."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from reco_stream.catalogue.incoming import patched
from reco_stream.catalogue.item import Item, encode_item
from reco_stream.catalogue.local import Catalogue
from reco_stream.catalogue.writer import WritesUnavailable
from reco_stream.storage.database import Database, DatabaseDown

_FIELDS: Final = (
    "item_id text, title text, description text, categories text[], tags text[], price double precision, "
    "currency text, stock bigint, published_at text, properties jsonb, hidden boolean, updated_at timestamptz"
)
_NAMES: Final = ", ".join(field.split()[0] for field in _FIELDS.split(", "))
# Rows are locked in order of id, so that two batches never wait for each other.
_PUT: Final = (
    f"INSERT INTO items ({_NAMES}) SELECT {_NAMES} FROM jsonb_to_recordset($1::jsonb) AS x({_FIELDS}) "
    "ORDER BY item_id ON CONFLICT (item_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _NAMES.split(", ") if name != "item_id")
)
_OUT: Final = "INSERT INTO item_outbox (item_id, value) SELECT * FROM unnest($1::text[], $2::bytea[])"
_ROW: Final = f"SELECT {_NAMES.replace('properties', 'properties::text AS properties')} FROM items"


class StoredItems:
    """`ItemWriter` over PostgreSQL. Reads fall back to the local copy when the database does not answer."""

    kind = "database"

    def __init__(self, database: Database, catalogue: Catalogue, on_change: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._catalogue = catalogue
        self._on_change = on_change

    async def put(self, items: Sequence[Item]) -> None:
        """Returns once all of them are committed together."""
        rows = msgspec.json.encode([_row_of(item) for item in items]).decode()
        records = [encode_item(item) for item in sorted(items, key=lambda item: item.item_id)]
        try:
            async with self._database.connection() as connection, connection.transaction():
                await connection.execute(_PUT, rows)
                await connection.execute(_OUT, [key.decode() for key, _ in records], [value for _, value in records])
        except DatabaseDown as error:
            raise _unavailable(error) from error
        self._on_change()

    async def patch(self, item_id: str, change: Mapping[str, Any], updated_at: str) -> Item | None:
        """Returns the committed item; None when there is none."""
        try:
            async with self._database.connection() as connection, connection.transaction():
                row = await connection.fetchrow(f"{_ROW} WHERE item_id = $1 FOR UPDATE", item_id)
                if row is None:
                    return None
                item = patched(_item_of(row), change, updated_at)
                await connection.execute(_PUT, msgspec.json.encode([_row_of(item)]).decode())
                await connection.execute(_OUT, [item_id], [encode_item(item)[1]])
        except DatabaseDown as error:
            raise _unavailable(error) from error
        self._on_change()
        return item

    async def delete(self, item_id: str) -> bool:
        """Returns whether there was one; its null value follows on the topic."""
        try:
            async with self._database.connection() as connection, connection.transaction():
                gone = await connection.fetchval("DELETE FROM items WHERE item_id = $1 RETURNING item_id", item_id)
                if gone is None:
                    return False
                await connection.execute("DELETE FROM item_embeddings WHERE item_id = $1", item_id)
                await connection.execute(_OUT, [item_id], [None])
        except DatabaseDown as error:
            raise _unavailable(error) from error
        self._on_change()
        return True

    async def get(self, item_id: str) -> Item | None:
        """Returns the committed item; when the database is away, what the topic said last."""
        try:
            async with self._database.connection() as connection:
                row = await connection.fetchrow(f"{_ROW} WHERE item_id = $1", item_id)
        except DatabaseDown:
            return self._catalogue.get(item_id)
        return None if row is None else _item_of(row)

    async def page(self, after: str, category: str | None, limit: int) -> list[Item]:
        """Returns a page of the local copy, a fraction of a second behind: lists are read often and by many."""
        return self._catalogue.page(after, category, limit)


def _row_of(item: Item) -> dict[str, Any]:
    return {name: getattr(item, name) for name in Item.__struct_fields__}


def _item_of(row: Any) -> Item:
    fields = {name: value for name, value in row.items() if value is not None}
    fields["categories"], fields["tags"] = tuple(fields["categories"]), tuple(fields["tags"])
    fields["properties"] = msgspec.json.decode(fields["properties"])
    fields["updated_at"] = fields["updated_at"].isoformat().replace("+00:00", "Z")
    return Item(**fields)


def _unavailable(error: DatabaseDown) -> WritesUnavailable:
    return WritesUnavailable("database_unavailable", f"the database did not take the change; send it again ({error})")
