"""`reco rebuild`."""

import time
from typing import Annotated

import typer

from reco_stream.cli.exits import EXIT_CONFIG, readable_errors

EXIT_FAILED = 70


def register(app: typer.Typer) -> None:
    """Add `rebuild` to the command line."""
    app.command()(rebuild)


def rebuild(
    to: Annotated[int | None, typer.Option(help="Generation to build; the one after RECO_STATE unless given.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes that fold.")] = 1,
    once: Annotated[bool, typer.Option("--once", help="Stop when the log is folded, instead of following it.")] = False,
) -> None:
    """Fold the log again into a fresh state, while the old one goes on answering.

    Needed after a change of weights, gaps or limits, which running state refuses. The settings of this command shape
    the new state. When it is complete, start the workers again with RECO_STATE set to the number that is printed;
    setting it back returns to the old state.

    Example: RECO_SESSION_GAP=20m reco rebuild
    """
    from reco_stream.local_workers import WorkerEnded
    from reco_stream.progress import Progress
    from reco_stream.rebuild import Rebuild
    from reco_stream.settings_loader import load_settings

    with readable_errors():
        current = load_settings()
        target = load_settings(state=current.state + 1 if to is None else to)
    if target.state == current.state:
        typer.echo(f"--to is {to}, which RECO_STATE answers from now; wanted: another generation", err=True)
        raise typer.Exit(EXIT_CONFIG)
    with readable_errors(target.broker):
        running = Rebuild(target, workers)
    try:
        extent = None
        while extent is None:
            extent = running.extent()
            time.sleep(0.2)
        with Progress(f"folding into state {target.state}", extent.total) as bar:
            done = running.wait(lambda now: bar.update(now.applied, f"{now.applied:,} of {now.total:,} events"))
        typer.echo(f"State {target.state} contains all {done.applied:,} events.")
        typer.echo(
            f"To switch: start the workers again with RECO_STATE={target.state} and the settings of this command."
        )
        if not once:
            typer.echo("Following the log until Ctrl-C.")
            while True:
                running.extent()
                time.sleep(1.0)
    except KeyboardInterrupt:
        typer.echo("Stopping; the new state stays on Kafka.", err=True)
    except WorkerEnded as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_FAILED) from None
    finally:
        running.stop()
