"""Events in PostgreSQL: COPY into a partition of the day, in one transaction with the position."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from reco_stream.archive.record import Record, SinkDown
from reco_stream.storage.database import Database, DatabaseDown

_TABLE: Final = "archived_events"
_LOCK: Final = 0x7265636F_61  # one number for the partitions of that table
_COLUMNS: Final = ("topic", "partition", "offset", "arrived_at", "key", "value")
_PARTITION = re.compile(rf"{_TABLE}_(\d{{8}})")
_CLAIM: Final = (
    "INSERT INTO archive_positions VALUES ($1, $2, 0) ON CONFLICT (topic, partition) "
    "DO UPDATE SET next_offset = archive_positions.next_offset RETURNING next_offset"
)
_MOVE: Final = "UPDATE archive_positions SET next_offset = $3 WHERE topic = $1 AND partition = $2"


class DatabaseSink:
    """Keeps records in PostgreSQL."""

    name = "database"

    def __init__(self, database: Database) -> None:
        self._database = database
        self._days: set[date] = set()

    async def position(self, topic: str, partition: int) -> int | None:
        """Return the next offset, as of the last commit."""
        query = "SELECT next_offset FROM archive_positions WHERE topic = $1 AND partition = $2"
        try:
            async with self._database.connection() as connection:
                found: int | None = await connection.fetchval(query, topic, partition)
        except DatabaseDown as error:
            raise SinkDown(str(error)) from error
        return found

    async def write(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Return once they are committed. Two archivers of one partition wait for each other here."""
        try:
            async with self._database.connection() as connection:
                await self._make_days(connection, {record.day for record in records})
                async with connection.transaction():
                    next_offset = await connection.fetchval(_CLAIM, topic, partition)
                    rows = [_row(topic, partition, record) for record in records if record.offset >= next_offset]
                    if rows:
                        await connection.copy_records_to_table(_TABLE, records=rows, columns=_COLUMNS)
                        await connection.execute(_MOVE, topic, partition, records[-1].offset + 1)
        except DatabaseDown as error:
            self._days.clear()
            raise SinkDown(str(error)) from error

    async def prune(self, before: date) -> list[str]:
        """Drop the partitions of the days before."""
        query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'archived_events'::regclass"
        dropped = []
        try:
            async with self._database.connection() as connection:
                for row in await connection.fetch(query):
                    match = _PARTITION.fullmatch(row[0])
                    if match and datetime.strptime(match[1], "%Y%m%d").date() < before:
                        await connection.execute(f'DROP TABLE "{row[0]}"')
                        dropped.append(row[0])
        except DatabaseDown as error:
            raise SinkDown(str(error)) from error
        self._days.clear()
        return sorted(dropped)

    async def _make_days(self, connection: Any, days: set[date]) -> None:
        for day in sorted(days - self._days):
            name, after = f"{_TABLE}_{day:%Y%m%d}", day + timedelta(days=1)
            async with connection.transaction():
                # IF NOT EXISTS alone lets two archivers collide.
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
                # Names and dates are made here, of digits alone; parameters are not allowed in this statement.
                await connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {_TABLE} "
                    f"FOR VALUES FROM ('{day:%Y-%m-%d} 00:00:00+00') TO ('{after:%Y-%m-%d} 00:00:00+00')"
                )
            self._days.add(day)


def _row(topic: str, partition: int, record: Record) -> tuple[Any, ...]:
    arrived_at = datetime.fromtimestamp(record.arrived_ms / 1000, UTC)
    return topic, partition, record.offset, arrived_at, record.key, record.value
