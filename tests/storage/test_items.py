from __future__ import annotations

import asyncio

import pytest

from reco_stream.catalogue import Catalogue, Item, encode_item
from reco_stream.catalogue.incoming import BadItem
from reco_stream.catalogue.writer import WritesUnavailable
from reco_stream.storage.database import Database
from reco_stream.storage.items import StoredItems

NOW = "2026-01-01T00:00:00.123000Z"
FULL = Item(
    item_id="a'; DROP TABLE items; --",
    title='Lamp "blue" \\ $1',
    description="é\n\t",
    categories=("light", "a,b", 'x"y', "{}"),
    tags=("new",),
    price=19.99,
    currency="EUR",
    stock=3,
    published_at="2025-05-01T00:00:00Z",
    properties={"size": [1, 2.5, None], "deep": {"x": True}},
    hidden=True,
    updated_at=NOW,
)


async def outbox(database: Database) -> list[tuple[str, bytes | None]]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT item_id, value FROM item_outbox ORDER BY id")
    return [(row["item_id"], row["value"]) for row in rows]


async def test_an_item_comes_back_as_it_was_put_and_its_message_is_that_row(database: Database) -> None:
    items = StoredItems(database, Catalogue())
    await items.put([FULL, Item(item_id="b", updated_at=NOW)])
    assert await items.get(FULL.item_id) == FULL
    assert await items.get("b") == Item(item_id="b", updated_at=NOW)
    assert await items.get("c") is None
    assert sorted(await outbox(database)) == sorted(
        [(FULL.item_id, encode_item(FULL)[1]), ("b", encode_item(Item(item_id="b", updated_at=NOW))[1])]
    )


async def test_put_replaces_patch_merges_delete_removes(database: Database) -> None:
    changes = []
    items = StoredItems(database, Catalogue(), lambda: changes.append(1))
    await items.put([FULL])
    await items.put([Item(item_id=FULL.item_id, title="New", updated_at=NOW)])
    changed = await items.patch(FULL.item_id, {"stock": 0}, NOW)
    assert changed == await items.get(FULL.item_id) == Item(item_id=FULL.item_id, title="New", stock=0, updated_at=NOW)
    with pytest.raises(BadItem, match="stock"):
        await items.patch(FULL.item_id, {"stock": -1}, NOW)
    assert await items.patch("nobody", {"stock": 1}, NOW) is None
    assert await items.delete(FULL.item_id)
    assert not await items.delete(FULL.item_id)
    assert [value is None for _, value in await outbox(database)] == [False, False, False, True]
    assert len(changes) == 4


async def test_concurrent_changes_leave_messages_in_the_order_of_commits(database: Database) -> None:
    items = StoredItems(database, Catalogue())
    ids = [f"i{number}" for number in range(20)]

    async def put(turn: int) -> None:
        order = ids if turn % 2 else list(reversed(ids))
        await items.put([Item(item_id=item, stock=turn, updated_at=NOW) for item in order])

    await asyncio.gather(*map(put, range(12)), *(items.patch(ids[0], {"price": n}, NOW) for n in range(12)))
    last = dict(await outbox(database))
    for item in ids:
        committed = await items.get(item)
        assert committed is not None
        assert last[item] == encode_item(committed)[1]


async def test_while_the_database_is_away_writes_are_refused_and_reads_go_on() -> None:
    catalogue = Catalogue()
    catalogue.update("a", encode_item(Item(item_id="a", title="Lamp"))[1])
    items = StoredItems(Database("postgresql://u:p@127.0.0.1:1/d", 2, 1), catalogue)
    assert await items.get("a") == Item(item_id="a", title="Lamp")
    assert len(await items.page("", None, 5)) == 1
    for write in (items.put([FULL]), items.patch("a", {"stock": 1}, NOW), items.delete("a")):
        with pytest.raises(WritesUnavailable) as refused:
            await write
        assert refused.value.code == "database_unavailable"
