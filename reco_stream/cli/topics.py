"""`reco topics create` and `reco topics check`."""

import asyncio
from typing import TYPE_CHECKING

import typer

from reco_stream.cli.exits import EXIT_CONFIG, readable_errors

if TYPE_CHECKING:
    from reco_stream.settings import Settings
    from reco_stream.topics import Mismatch

topics_app = typer.Typer(no_args_is_help=True, help="Create and check the application's Kafka topics.")


def register(app: typer.Typer) -> None:
    """Add `topics` to the command line."""
    app.add_typer(topics_app, name="topics")


@topics_app.command()
def create() -> None:
    """Create the topics that are missing, then check all.

    Existing topics are never changed. Exit code 78 when one of them is not as wanted.

    Example: RECO_PARTITIONS=24 RECO_REPLICATION=3 reco topics create
    """
    from reco_stream.settings_loader import load_settings
    from reco_stream.topics import TopicError, create_topics, topic_specs

    with readable_errors():
        settings = load_settings()
    with readable_errors(settings.broker):
        try:
            created = asyncio.run(create_topics(settings))
        except TopicError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(EXIT_CONFIG) from None
    for spec in topic_specs(settings):
        typer.echo(f"{'created' if spec.name in created else 'exists '} {spec.name} ({spec.partitions} partitions)")
    _check(settings)


@topics_app.command()
def check() -> None:
    """Compare the topics with what the application needs.

    Prints topic, setting, found and wanted, and exits with code 78 when something differs.

    Example: reco topics check
    """
    from reco_stream.settings_loader import load_settings

    with readable_errors():
        settings = load_settings()
    _check(settings)


def _check(settings: "Settings") -> None:
    from reco_stream.topics import check_topics, topic_specs

    with readable_errors(settings.broker):
        mismatches = asyncio.run(check_topics(settings))
    if mismatches:
        print_mismatches(mismatches)
        raise typer.Exit(EXIT_CONFIG)
    typer.echo(f"all {len(topic_specs(settings))} topics of {settings.app} are as wanted")


def print_mismatches(mismatches: "list[Mismatch]") -> None:
    """Print a table of (topic, setting, found, wanted) to stderr."""
    from rich.console import Console
    from rich.table import Table

    table = Table("topic", "setting", "found", "wanted", title="Topics that are not as wanted", title_justify="left")
    for mismatch in mismatches:
        table.add_row(mismatch.topic, mismatch.setting, mismatch.found, mismatch.wanted)
    Console(stderr=True).print(table)
