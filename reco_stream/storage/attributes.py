"""What is known of users beside their events, in PostgreSQL: a segment, a language, a date of birth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from reco_stream.catalogue.writer import WritesUnavailable
from reco_stream.storage.database import Database, DatabaseDown

_PUT = """
INSERT INTO user_attributes (user_id, attributes) VALUES ($1, $2::jsonb)
ON CONFLICT (user_id) DO UPDATE SET attributes = excluded.attributes, updated_at = now()
"""


class UserAttributes:
    """Attributes by user. Every method raises WritesUnavailable when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, user: str) -> dict[str, Any]:
        """Return the attributes of a user, none for one that nobody told anything of."""
        query = "SELECT attributes::text FROM user_attributes WHERE user_id = $1"
        async with self._connection() as connection:
            found = await connection.fetchval(query, user)
        return {} if found is None else msgspec.json.decode(found, type=dict[str, Any])

    async def put(self, user: str, attributes: dict[str, Any]) -> None:
        """Return once the attributes are committed, in place of those before."""
        async with self._connection() as connection:
            await connection.execute(_PUT, user, msgspec.json.encode(attributes).decode())

    async def delete(self, user: str) -> None:
        """Return once nothing is left of them."""
        async with self._connection() as connection:
            await connection.execute("DELETE FROM user_attributes WHERE user_id = $1", user)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._database.connection() as connection:
                yield connection
        except DatabaseDown as error:
            raise WritesUnavailable(
                "database_unavailable", f"the database did not answer; try again ({error})"
            ) from error
