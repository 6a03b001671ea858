from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from reco_stream.catalogue import Catalogue, Item, encode_item
from reco_stream.kafka_clients import client_kwargs
from reco_stream.kafka_server import KafkaServer
from reco_stream.settings import Settings
from reco_stream.storage.database import Database
from reco_stream.storage.items import StoredItems
from reco_stream.storage.outbox import Outbox
from reco_stream.topics import create_topics

pytestmark = pytest.mark.kafka


async def newest(settings: Settings, wanted: int) -> tuple[dict[str, bytes | None], int]:
    """Returns the last value of each key of the items topic once there are so many keys, and the number of records."""
    last: dict[str, bytes | None] = {}
    count = 0
    consumer = AIOKafkaConsumer(**client_kwargs(settings), auto_offset_reset="earliest")
    await consumer.start()
    try:
        tps = [TopicPartition(settings.topic("items"), partition) for partition in range(settings.partitions)]
        consumer.assign(tps)
        async with asyncio.timeout(20):
            while (
                len(last) < wanted
                or count < wanted
                or any([await consumer.position(tp) < end for tp, end in (await consumer.end_offsets(tps)).items()])
            ):
                for records in (await consumer.getmany(timeout_ms=50)).values():
                    for record in records:
                        last[record.key.decode()] = record.value
                        count += 1
    finally:
        await consumer.stop()
    return last, count


async def emptied(database: Database) -> None:
    async with asyncio.timeout(20), database.connection() as connection:
        while await connection.fetchval("SELECT count(*) FROM item_outbox"):
            await asyncio.sleep(0.02)


async def test_the_topic_ends_with_the_committed_rows_whoever_sends_them(
    kafka: KafkaServer, database: Database
) -> None:
    settings = Settings(broker=kafka.bootstrap, app=f"outbox-{uuid.uuid4().hex[:8]}", partitions=3)
    await create_topics(settings)
    given: Any = (database, client_kwargs(settings), settings.app, settings.topic("items"), settings.partitions)
    first, second = Outbox(*given), Outbox(*given)
    items = StoredItems(database, Catalogue(), first.wake)
    tasks = [asyncio.create_task(first.run()), asyncio.create_task(second.run())]
    for turn in range(30):
        await items.put(
            [Item(item_id=f"i{number}", stock=turn, updated_at="2026-01-01T00:00:00Z") for number in range(5)]
        )
        if turn == 15:  # the sender dies: the other takes over
            tasks.pop(0).cancel()
    await items.delete("i0")
    await emptied(database)
    last, count = await newest(settings, 5)
    assert last.pop("i0") is None
    for item_id, value in last.items():
        committed = await items.get(item_id)
        assert committed is not None
        assert value == encode_item(committed)[1]
    assert count >= 5
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_changes_wait_in_the_database_while_nobody_sends(kafka: KafkaServer, database: Database) -> None:
    settings = Settings(broker=kafka.bootstrap, app=f"outbox-{uuid.uuid4().hex[:8]}", partitions=2)
    await create_topics(settings)
    items = StoredItems(database, Catalogue())
    await items.put([Item(item_id="a", updated_at="2026-01-01T00:00:00Z")])
    outbox = Outbox(database, client_kwargs(settings), settings.app, settings.topic("items"), 2)
    task = asyncio.create_task(outbox.run())
    await emptied(database)
    assert set((await newest(settings, 1))[0]) == {"a"}
    async with database.own_connection() as connection:  # the database drops every connection: the outbox comes back
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )
    async with asyncio.timeout(20):
        while True:
            try:
                await items.put([Item(item_id="b", updated_at="2026-01-01T00:00:00Z")])
                break
            except Exception:
                await asyncio.sleep(0.05)
    await emptied(database)
    assert set((await newest(settings, 2))[0]) == {"a", "b"}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
