"""`reco verify`: does the state equal the log?"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reco_stream.cli.exits import EXIT_CONFIG, readable_errors
from reco_stream.progress import Progress

if TYPE_CHECKING:
    from reco_stream.settings import Settings
    from reco_stream.verify.verify import Report


def register(app: typer.Typer) -> None:
    """Add `verify` to the command line."""
    app.command()(verify)


def verify(
    data_dir: Annotated[
        list[Path] | None,
        typer.Option(help="Compare the stores of this RECO_DATA_DIR too; may be given again for each worker."),
    ] = None,
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Compare the published values with the rows too; true only when workers have caught up and no event "
            "arrives.",
        ),
    ] = False,
) -> None:
    """Recount the event log and compare every row of every table.

    The log is read with a consumer of its own and folded by the rules up to the position that each copy of the state
    claims; popularity and duplicates are counted a second time without the rules. Workers may run meanwhile. Give the
    same settings as the workers have.

    Exit code 0 when all rows are what the log says, 1 when some are not (the first are printed), 2 when it cannot be
    known, such as after retention has removed the log's beginning.

    Example: reco verify --data-dir .reco/data
    """
    from reco_stream.settings_loader import load_settings
    from reco_stream.topics import NoSuchTopic

    with readable_errors():
        settings = load_settings()
    with readable_errors(settings.broker):
        try:
            report = asyncio.run(_verify(settings, data_dir or [], published))
        except NoSuchTopic as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(EXIT_CONFIG) from None
    _print(report)
    raise typer.Exit(report.exit_code)


async def _verify(settings: "Settings", data_dirs: list[Path], published: bool) -> "Report":
    from reco_stream.verify.verify import verify as run

    with Progress("Verifying", 1) as progress:
        return await run(
            settings,
            data_dirs,
            published=published,
            on_progress=lambda done, total, what: progress.update(done / max(total, 1), what),
        )


def _print(report: "Report") -> None:
    for difference in report.differences:
        typer.echo(str(difference), err=True)
    if report.different > len(report.differences):
        typer.echo(f"and {report.different - len(report.differences)} more", err=True)
    for why in report.unknown:
        typer.echo(f"cannot know: {why}", err=True)
    applied = ", ".join(f"{partition}: {offset}" for partition, offset in sorted(report.applied.items()))
    verdict = f"{report.different} differences" if report.different else "no difference"
    published = f", {report.published:,} published values" if report.published else ""
    typer.echo(
        f"{verdict} in {report.rows:,} rows of {report.copies} partition copies{published}\n"
        f"{report.events:,} events folded, {report.duplicates:,} of them duplicates; {report.refused:,} records "
        f"refused, {report.skipped:,} on which a rule raised\n"
        f"applied offset of each partition: {applied}"
    )
