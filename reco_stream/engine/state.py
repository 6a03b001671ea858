"""State: what the web views may ask of the engine. Reads see committed rows only, never a fold in progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from reco_stream.domain.partitioner import partition_of
from reco_stream.engine.engine import Engine
from reco_stream.engine.marker import Marker
from reco_stream.engine.partition import Phase
from reco_stream.engine.read_model import ReadModelReader
from reco_stream.engine.store import PartitionStore
from reco_stream.engine.table import Table

R = TypeVar("R")


@dataclass(frozen=True)
class Lag:
    """end_offset: next offset of the source; applied: last one in the rows; records, seconds: between the two."""

    end_offset: int
    applied: int
    records: int
    seconds: float


class State:
    """Facade over the engine of this process; cheap, synchronous, for one event loop."""

    def __init__(
        self,
        engine: Engine,
        reader: ReadModelReader,
        owner_urls: Callable[[], dict[int, str]],
        end_offset: Callable[[int], int | None],
        is_cut_off: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._owner_urls = owner_urls
        self._end_offset = end_offset
        self._is_cut_off = is_cut_off
        # partition -> (applied, when it last moved or had nothing left): the age of the oldest unapplied event
        self._moved: dict[int, tuple[int, float]] = {}
        # Set when the worker begins to stop: from then on it wants no more requests.
        self.draining = False

    @property
    def partitions(self) -> int:
        return self._engine.config.partitions

    @property
    def url(self) -> str:
        return self._engine.config.url

    def partition_of(self, user: str) -> int:
        return partition_of(user, self.partitions)

    def owned(self) -> frozenset[int]:
        """Partitions assigned to this process, restored or not."""
        return frozenset(self._engine.partitions)

    def is_running(self, partition: int) -> bool:
        """True when `partition` is restored here and applying events; what is read of it is then fresh.

        A worker that does not hear from Kafka cannot know whether the partition is still its own: it has a copy.
        """
        found = self._engine.partitions.get(partition)
        return found is not None and found.phase is Phase.RUNNING and not self._is_cut_off()

    def is_readable(self, partition: int) -> bool:
        """True when a copy of `partition` can be read here, however old (a standby, a rebalance, no Kafka)."""
        return partition in self._engine.partitions or partition in self._engine.standbys.stores

    def read(self, partition: int, table: Table[R], key: str) -> R | None:
        """The committed row, or None. Raises KeyError when no copy of the partition is here."""
        raw = self._store(partition).get(table.prefix + key.encode())
        return None if raw is None else table.decode(raw)

    def marker(self, partition: int) -> Marker:
        """What the committed rows contain. Raises KeyError when no copy of the partition is here."""
        return self._store(partition).marker()

    def _store(self, partition: int) -> PartitionStore:
        owned = self._engine.partitions.get(partition)
        return owned.store if owned is not None else self._engine.standbys.stores[partition]

    @property
    def read_models_ready(self) -> bool:
        """True once the read models have reached the end that they saw at start."""
        return self._reader.ready

    @property
    def read_models_behind_s(self) -> float:
        """Seconds since the read models last held everything that was published."""
        return self._reader.behind_s

    def not_ready(self) -> list[str]:
        """What this worker still waits for, in words; empty once the ends that it saw at start are reached."""
        waits = ["the worker is stopping"] if self.draining else []
        if not self._reader.ready:
            waits.append("the read models have not reached the end they saw at start")
        for number, partition in sorted(self._engine.partitions.items()):
            if partition.phase is not Phase.RUNNING:
                waits.append(f"partition {number} is {partition.phase.value}")
            elif partition.marker.applied + 1 < partition.end_at_assignment:
                behind = partition.end_at_assignment - partition.marker.applied - 1
                waits.append(f"partition {number} is {behind} events behind the end it saw at assignment")
        if not self._engine.assigned:
            waits.append("the consumer group has assigned nothing yet")
        return waits

    def lag(self, partition: int) -> Lag:
        """How far an owned partition is behind its source log."""
        applied = self.marker(partition).applied
        found = self._engine.partitions.get(partition)
        end = self._end_offset(partition)
        if end is None:
            end = found.end_at_assignment if found is not None else applied + 1
        records = max(0, end - applied - 1)
        now = time.monotonic()
        last = self._moved.get(partition)
        if records == 0 or last is None or last[0] != applied:
            self._moved[partition] = (applied, now)
        seconds = 0.0 if records == 0 else now - self._moved[partition][1]
        return Lag(end, applied, records, seconds)

    def owner_url(self, partition: int) -> str | None:
        """URL of the worker that the group says owns `partition`; None while unknown."""
        return self._owner_urls().get(partition)

    def store_bytes(self, partition: int) -> int:
        return self._store(partition).size_bytes()
