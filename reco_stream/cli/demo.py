"""`reco demo`: everything at once, on sample data."""

from pathlib import Path
from typing import Annotated

import typer

from reco_stream.cli.exits import EXIT_UNAVAILABLE, readable_errors

EXIT_INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Adds `demo` to the command line."""
    app.command()(demo)


def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after the recommendations.")] = False,
    events: Annotated[int, typer.Option(min=1, help="Number of sample events.")] = 50_000,
    folder: Annotated[
        Path, typer.Option(help="Folder of the demo's data and logs; its content is deleted at start.")
    ] = Path(".reco/demo"),
) -> None:
    """Show recommendations on sample events, with a real Kafka and two workers.

    Kafka is the one of RECO_BROKER when that is set, else Docker's, else a local one (Java 17 and Maven). Live events
    follow until Ctrl-C, which stops everything that the demo started.

    Example: reco demo --once
    """
    from reco_stream.demo import DemoError
    from reco_stream.demo.run import Demo
    from reco_stream.local_workers import WorkerEnded, WorkerNotReady
    from reco_stream.sample_data import SampleSize

    size = SampleSize(events=events, users=1_000, items=600, days=7)
    try:
        with readable_errors():
            Demo(folder, size, once, typer.echo).run()
    except (DemoError, WorkerEnded, WorkerNotReady) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_UNAVAILABLE) from None
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
