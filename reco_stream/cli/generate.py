"""`reco generate`: sample data in files."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """The form of both files."""

    CSV = "csv"
    CSV_GZ = "csv.gz"
    JSONL = "jsonl"
    JSONL_GZ = "jsonl.gz"


def register(app: typer.Typer) -> None:
    """Adds `generate` to the command line."""
    app.command()(generate)


def generate(
    folder: Annotated[Path, typer.Argument(help="Where events and items are written; made when missing.")],
    events: Annotated[int, typer.Option(min=1, help="Number of events.")] = 100_000,
    users: Annotated[int, typer.Option(min=1, help="Number of users, at most.")] = 2_000,
    items: Annotated[int, typer.Option(min=1, help="Number of items.")] = 1_000,
    days: Annotated[int, typer.Option(min=1, help="Days that the events spread over.")] = 14,
    seed: Annotated[int, typer.Option(help="The same seed makes the same bytes.")] = 7,
    end: Annotated[str, typer.Option(help="All events lie before this time, RFC 3339.")] = "2026-01-01T00:00:00Z",
    form: Annotated[Format, typer.Option("--format", help="Form of the files.")] = Format.CSV_GZ,
) -> None:
    """Write sample events and items of a made-up shop.

    Users have tastes, items are popular or rare, visits are sessions, evenings are busy: what was viewed together says
    what comes next about four times as well as what is popular.

    Example: reco generate sample --events 50000 --format csv
    """
    from reco_stream.event_files import time_ms, write_events, write_items
    from reco_stream.sample_data import SampleSize, sample_events, sample_items

    end_ms = time_ms(end)
    if end_ms is None or end_ms < days * 86_400_000:
        wanted = "RFC 3339 with a zone, such as 2026-01-01T00:00:00Z"
        raise typer.BadParameter(f"found {end!r}; wanted: {wanted}", param_hint="--end")
    size = SampleSize(events=events, users=users, items=items, days=days)
    events_file, items_file = folder / f"events.{form}", folder / f"items.{form}"
    write_events(events_file, sample_events(size, seed, end_ms))
    write_items(items_file, sample_items(size, seed, end_ms))
    typer.echo(f"{events_file}: {events:,} events over {days} days before {end}")
    typer.echo(f"{items_file}: {items:,} items")
