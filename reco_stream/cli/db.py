"""`reco db migrate` and `reco db status`."""

import asyncio
from typing import TYPE_CHECKING

import typer

from reco_stream.cli.exits import EXIT_CONFIG, EXIT_UNAVAILABLE, readable_errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

db_app = typer.Typer(no_args_is_help=True, help="Bring the catalogue's PostgreSQL up to date, or compare it.")


def register(app: typer.Typer) -> None:
    """Add `db` to the command line."""
    app.add_typer(db_app, name="db")


@db_app.command()
def migrate() -> None:
    """Apply the migrations that are missing; any number of callers at once apply each of them once.

    Example: RECO_DATABASE_URL=postgresql://reco:secret@localhost/reco reco db migrate
    """
    from reco_stream.storage.migrate import migrate as apply

    applied = _run(apply)
    for name in applied:
        typer.echo(f"applied {name}")
    typer.echo("the schema is up to date")


@db_app.command()
def status() -> None:
    """List the migrations that are not applied; exit code 78 when there are any.

    Example: reco db status
    """
    from reco_stream.storage.migrate import pending

    missing = _run(pending)
    for name in missing:
        typer.echo(f"missing {name}", err=True)
    if missing:
        typer.echo("run: reco db migrate", err=True)
        raise typer.Exit(EXIT_CONFIG)
    typer.echo("the schema is up to date")


def _run(work: "Callable[[Any], Awaitable[list[str]]]") -> list[str]:
    from reco_stream.setting_checks import Problem
    from reco_stream.settings_loader import SettingsError, load_settings
    from reco_stream.storage.database import Database, DatabaseDown
    from reco_stream.storage.migrate import MigrationError

    with readable_errors():
        settings = load_settings()
        database = Database.of(settings)
        if database is None:
            wanted = "postgresql://user:password@host:port/database"
            raise SettingsError([Problem("RECO_DATABASE_URL", "not set", wanted)])

    async def run() -> list[str]:
        async with database.own_connection() as connection:
            return await work(connection)

    try:
        return asyncio.run(run())
    except DatabaseDown as error:
        typer.echo(f"PostgreSQL does not answer: {error}. Is it running, and is RECO_DATABASE_URL right?", err=True)
        raise typer.Exit(EXIT_UNAVAILABLE) from None
    except MigrationError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_CONFIG) from None
