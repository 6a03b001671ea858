"""A migrated database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from reco_stream.storage.database import Database
from reco_stream.storage.migrate import migrate


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool on an empty, migrated database of the test's own."""
    found = Database(database_url, 8, 5)
    async with found.own_connection() as connection:
        await migrate(connection)
    yield found
    await found.close()
