"""What the commands of the benchmarks have in common: their options, and a Kafka of their own."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from reco_stream.kafka_server import KafkaServer


def options(doc: str | None) -> argparse.ArgumentParser:
    """A parser that shows the first line of `doc` and knows `--json`."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="folder for the figures")
    return parser


def with_kafka(run: Callable[[argparse.Namespace, KafkaServer, Path], None], parser: argparse.ArgumentParser) -> None:
    """Calls `run` with what the command line says, a Kafka, and a folder; both are gone afterwards."""
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        KafkaServer(Path(folder) / "kafka", heap="1g", die_with_parent=True) as kafka,
    ):
        run(arguments, kafka, Path(folder))
