"""`reco evaluate`: how good are the recommendations on a log?"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reco_stream.cli.exits import EXIT_CONFIG, readable_errors

if TYPE_CHECKING:
    from reco_stream.evaluation.log import Log
    from reco_stream.evaluation.report import Report
    from reco_stream.settings import Settings

EXIT_BAD_INPUT = 65


def register(app: typer.Typer) -> None:
    """Adds `evaluate` to the command line."""
    app.command()(evaluate)


def evaluate(
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="events.csv or sessions.csv, or with .gz; missing: Kafka."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Where the test part starts: 0.8, 3d or a time.")] = None,
    index: Annotated[str, typer.Option(help="What is known while a test session goes on: open, ended, frozen.")] = "",
    systems: Annotated[str | None, typer.Option(help="Systems to compare, separated by commas.")] = None,
    sample: Annotated[float, typer.Option(min=0.0001, max=1.0, help="Share of the queries, by a hash.")] = 1.0,
    k: Annotated[int, typer.Option(min=1, max=200, help="Length of the lists.")] = 20,
    session_gap: Annotated[
        int | None, typer.Option(min=1, help="Seconds; for logs without a session column. Default: RECO_SESSION_GAP.")
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help="Kafka: first offset (or 0:7,1:9), or a time.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Kafka: the offset or time at which to stop.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with plots to this file.")] = None,
    tune: Annotated[bool, typer.Option(help="Search constants on a validation part of the training part.")] = False,
) -> None:
    """Replay a log and compare recommenders on it.

    The log is a file, or without one the events topic of RECO_APP, between two offsets or times (at which Kafka
    appended the records). Session gap, event weights and pinned fusion weights are those of the settings.

    Without --split every event is asked for just before it is applied (prequential). With --split, or with a file that
    has its own test part, the first part is only learned from; the index then grows as each test session ends, unless
    --index says otherwise.

    Example: reco evaluate events.csv.gz --split 3d --index open --sample 0.1 --html report.html

    Example: reco evaluate --from 2026-01-01 --to 2026-01-08 --split 0.8
    """
    from reco_stream.evaluation.batch_models import MissingPackage
    from reco_stream.evaluation.log import LogError
    from reco_stream.evaluation.systems import DEFAULT_SYSTEMS, UnknownSystem
    from reco_stream.settings_loader import load_settings

    if index not in ("", "open", "ended", "frozen"):
        raise typer.BadParameter(f"is {index}, wanted open, ended or frozen", param_hint="--index")
    if file is not None and (start is not None or end is not None):
        raise typer.BadParameter("is for the events topic, wanted no FILE beside it", param_hint="--from, --to")
    names = tuple(name.strip() for name in systems.split(",")) if systems else DEFAULT_SYSTEMS
    with readable_errors():
        settings = load_settings()
    if session_gap is not None:
        settings = settings.model_copy(update={"session_gap_s": session_gap})
    try:
        title, log = _read(file, settings, start, end)
        if tune:
            _tune(log, split, sample)
            return
        report = _evaluate(title, log, settings, split, index, names, sample, k)
    except (LogError, MissingPackage, UnknownSystem) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    _show(report, json, html)


def _read(file: Path | None, settings: "Settings", start: str | None, end: str | None) -> tuple[str, "Log"]:
    from reco_stream.evaluation.log import read_log

    if file is not None:
        return file.name, read_log(file, settings.session_gap_s * 1_000)
    from reco_stream.evaluation.topic import Bound, read_topic
    from reco_stream.progress import Progress
    from reco_stream.topics import NoSuchTopic

    first = Bound.parse("--from", start) if start is not None else None
    last = Bound.parse("--to", end) if end is not None else None
    topic = settings.topic("events")
    try:
        with readable_errors(settings.broker), Progress(f"Reading {topic}", 1) as progress:
            found = asyncio.run(
                read_topic(settings, first, last, lambda done, total: progress.update(done / max(total, 1)))
            )
    except NoSuchTopic as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    typer.echo(
        f"{topic}: {found.records:,} records, {found.refused:,} of them refused, {found.duplicates:,} duplicates",
        err=True,
    )
    return topic, found.log


def _evaluate(
    title: str,
    log: "Log",
    settings: "Settings",
    split: str | None,
    index: str,
    systems: tuple[str, ...],
    sample: float,
    k: int,
) -> "Report":
    from reco_stream.evaluation.run import evaluate as run
    from reco_stream.evaluation.time_travel import Visibility
    from reco_stream.progress import Progress

    chosen: Visibility = "ended" if split is not None or log.test_from is not None else "open"
    if index in ("open", "ended", "frozen"):
        chosen = index  # type: ignore[assignment]
    with Progress("evaluate", len(log.events)) as progress:
        return run(title, log, split, chosen, systems, sample, k, settings, progress=progress.update)


def _show(report: "Report", json: Path | None, html: Path | None) -> None:
    from reco_stream.evaluation.html_report import html_report
    from reco_stream.evaluation.report import table

    typer.echo(table(report))
    if json is not None:
        json.write_text(report.json() + "\n", encoding="utf-8")
    if html is not None:
        html.write_text(html_report(report), encoding="utf-8")


def _tune(log: "Log", split: str | None, sample: float) -> None:
    from reco_stream.evaluation.tuning import tune

    for line in tune(log, split, sample):
        typer.echo(line)
