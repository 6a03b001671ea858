from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date

import pytest

from reco_stream.archive.database import DatabaseSink
from reco_stream.archive.record import Record, SinkDown
from reco_stream.storage.database import Database
from reco_stream.storage.migrate import migrate

DAY_MS = 86_400_000
FIRST_MS = 20_000 * DAY_MS


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(database_url, 4, 5)
    async with found.own_connection() as connection:
        await migrate(connection)
    yield found
    await found.close()


def records(first: int, last: int, arrived_ms: int = FIRST_MS) -> list[Record]:
    return [Record(offset, arrived_ms, b"k", b"v%d" % offset) for offset in range(first, last + 1)]


async def offsets(database: Database) -> list[int]:
    async with database.connection() as connection:
        return [row[0] for row in await connection.fetch('SELECT "offset" FROM archived_events ORDER BY 1')]


async def test_every_offset_is_kept_once_however_often_it_comes(database: Database) -> None:
    sinks = [DatabaseSink(database), DatabaseSink(database)]
    assert await sinks[0].position("t", 0) is None
    await asyncio.gather(*(sink.write("t", 0, records(0, 99)) for sink in sinks for _ in range(3)))
    await sinks[1].write("t", 0, [*records(50, 120), *records(121, 130, FIRST_MS + DAY_MS)])
    assert await offsets(database) == list(range(131))
    assert await sinks[0].position("t", 0) == 131
    assert await sinks[0].position("t", 1) is None


async def test_whole_days_are_dropped(database: Database) -> None:
    sink = DatabaseSink(database)
    await sink.write("t", 0, [*records(0, 4), *records(5, 6, FIRST_MS + DAY_MS)])
    assert await sink.prune(date(2024, 10, 5)) == ["archived_events_20241004"]
    assert await offsets(database) == [5, 6]
    await sink.write("t", 0, records(7, 8))  # a late record of that day makes its partition anew
    assert await offsets(database) == [5, 6, 7, 8]


async def test_a_database_that_is_away_is_said() -> None:
    sink = DatabaseSink(Database("postgresql://u:p@127.0.0.1:1/d", 2, 1))
    for work in (sink.position("t", 0), sink.write("t", 0, records(0, 1)), sink.prune(date(2024, 1, 1))):
        with pytest.raises(SinkDown):
            await work
