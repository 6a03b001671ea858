"""`reco archive run` and `reco archive prune`."""

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from reco_stream.cli.exits import EXIT_CONFIG, EXIT_UNAVAILABLE, readable_errors

if TYPE_CHECKING:
    from reco_stream.archive.record import Sink
    from reco_stream.settings import Settings

To = Annotated[
    Literal["database", "parquet", "both"] | None,
    typer.Option(help="Where to; default: the database of RECO_DATABASE_URL if set, else Parquet files."),
]
archive_app = typer.Typer(no_args_is_help=True, help="A durable copy of the events.")


def register(app: typer.Typer) -> None:
    """Adds `archive` to the command line."""
    app.add_typer(archive_app, name="archive")


@archive_app.command()
def run(
    to: To = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Serve /metrics on this port of the loopback.")
    ] = None,
) -> None:
    """Copy events from Kafka until SIGTERM or Ctrl-C; any number of these share the partitions.

    Each record is kept once, whatever crashes. While the database is away, nothing is lost: the archiver waits.

    Example: reco archive run --to parquet --metrics-port 9464
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    settings = _settings()
    if metrics_port is not None:
        from prometheus_client import start_http_server

        from reco_stream.metrics import REGISTRY

        start_http_server(metrics_port, "127.0.0.1", REGISTRY)
    with readable_errors(settings.broker):
        asyncio.run(_run(settings, to))


@archive_app.command()
def prune(days: Annotated[int, typer.Option(min=1, help="Keep so many days, today included.")], to: To = None) -> None:
    """Remove whole days of the archive.

    Example: reco archive prune --days 90
    """
    from datetime import UTC, datetime, timedelta

    from reco_stream.archive.record import SinkDown

    settings = _settings()
    before = datetime.now(UTC).date() - timedelta(days=days - 1)

    async def work() -> list[str]:
        return [removed for sink in _sinks(settings, to) for removed in await sink.prune(before)]

    try:
        removed = asyncio.run(work())
    except SinkDown as error:
        typer.echo(f"PostgreSQL does not answer: {error}", err=True)
        raise typer.Exit(EXIT_UNAVAILABLE) from None
    for name in removed:
        typer.echo(f"removed {name}")
    typer.echo(f"{len(removed)} days before {before} removed")


def _settings() -> "Settings":
    from reco_stream.settings_loader import load_settings

    with readable_errors():
        return load_settings()


def _sinks(settings: "Settings", to: str | None) -> "list[Sink]":
    from reco_stream.storage.database import Database

    database = Database.of(settings)
    chosen = to or ("database" if database is not None else "parquet")
    sinks: list[Sink] = []
    if chosen in ("database", "both"):
        from reco_stream.archive.database import DatabaseSink

        if database is None:
            typer.echo("RECO_DATABASE_URL is not set; wanted: postgresql://user:password@host:port/database", err=True)
            raise typer.Exit(EXIT_CONFIG)
        sinks.append(DatabaseSink(database))
    if chosen in ("parquet", "both"):
        try:
            from reco_stream.archive.parquet import ParquetSink
        except ModuleNotFoundError:
            typer.echo("Parquet files need pyarrow; install it with: pip install 'reco-stream[archive]'", err=True)
            raise typer.Exit(EXIT_CONFIG) from None
        sinks.append(ParquetSink(settings.archive_dir))
    return sinks


async def _run(settings: "Settings", to: str | None) -> None:
    import signal

    from reco_stream.archive.archiver import Archiver
    from reco_stream.kafka_clients import client_kwargs

    tasks = []
    for sink in _sinks(settings, to):
        group = f"{settings.app}-archive-{sink.name}"
        flush_s = settings.archive_flush_s if sink.name == "parquet" else min(0.5, settings.archive_flush_s)
        archiver = Archiver(client_kwargs(settings), group, settings.topic("events"), sink, flush_s)
        tasks.append(asyncio.create_task(archiver.run()))
        typer.echo(f"archiving {settings.topic('events')} to {sink.name} as group {group}")
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, lambda: [task.cancel() for task in tasks])
    try:
        await asyncio.gather(*tasks)
    except asyncio.CancelledError:
        await asyncio.gather(*tasks, return_exceptions=True)
