"""How a command ends when something outside of it is wrong: one message on stderr and an exit code of sysexits.h."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

EXIT_UNAVAILABLE: Final = 69  # Kafka does not answer
EXIT_CONFIG: Final = 78  # settings or topics are wrong


@contextmanager
def readable_errors(broker: str | None = None) -> Iterator[None]:
    """Turn wrong settings into exit code 78 and a Kafka that does not answer into 69, each with a message on stderr."""
    from aiokafka.errors import KafkaError

    from reco_stream.settings_loader import SettingsError

    try:
        yield
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    except (KafkaError, TimeoutError) as error:
        where = f"Kafka at {broker}" if broker else "Kafka"
        what = str(error) or type(error).__name__
        typer.echo(f"{where} does not answer: {what}. Is it running, and is RECO_BROKER right?", err=True)
        raise typer.Exit(EXIT_UNAVAILABLE) from None
