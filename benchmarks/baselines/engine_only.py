"""Our engine under Faust without what the other engines here do not have: no publication, no read models.

Everything else is the worker as it is deployed: consumer group, agent, changelog, store, an idle HTTP API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import reco_stream.app as application
from benchmarks.baselines.arguments import Arguments, parse
from benchmarks.baselines.progress import Progress
from reco_stream.engine.marker import Marker
from reco_stream.ports import free_ports
from reco_stream.settings import Settings
from reco_stream.topics import create_topics


class NothingPublished:
    """In place of `Publication`."""

    prefixes: ClassVar[frozenset[bytes]] = frozenset()

    def __init__(self, *topics: str) -> None:
        pass

    def expand(self, key: bytes, row: bytes | None) -> Iterable[tuple[str, bytes, bytes | None]]:
        return ()

    def measure(self, key: bytes, row: bytes) -> None:
        return None


class NoReadModels:
    """In place of `ReadModelReader`."""

    ready = True
    records = 0

    def __init__(self, client_kwargs: Mapping[str, Any], applies: Mapping[str, Any]) -> None:
        pass

    async def run(self) -> None:
        await asyncio.Event().wait()


def settings_of(arguments: Arguments) -> Settings:
    """A state of its own for each round, over the same events."""
    return Settings(
        broker=arguments.broker,
        app=arguments.topic.removesuffix(".events"),
        partitions=arguments.partitions,
        state=100 + arguments.round,
        data_dir=arguments.folder,
        web_port=free_ports(1)[0],
    )


def run(arguments: Arguments, progress: Progress) -> None:
    """Runs until it is killed; counts what is folded."""
    settings = settings_of(arguments)
    asyncio.run(create_topics(settings))

    class Metrics(application.Metrics):
        """Counts what is folded, in the changelog and in the store."""

        def on_checkpoint(self, partition: int, marker: Marker, records: int, seconds: float) -> None:
            super().on_checkpoint(partition, marker, records, seconds)
            progress.add(records)

    stand_ins = {"Metrics": Metrics, "Publication": NothingPublished, "ReadModelReader": NoReadModels}
    for name, stand_in in stand_ins.items():
        setattr(application, name, stand_in)
    application.run_worker(settings)


if __name__ == "__main__":
    given = parse()
    run(given, Progress(given.progress))
