"""Numbered SQL files, each applied once, in order, under an advisory lock, in a transaction of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

_LOCK: Final = 0x7265636F  # "reco": any number that nobody else takes

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text PRIMARY KEY,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Exception):
    """The database's schema is not one that this version can bring up to date; the message says what to do."""


@dataclass(frozen=True)
class Migration:
    """One file: its name, such as 0001_catalogue, and its SQL."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Fingerprint of the SQL."""
        return hashlib.sha256(self.sql.encode()).hexdigest()[:16]


def migrations() -> list[Migration]:
    """Return all migrations of this version, in order."""
    folder = files("reco_stream.storage") / "migrations"
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return [Migration(entry.name.removesuffix(".sql"), entry.read_text(encoding="utf-8")) for entry in found]


async def migrate(connection: Any, wanted: Sequence[Migration] | None = None) -> list[str]:
    """Apply what is missing and return the names; a second caller waits for the first and finds nothing to do.

    Raises MigrationError when an applied migration is unknown here, or is not what it was.
    """
    wanted = migrations() if wanted is None else wanted
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(_TABLE)
        missing = await _missing(connection, wanted)
        for migration in missing:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)", migration.name, migration.checksum
                )
        return [migration.name for migration in missing]
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def pending(connection: Any, wanted: Sequence[Migration] | None = None) -> list[str]:
    """Return the names of migrations that are not applied. Raises like `migrate`."""
    wanted = migrations() if wanted is None else wanted
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return [migration.name for migration in wanted]
    return [migration.name for migration in await _missing(connection, wanted)]


async def _missing(connection: Any, wanted: Sequence[Migration]) -> list[Migration]:
    applied = {row["name"]: row["checksum"] for row in await connection.fetch("SELECT * FROM schema_migrations")}
    known = {migration.name: migration for migration in wanted}
    for name, checksum in applied.items():
        if name not in known:
            raise MigrationError(f"migration {name} is applied and unknown here; run a version that knows it")
        if checksum != known[name].checksum:
            raise MigrationError(
                f"migration {name} was applied with checksum {checksum}, wanted {known[name].checksum}: the file was "
                "changed after it was applied; undo the change and add a migration with a new number"
            )
    return [migration for migration in wanted if migration.name not in applied]
