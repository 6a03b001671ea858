"""The agent of the event topic: each batch goes to its partition; each record becomes an event, then rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from agents.learning import PartitionLearning
from reco_stream import metrics
from reco_stream.domain.partitioner import partition_of
from reco_stream.engine.checkpoint import Rejection
from reco_stream.engine.delivery import each_batch
from reco_stream.engine.store import PartitionStore
from reco_stream.events import BadEvent, EventRules, decode_event
from tables.compiled_fold import CompiledRows, EventReader
from tables.rules import TableRules


class EventProcessor:
    """Folds the records of one partition; counts what was folded once it is in the log and in the store."""

    def __init__(
        self,
        partition: int,
        partitions: int,
        event_rules: EventRules,
        table_rules: TableRules,
        learning: PartitionLearning | None = None,
    ) -> None:
        self._partition = partition
        self._partitions = partitions
        self._event_rules = event_rules
        self._table_rules = table_rules
        self._learning = learning
        self._types: Counter[str] = Counter()
        limits = event_rules.future_tolerance_ms, event_rules.max_bytes
        self._reader = EventReader(event_rules.kinds(), *limits, partition, partitions)

    def rows_over(self, store: PartitionStore, budget_bytes: int) -> CompiledRows:
        """The partition's rows, with the rules that fold into them."""
        return CompiledRows(store, self._table_rules, budget_bytes)

    def fold_plain(self, rows: CompiledRows, records: Sequence[Any], start: int, stop: int) -> int:
        """Applies records from `start` on, up to the first of which not all is as usual: that one is for `fold`."""
        sample = 0 if self._learning is None else self._learning.sample()
        return rows.fold_plain(self._reader, records, start, stop, sample)

    def fold(self, rows: CompiledRows, record: Any) -> Rejection | None:
        """Applies one record to `rows`; bad bytes, bad fields and wrong partitions come back as a rejection."""
        try:
            event = decode_event(record.key, record.value, record.timestamp, self._event_rules)
        except BadEvent as bad:
            return Rejection(record, bad.reason, bad.detail)
        home = partition_of(event.user, self._partitions)
        if home != self._partition:
            return Rejection(
                record,
                "wrong_partition",
                f"user {event.user!r} belongs to partition {home}, found in {self._partition}; partition by "
                "murmur2 of the key (librdkafka: partitioner=murmur2_random), then replay this record",
            )
        if self._learning is not None:
            self._learning.before(rows, event)
        rows.fold(event)
        self._types[event.type] += 1
        return None

    def applied(self) -> None:
        for counts in (self._types, self._reader.take_counts()):
            for event_type, count in counts.items():
                metrics.events_processed.labels(event_type).inc(count)
        self._types.clear()
        if self._learning is not None:
            self._learning.applied()

    def aborted(self) -> None:
        self._types.clear()
        self._reader.take_counts()
        if self._learning is not None:
            self._learning.aborted()


def register(app: Any, topic: str) -> Callable[..., Any]:
    """Declares the agent that hands each batch to the engine."""
    events = app.topic(topic, key_type=bytes, value_type=bytes, value_serializer="raw", key_serializer="raw")

    @app.agent(events, name="events")  # type: ignore[untyped-decorator]
    async def fold_batches(batches: Any) -> None:
        async for batch in each_batch(batches):
            await app.engine.submit(batch.partition, batch, batch.token)

    return fold_batches  # type: ignore[no-any-return]
