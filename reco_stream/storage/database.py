"""The pool of connections to PostgreSQL. Nothing here waits long: whoever asks gets a connection, or `DatabaseDown`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from reco_stream.settings import Settings

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 2.0

# Everything that says nothing about the statement itself: no server, a broken connection, a server that starts or
# stops, no free connection in time, a statement that took too long.
_DOWN: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the ROLLBACK of a transaction gives whose connection broke
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,  # not migrated yet
)


class DatabaseDown(Exception):
    """The database did not answer, or not in time; try again later."""


class Database:
    """One pool, opened when it is first needed and again after the database was away."""

    def __init__(self, url: str, pool_size: int, statement_timeout_s: float) -> None:
        self._url = url
        self._pool_size = pool_size
        self._timeout_s = statement_timeout_s
        self._pool: Any = None
        self._opening = asyncio.Lock()

    @classmethod
    def of(cls, settings: Settings) -> Database | None:
        """Return the database of the settings; None when there is none."""
        if settings.database_url is None:
            return None
        return cls(settings.database_url.get_secret_value(), settings.database_pool, settings.database_timeout_s)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection, for one use. Raises DatabaseDown when there is none, or when it breaks while in use."""
        try:
            pool = await self._opened()
            async with pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                yield connection
        except _DOWN as error:
            raise DatabaseDown(f"{type(error).__name__}: {error}") from error

    @asynccontextmanager
    async def own_connection(self) -> AsyncIterator[Any]:
        """A connection outside the pool, for work that takes as long as it takes. Raises DatabaseDown."""
        try:
            connection = await asyncpg.connect(self._url, timeout=CONNECT_TIMEOUT_S)
            try:
                yield connection
            finally:
                connection.terminate()
        except _DOWN as error:
            raise DatabaseDown(f"{type(error).__name__}: {error}") from error

    async def ping(self) -> None:
        """Return once the database has answered. Raises DatabaseDown."""
        async with self.connection() as connection:
            await connection.fetchval("SELECT 1")

    def in_use(self) -> tuple[int, int]:
        """Return (connections in use, connections open)."""
        if self._pool is None:
            return 0, 0
        size: int = self._pool.get_size()
        return size - self._pool.get_idle_size(), size

    async def close(self) -> None:
        """Close all connections, the ones in use included."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()

    async def _opened(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=self._pool_size,
                    timeout=CONNECT_TIMEOUT_S,
                    command_timeout=self._timeout_s + 1,  # the server gives up first, and says why
                    server_settings={
                        "application_name": "reco-stream",
                        "statement_timeout": str(int(self._timeout_s * 1000)),
                        "idle_in_transaction_session_timeout": "60000",
                    },
                )
            return self._pool
