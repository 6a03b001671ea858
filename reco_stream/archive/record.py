"""What is kept of a record, and what keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple, Protocol


class Record(NamedTuple):
    """A record as it was on Kafka; `arrived_ms` is the broker's append time."""

    offset: int
    arrived_ms: int
    key: bytes | None
    value: bytes | None

    @property
    def day(self) -> date:
        """The day on which it arrived, in UTC."""
        return datetime.fromtimestamp(self.arrived_ms / 1000, UTC).date()


class SinkDown(Exception):
    """The sink takes nothing now; the same records may be given again, whatever became of them."""


class Sink(Protocol):
    """Keeps records. Raises SinkDown."""

    @property
    def name(self) -> str: ...

    async def position(self, topic: str, partition: int) -> int | None:
        """Return the next offset that is not kept yet; None before the first record."""
        ...

    async def write(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Return once the records, in order of offset, are durable; those kept already are left out."""
        ...

    async def prune(self, before: date) -> list[str]:
        """Remove the days before; return what was removed."""
        ...
