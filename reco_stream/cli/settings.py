"""`reco settings`: the effective settings, and their documentation."""

import sys
from typing import Annotated

import typer

from reco_stream.cli.exits import readable_errors


def register(app: typer.Typer) -> None:
    """Add `settings` to the command line."""
    app.command()(settings)


def settings(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the documentation of all settings, docs/settings.md.")
    ] = False,
) -> None:
    """Print every setting with its effective value and where it comes from; secrets are masked.

    On a terminal a table, elsewhere lines with tabs: variable, value, source. Exit code 78, with all problems, when
    settings are wrong.

    Example: RECO_SESSION_GAP=20m reco settings
    """
    from reco_stream.settings import env_name
    from reco_stream.settings_loader import load_settings, source
    from reco_stream.settings_page import effective
    from reco_stream.settings_page import markdown as page

    if markdown:
        typer.echo(page(), nl=False)
        return
    with readable_errors():
        loaded = load_settings()
    rows = [(env_name(field), text, source(field)) for field, text in effective(loaded)]
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("variable", "value", "source")
    for row in rows:
        table.add_row(*map(Text, row), style="" if row[2] == "default" else "bold")
    Console().print(table)
