"""What every baseline is told on its command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from reco_stream.events import EventRules
from reco_stream.settings import Settings
from tables.rules import TableRules


@dataclass(frozen=True)
class Arguments:
    """Broker, topic of events and its partitions, a group of its own, a folder of its own, where to count."""

    broker: str
    topic: str
    partitions: int
    group: str
    folder: Path
    progress: Path
    passes: int
    round: int


def parse(arguments: list[str] | None = None) -> Arguments:
    parser = argparse.ArgumentParser()
    for name in ("broker", "topic", "group"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    for name in ("folder", "progress"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--round", type=int, default=1)
    return Arguments(**vars(parser.parse_args(arguments)))


def rules() -> tuple[EventRules, TableRules]:
    """The application's defaults."""
    settings = Settings()
    weights, negative = settings.event_weights, settings.negative_types
    return settings.event_rules(), TableRules(event_weights=weights, negative_types=negative)
