"""Committed changes of items onto the items topic: every one, in order per item, at least once.

One worker at a time does it, the holder of an advisory lock. Its producer is transactional: when the lock goes to
another worker, that one's first transaction fences the old producer, whose records in flight can no longer land behind
newer ones. A row leaves the outbox after Kafka has it; a crash in between sends it again, followed by all that came
later, so that the last record of an item is always its newest row.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from reco_stream import metrics
from reco_stream.domain.partitioner import partition_of
from reco_stream.storage.database import Database, DatabaseDown

log = logging.getLogger(__name__)

BATCH: Final = 1_000
IDLE_S: Final = 0.1  # between two looks for changes of other workers; our own wake us
ASIDE_S: Final = 1.0  # between two tries to get the lock
RETRY_S: Final = 1.0
_LOCK: Final = 0x7265636F_6F  # one number for the outbox of a database
_TAKE: Final = "SELECT id, item_id, value, created_at FROM item_outbox ORDER BY id LIMIT $1"
_LAG: Final = (
    "SELECT count(*) AS rows, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) AS age "
    "FROM item_outbox"
)


class Outbox:
    """Runs until cancelled; whatever is away, it waits and goes on."""

    def __init__(self, database: Database, client: Mapping[str, Any], app: str, topic: str, partitions: int) -> None:
        self._database = database
        self._client = dict(client)
        self._id = f"{app}-items-outbox"
        self._topic = topic
        self._partitions = partitions
        self._changed = asyncio.Event()
        self._measured = 0.0

    def wake(self) -> None:
        """Says that there is something to send."""
        self._changed.set()

    async def run(self) -> None:
        """Sends for as long as this worker holds the lock, and tries to get it otherwise."""
        while True:
            try:
                async with self._database.own_connection() as connection:
                    await self._compete(connection)
            except (DatabaseDown, KafkaError) as error:
                log.warning("the outbox waits: %s", error)
                await asyncio.sleep(RETRY_S)

    async def _compete(self, connection: Any) -> None:
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            await asyncio.sleep(ASIDE_S)
        producer = AIOKafkaProducer(**self._client, transactional_id=self._id, acks="all", linger_ms=2)
        try:
            await producer.start()
            while True:
                sent = await self.send_batch(connection, producer)
                await self._measure(connection)
                if sent < BATCH:
                    await self._wait()
        finally:
            await producer.stop()

    async def send_batch(self, connection: Any, producer: AIOKafkaProducer) -> int:
        """Sends the oldest changes in one transaction, then removes them; returns how many."""
        rows = await connection.fetch(_TAKE, BATCH)
        if not rows:
            return 0
        async with producer.transaction():
            sends = [
                await producer.send(
                    self._topic, row["value"], row["item_id"].encode(), partition_of(row["item_id"], self._partitions)
                )
                for row in rows
            ]
            await asyncio.gather(*sends)
        await connection.execute("DELETE FROM item_outbox WHERE id = ANY($1::bigint[])", [row["id"] for row in rows])
        return len(rows)

    async def _wait(self) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(IDLE_S):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _measure(self, connection: Any) -> None:
        if time.monotonic() - self._measured < 1:
            return
        self._measured = time.monotonic()
        row = await connection.fetchrow(_LAG)
        metrics.outbox_rows.set(row["rows"])
        metrics.outbox_lag.set(float(row["age"]))
