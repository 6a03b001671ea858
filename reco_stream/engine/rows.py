"""What the engine asks of the rows of one partition. The application makes them, so that its tables may be kept as it
likes: tables/compiled_fold.pyi does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from reco_stream.engine.store import Record


class PartitionRows(Protocol):
    """Rows over a store, as the micro-batch that is being folded has changed them.

    A rule may change a row in place, so what a checkpoint has not written can only be dropped whole (`discard`).
    """

    @property
    def stream_time_ms(self) -> int:
        """Highest event time that the rows contain."""

    def begin(self, stream_time_ms: int, /) -> None:
        """Start a micro-batch: what was changed is in the store by now, and the stream time is the marker's."""

    def encode_dirty(self) -> list[Record]:
        """Return the rows changed since `begin`, encoded, each once; None where deleted."""

    def leaving(self) -> Sequence[Record]:
        """Return (key, row) of what was taken out of rows since `begin` and nobody can publish once they are stored."""

    def discard(self) -> None:
        """Forget every row that may differ from the store, as if the micro-batch had not begun."""

    def clear(self) -> None:
        """Forget everything, because the store was changed by somebody else (recovery)."""

    def resize(self, budget_bytes: int, /) -> None:
        """Change the budget of memory, from the next micro-batch on."""
