"""Rebuild: folds the whole log again into the next generation of the state, beside the one that answers.

The generations share the log and nothing else: topics derived from the state, consumer group, local folders and claims
carry the generation's number (`Settings.state`). So the old workers answer as before until they are started again with
RECO_STATE set to the new number: that is the switch, and setting it back is the way back.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reco_stream.local_workers import Worker, start_workers, stop_workers
from reco_stream.settings import Settings
from reco_stream.topics import create_topics
from reco_stream.worker_api import ApiError, get

_POLL_S = 0.5


@dataclass(frozen=True)
class Extent:
    """Events that the new state contains, and events in the log."""

    applied: int
    total: int

    @property
    def complete(self) -> bool:
        return self.applied >= self.total


class Rebuild:
    """Workers that fold the log into generation `settings.state`; `stop` ends them, the state stays on Kafka."""

    def __init__(self, settings: Settings, workers: int) -> None:
        self.settings = settings
        environment = os.environ | {
            "RECO_BROKER": settings.broker,
            "RECO_APP": settings.app,
            "RECO_STATE": str(settings.state),
        }
        asyncio.run(create_topics(settings))
        self._workers: list[Worker] = start_workers(workers, settings.data_dir / "rebuild", environment)

    def extent(self) -> Extent | None:
        """How far the fold has come; None while a partition is not yet running. Raises WorkerEnded."""
        applied = total = running = 0
        for worker in self._workers:
            worker.check()
            try:
                health: dict[str, Any] = get(worker.url, "/health")
            except ApiError:
                return None
            for partition in health["partitions"]:
                running += partition["running"]
                applied += partition["applied"] + 1
                total += partition["end_offset"]
        return Extent(applied, total) if running == self.settings.partitions else None

    def wait(self, on_progress: Callable[[Extent], None]) -> Extent:
        """Returns once the new state contains every event that the log held at some moment."""
        while True:
            extent = self.extent()
            if extent is not None:
                on_progress(extent)
                if extent.complete:
                    return extent
            time.sleep(_POLL_S)

    def stop(self) -> None:
        stop_workers(self._workers)
