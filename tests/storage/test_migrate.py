from __future__ import annotations

import asyncio

import asyncpg
import pytest

from reco_stream.storage.migrate import Migration, MigrationError, migrate, migrations, pending


async def test_all_are_applied_once_however_many_callers_there_are(database_url: str) -> None:
    connections = [await asyncpg.connect(database_url) for _ in range(4)]
    names = [migration.name for migration in migrations()]
    assert await pending(connections[0]) == names
    applied = await asyncio.gather(*map(migrate, connections))
    assert sorted(applied) == [[], [], [], names]
    assert await pending(connections[0]) == []
    for connection in connections:
        await connection.close()


async def test_a_failing_migration_leaves_nothing_of_itself(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    broken = [Migration("0001_good", "CREATE TABLE a ()"), Migration("0002_bad", "CREATE TABLE b (); SELECT nonsense")]
    with pytest.raises(asyncpg.UndefinedColumnError):
        await migrate(connection, broken)
    assert await pending(connection, broken) == ["0002_bad"]
    assert await connection.fetchval("SELECT to_regclass('b')") is None
    assert await migrate(connection, [broken[0], Migration("0002_bad", "CREATE TABLE b ()")]) == ["0002_bad"]
    await connection.close()


async def test_a_changed_or_unknown_migration_is_refused(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await migrate(connection, [Migration("0001_a", "CREATE TABLE a ()")])
    with pytest.raises(MigrationError, match="changed after it was applied"):
        await pending(connection, [Migration("0001_a", "CREATE TABLE c ()")])
    with pytest.raises(MigrationError, match="0001_a is applied and unknown here"):
        await migrate(connection, [])
    await connection.close()
