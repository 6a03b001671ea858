"""`reco items import`: a catalogue file into the catalogue."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from reco_stream.cli.exits import EXIT_UNAVAILABLE, readable_errors

if TYPE_CHECKING:
    from reco_stream.item_import import ImportReport
    from reco_stream.settings import Settings

EXIT_INCOMPLETE: Final = 1
EXIT_BAD_INPUT: Final = 65
_SHOWN: Final = 20

items_app = typer.Typer(no_args_is_help=True, help="The catalogue.")


def register(app: typer.Typer) -> None:
    """Adds `items` to the command line."""
    app.add_typer(items_app, name="items")


@items_app.callback()
def _group() -> None:
    """The catalogue."""


@items_app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=".csv or .jsonl, or either with .gz.")],
    rejected: Annotated[Path | None, typer.Option(help="Write all refused rows here (at most 1,000).")] = None,
) -> None:
    """Add or replace the items of a file.

    CSV has a header with item_id, and any of title, description, categories and tags (separated by "|"), price,
    currency, stock, published_at, properties (JSON), hidden. JSON lines have the same names. Rows that are no items are
    told with their line number, the rest is taken. With RECO_DATABASE_URL the items go to PostgreSQL, from where a
    worker sends them to the items topic; without it they go to the topic. Exit code 1 when a row was refused.

    Example: reco items import items.csv.gz
    """
    from reco_stream.catalogue.writer import WritesUnavailable
    from reco_stream.event_files import FileFormatError
    from reco_stream.settings_loader import load_settings

    with readable_errors():
        settings = load_settings()
    began = time.monotonic()
    with readable_errors(settings.broker):
        try:
            report = asyncio.run(_import(settings, file))
        except FileFormatError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(EXIT_BAD_INPUT) from None
        except WritesUnavailable as error:
            typer.echo(f"{error}; importing the file again is safe", err=True)
            raise typer.Exit(EXIT_UNAVAILABLE) from None
    seconds = max(time.monotonic() - began, 1e-9)
    rate = f"{report.accepted / seconds:,.0f} items/s"
    typer.echo(f"imported {report.accepted:,} items in {seconds:.1f} s ({rate}), refused {report.rejected:,} rows")
    _tell(report, rejected)
    if report.rejected:
        raise typer.Exit(EXIT_INCOMPLETE)


def _tell(report: "ImportReport", rejected: Path | None) -> None:
    lines = [f"line {row.line}: {row.field or 'row'}: {row.message}" for row in report.bad]
    for line in lines[:_SHOWN]:
        typer.echo(line, err=True)
    if report.rejected > _SHOWN:
        more = f"; all of them: {rejected}" if rejected else "; --rejected FILE lists more"
        typer.echo(f"and {report.rejected - _SHOWN:,} more rows{more}", err=True)
    if rejected is not None:
        rejected.write_text("".join(f"{line}\n" for line in lines))


async def _import(settings: "Settings", file: Path) -> "ImportReport":
    from datetime import UTC, datetime

    from reco_stream.item_import import import_items, open_writer
    from reco_stream.progress import Progress

    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    async with open_writer(settings) as writer:
        with Progress(f"Importing {file.name}", file.stat().st_size) as progress:

            def show(report: "ImportReport", read: int) -> None:
                progress.update(read, f"{report.accepted:,} items")

            return await import_items(writer, file, now, show)
