from __future__ import annotations

import pytest

from reco_stream.settings import Settings
from reco_stream.storage.database import Database, DatabaseDown


async def test_a_statement_that_takes_too_long_is_given_up(database_url: str) -> None:
    database = Database(database_url, 2, 0.2)
    with pytest.raises(DatabaseDown, match="statement timeout"):
        async with database.connection() as connection:
            await connection.execute("SELECT pg_sleep(5)")
    await database.ping()
    assert database.in_use()[0] == 0
    await database.close()


async def test_a_killed_connection_means_down_and_the_next_use_works(database_url: str) -> None:
    database = Database(database_url, 2, 5)

    async def killed() -> None:
        async with database.connection() as connection, database.own_connection() as other:
            await other.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
            await connection.fetchval("SELECT 1")

    with pytest.raises(DatabaseDown):
        await killed()
    await database.ping()
    await database.close()


async def test_no_server_means_down() -> None:
    database = Database("postgresql://u:p@127.0.0.1:1/d", 2, 5)
    with pytest.raises(DatabaseDown, match="ConnectionRefusedError"):
        await database.ping()
    await database.close()


async def test_missing_tables_mean_down_because_a_migration_will_come(database_url: str) -> None:
    database = Database(database_url, 2, 5)
    with pytest.raises(DatabaseDown, match="items"):
        async with database.connection() as connection:
            await connection.fetch("SELECT * FROM items")
    await database.close()


async def test_there_is_no_database_unless_the_settings_name_one() -> None:
    assert Database.of(Settings()) is None
    assert Database.of(Settings(database_url="postgresql://localhost/x")) is not None  # type: ignore[arg-type]
