"""`reco kafka start`, `stop` and `status`: a real Kafka on this machine without Docker."""

from pathlib import Path
from typing import Annotated

import typer

EXIT_NOT_RUNNING = 3
DEFAULT_PORT = 9092

kafka_app = typer.Typer(no_args_is_help=True, help="Run a local Kafka without Docker.")
DataDir = Annotated[Path, typer.Option("--data-dir", help="Folder of its data, its log and nothing else.")]
DEFAULT_DATA_DIR = Path(".reco/kafka")


def register(app: typer.Typer) -> None:
    """Adds `kafka` to the command line."""
    app.add_typer(kafka_app, name="kafka")


@kafka_app.command()
def start(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.", min=1, max=65_535)] = DEFAULT_PORT,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Start Kafka in the background and return when it takes requests.

    Needs Java 17 and Maven. Kafka's jars (43 MB) are downloaded once and kept in RECO_CACHE_DIR or
    ~/.cache/reco-stream. The data stay in the folder until you delete it.

    Example: reco kafka start --port 9192
    """
    from reco_stream.cli.exits import EXIT_UNAVAILABLE
    from reco_stream.kafka_jars import KafkaJarsError, MissingPrerequisite
    from reco_stream.kafka_server import KafkaServer, KafkaServerError, running_bootstrap
    from reco_stream.ports import is_port_free

    running = running_bootstrap(data_dir)
    if running is not None:
        typer.echo(f"Kafka runs already at {running}")
        return
    if not is_port_free(port):
        typer.echo(f"port {port} is in use; wanted: a free one (--port), or RECO_BROKER for a Kafka you have", err=True)
        raise typer.Exit(EXIT_UNAVAILABLE)
    try:
        server = KafkaServer(data_dir, port)
        server.start()
    except (MissingPrerequisite, KafkaJarsError, KafkaServerError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_UNAVAILABLE) from None
    typer.echo(f"Kafka is ready at {server.bootstrap} (process {server.pid}, log {server.log_file})")


@kafka_app.command()
def stop(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Stop the Kafka that `reco kafka start` started; its data stay.

    Example: reco kafka stop
    """
    from reco_stream.kafka_server import KafkaServer

    server = KafkaServer(data_dir)
    if not server.alive:
        typer.echo(f"no Kafka runs on {data_dir}")
        return
    server.stop()
    typer.echo("Kafka is stopped")


@kafka_app.command()
def status(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Say whether Kafka runs, and where; exit code 3 when it does not.

    Example: reco kafka status
    """
    from reco_stream.kafka_server import running_bootstrap, running_pid

    bootstrap = running_bootstrap(data_dir)
    if bootstrap is None:
        typer.echo(f"no Kafka runs on {data_dir}")
        raise typer.Exit(EXIT_NOT_RUNNING)
    typer.echo(f"Kafka runs at {bootstrap} (process {running_pid(data_dir)})")
