from collections.abc import Sequence
from typing import Any, TypeVar

from reco_stream.engine.store import PartitionStore, Record
from reco_stream.engine.table import Table
from reco_stream.events import Event
from tables.rules import TableRules

R = TypeVar("R")

class EventReader:
    """Reads the plain events of one partition as `reco_stream.events.decode_event` does, and leaves the others to it.

    `kinds` are those of `EventRules`, and so are the limits. Raises ValueError when there is no partition.
    """

    def __init__(
        self,
        kinds: list[tuple[str, float, bool, float]],
        future_tolerance_ms: int,
        max_bytes: int,
        partition: int,
        partitions: int,
        /,
    ) -> None: ...
    def take_counts(self) -> dict[str, int]:
        """Return how many events of each type were folded since the last call."""

    def type_of(self, key: bytes, value: bytes, now_ms: int, /) -> str | None:
        """Return the type of the event, or None when it is not plain. Raises TypeError for what is not bytes,
        OverflowError for a time that is no int64."""

class CompiledRows:
    """The rows of one partition over its store, and the rules of `tables/`, compiled: what `fold.fold_event` does to
    rows in Python, to the byte. Implements `PartitionRows`.

    Rows are kept within about `budget_bytes`, counted as they lie in memory. Errors: what the Python rules raise, what
    the store raises, and StoreFailed for a stored row that cannot be decoded; after any of them call `discard`.
    Raises ValueError for rules that make no sense, such as no half-life.
    """

    def __init__(self, store: PartitionStore, rules: TableRules, budget_bytes: int, /) -> None: ...
    @property
    def stream_time_ms(self) -> int:
        """Highest event time applied since `begin`, or the one given there."""

    def fold(self, event: Event, /) -> None:
        """Apply one event. Raises OverflowError for a time outside the years 1970 to 9999."""

    def fold_plain(self, reader: EventReader, records: Sequence[Any], start: int, stop: int, sample: int, /) -> int:
        """Apply Kafka records from `start` on; return the index of the first that is not plain, or `stop`.

        A record is not plain when `reader` is not certain what `decode_event` returns, when it belongs to another
        partition, or when `recommender.is_sampled` says so of one in `sample` (0: of none).
        """

    def get(self, table: Table[R], key: str, /) -> R | None:
        """Return a copy of the row as it is now, or None."""

    def begin(self, stream_time_ms: int, /) -> None: ...
    def encode_dirty(self) -> list[Record]: ...
    def leaving(self) -> list[Record]: ...
    def discard(self) -> None: ...
    def clear(self) -> None: ...
    def resize(self, budget_bytes: int, /) -> None: ...
