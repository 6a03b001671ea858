"""`reco evaluate`: how good are the recommendations on a log?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from reco_stream.evaluation.log import Log
    from reco_stream.evaluation.report import Report

EXIT_BAD_INPUT = 65


def register(app: typer.Typer) -> None:
    """Adds `evaluate` to the command line."""
    app.command()(evaluate)


def evaluate(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="events.csv or sessions.csv, or with .gz.")],
    split: Annotated[str | None, typer.Option(help="Where the test part starts: 0.8, 3d or a time.")] = None,
    index: Annotated[str, typer.Option(help="What is known while a test session goes on: open, ended, frozen.")] = "",
    systems: Annotated[str | None, typer.Option(help="Systems to compare, separated by commas.")] = None,
    sample: Annotated[float, typer.Option(min=0.0001, max=1.0, help="Share of the queries, by a hash.")] = 1.0,
    k: Annotated[int, typer.Option(min=1, max=200, help="Length of the lists.")] = 20,
    session_gap: Annotated[int, typer.Option(min=1, help="Seconds; for logs without a session column.")] = 1800,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with plots to this file.")] = None,
    tune: Annotated[bool, typer.Option(help="Search constants on a validation part of the training part.")] = False,
) -> None:
    """Replay a log and compare recommenders on it.

    Without --split every event is asked for just before it is applied (prequential). With --split, or with a file that
    has its own test part, the first part is only learned from; the index then grows as each test session ends, unless
    --index says otherwise.

    Example: reco evaluate events.csv.gz --split 3d --index open --sample 0.1 --html report.html

    Example: reco evaluate sessions.csv.gz --json figures.json
    """
    from reco_stream.evaluation.log import LogError, read_log
    from reco_stream.evaluation.systems import DEFAULT_SYSTEMS, UnknownSystem

    if index not in ("", "open", "ended", "frozen"):
        raise typer.BadParameter(f"is {index}, wanted open, ended or frozen", param_hint="--index")
    names = tuple(name.strip() for name in systems.split(",")) if systems else DEFAULT_SYSTEMS
    try:
        log = read_log(file, session_gap * 1_000)
        if tune:
            _tune(file, log, split, sample)
            return
        report = _evaluate(file, log, split, index, names, sample, k)
    except (LogError, UnknownSystem) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    _show(report, json, html)


def _evaluate(
    file: Path, log: "Log", split: str | None, index: str, systems: tuple[str, ...], sample: float, k: int
) -> "Report":
    from reco_stream.evaluation.run import evaluate as run
    from reco_stream.evaluation.time_travel import Visibility
    from reco_stream.progress import Progress

    chosen: Visibility = "ended" if split is not None or log.test_from is not None else "open"
    if index in ("open", "ended", "frozen"):
        chosen = index  # type: ignore[assignment]
    with Progress("evaluate", len(log.events)) as progress:
        return run(file.name, log, split, chosen, systems, sample, k, progress=progress.update)


def _show(report: "Report", json: Path | None, html: Path | None) -> None:
    from reco_stream.evaluation.html_report import html_report
    from reco_stream.evaluation.report import table

    typer.echo(table(report))
    if json is not None:
        json.write_text(report.json() + "\n", encoding="utf-8")
    if html is not None:
        html.write_text(html_report(report), encoding="utf-8")


def _tune(file: Path, log: "Log", split: str | None, sample: float) -> None:
    from reco_stream.evaluation.tuning import tune

    for line in tune(log, split, sample):
        typer.echo(line)
