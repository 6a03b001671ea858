"""`reco replay`: an event log into Kafka."""

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reco_stream.cli.exits import EXIT_CONFIG, EXIT_UNAVAILABLE, readable_errors
from reco_stream.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reco_stream.archive.parquet import ParquetEvents
    from reco_stream.event_files import EventFile, Line, Refused
    from reco_stream.replay import ReplayReport
    from reco_stream.settings import Settings

EXIT_INCOMPLETE = 1
EXIT_BAD_INPUT = 65


def register(app: typer.Typer) -> None:
    """Adds `replay` to the command line."""
    app.command()(replay)


def replay(
    file: Annotated[
        Path,
        typer.Argument(exists=True, help=".csv or .jsonl, or either with .gz; or a Parquet archive (folder or file)."),
    ],
    speed: Annotated[str, typer.Option(help="'max', or how many times as fast as the log's own time.")] = "max",
    items: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A catalogue to send to the items topic first.")
    ] = None,
    from_line: Annotated[int, typer.Option(min=1, help="Skip the lines before this one.")] = 1,
) -> None:
    """Send an event log to Kafka.

    CSV has a header with timestamp (epoch seconds), user_id, item_id, event_type, value, session_id, in any order; all
    but item_id, event_type and one of user_id and session_id may be missing. JSON lines are as in the event contract.
    Lines that break the contract are counted and told, the rest is sent. Exit code 1 when not all of it is on Kafka.

    Example: reco replay events.csv.gz --items items.csv.gz --speed max

    Example, an archive into a new application: RECO_APP=second reco replay .reco/archive

    Example, an hour of the log in a minute: reco replay events.jsonl --speed 60
    """
    from reco_stream.event_files import FileFormatError
    from reco_stream.settings_loader import load_settings

    times = _speed(speed)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")  # retries are no news, what fails is told below
    with readable_errors():
        settings = load_settings()
    with readable_errors(settings.broker):
        try:
            report = asyncio.run(_replay(settings, file, items, times, from_line))
        except FileFormatError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(EXIT_BAD_INPUT) from None
    print_report(report, file)
    if report.error is not None:
        raise typer.Exit(EXIT_UNAVAILABLE)
    if not report.complete:
        raise typer.Exit(EXIT_INCOMPLETE)


def print_report(report: "ReplayReport", file: Path) -> None:
    """Says what became of the lines: a summary on stdout, what went wrong on stderr."""
    typer.echo(f"sent {report.sent:,} events in {report.seconds:.1f} s ({report.per_second:,.0f} events/s)")
    for reason, count in report.refused.most_common():
        example = report.examples[reason]
        typer.echo(f"refused {count:,} lines: {reason}, such as line {example.number}: {example.detail}", err=True)
    if report.error is not None:
        typer.echo(
            f"Kafka failed: {report.error}\n{report.unanswered:,} events were handed over without an answer and may be "
            f"on Kafka or not; lines after them were not sent. To go on: reco replay {file} "
            f"--from-line {report.first_unanswered} (events of later lines that were sent before count twice, "
            f"unless they have an event_id)",
            err=True,
        )


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        times = float(text)
    except ValueError:
        times = 0.0
    if not 0 < times < float("inf"):
        raise typer.BadParameter(f"found {text!r}; wanted: 'max' or a number above 0", param_hint="--speed")
    return times


async def _replay(
    settings: "Settings", file: Path, items: Path | None, speed: float | None, from_line: int
) -> "ReplayReport":
    from reco_stream.cli.topics import print_mismatches
    from reco_stream.event_files import EventFile, read_items
    from reco_stream.events import RawEvent, parse_event
    from reco_stream.replay import open_producer, replay, send_items
    from reco_stream.topics import check_topics

    mismatches = await check_topics(settings)
    if mismatches:
        print_mismatches(mismatches)
        raise typer.Exit(EXIT_CONFIG)
    rules = settings.event_rules()

    def check(event: RawEvent) -> None:
        parse_event(event, int(time.time() * 1000), rules)

    events = _archived(file) if file.is_dir() or file.suffix == ".parquet" else EventFile(file, check)
    async with open_producer(settings) as producer:
        if items is not None:
            count = await send_items(producer, settings.topic("items"), read_items(items))
            typer.echo(f"sent {count:,} items")
        with Progress(f"Sending {file.name}", events.total_bytes) as progress:

            def show(report: "ReplayReport") -> None:
                progress.update(events.bytes_read, f"{report.sent:,} events, {report.per_second:,.0f}/s")

            lines = _from(events, from_line)
            return await replay(producer, settings.topic("events"), lines, speed=speed, on_progress=show)


def _archived(path: Path) -> "ParquetEvents":
    """The events that `reco archive` wrote; ends the command when pyarrow is not installed."""
    try:
        from reco_stream.archive.parquet import ParquetEvents
    except ModuleNotFoundError:
        typer.echo("Parquet files need pyarrow; install it with: pip install 'reco-stream[archive]'", err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    return ParquetEvents(path)


def _from(events: "EventFile | ParquetEvents", first: int) -> "Iterator[Line | Refused]":
    return (line for line in events if line.number >= first)
