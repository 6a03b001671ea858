"""`reco worker`: one worker process, which consumes events and answers HTTP."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reco_stream.cli.exits import EXIT_CONFIG, readable_errors

if TYPE_CHECKING:
    from reco_stream.settings import Settings


def register(app: typer.Typer) -> None:
    """Adds `worker` to the command line."""
    app.command()(worker)


def worker(
    web_port: Annotated[int | None, typer.Option(help="Instead of RECO_WEB_PORT.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Instead of RECO_DATA_DIR.")] = None,
    leave: Annotated[bool, typer.Option("--leave", help="Run none: its partitions move to others at once.")] = False,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C.

    Workers of the same RECO_APP share the partitions. Two on one machine need two ports and two data folders. Exit code
    78 when settings or topics are wrong, 69 when Kafka does not answer.

    A worker that stops keeps its place in the group for RECO_SESSION_TIMEOUT_S: started again in time it gets its
    partitions back and no others move. To take one away for good, stop it and say so with --leave and its settings, or
    run it with RECO_LEAVE_ON_STOP=true.

    Example: reco worker --web-port 6067 --data-dir .reco/second
    """
    from reco_stream.catalogue_parts import check_admin_token, check_content, check_scenarios
    from reco_stream.cli.topics import print_mismatches
    from reco_stream.settings_loader import load_settings
    from reco_stream.topics import check_topics

    given = {"web_port": web_port, "data_dir": data_dir}
    with readable_errors():
        settings = load_settings(**{name: value for name, value in given.items() if value is not None})
        check_admin_token(settings)
        check_scenarios(settings)
        check_content(settings)
    with readable_errors(settings.broker):
        mismatches = asyncio.run(check_topics(settings))
    if mismatches:
        print_mismatches(mismatches)
        raise typer.Exit(EXIT_CONFIG)
    if leave:
        _leave(settings)
        return

    # The fusion multiplies small matrices: threads for them only take the cores from the fold. Read when numpy loads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from reco_stream.app import run_worker

    run_worker(settings)


def _leave(settings: "Settings") -> None:
    from reco_stream.group_members import instance_id, remove_member

    name = instance_id(settings)
    with readable_errors(settings.broker):
        removed = asyncio.run(remove_member(settings, name))
    if not removed:
        typer.echo(f"the group {settings.state_name} has no member {name}: it was removed before, or ran out", err=True)
        return
    typer.echo(f"removed {name} from the group {settings.state_name}: the other workers take its partitions")
