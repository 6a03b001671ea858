"""The agent of the event topic: each batch goes to its partition; each record becomes an event, then rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from agents.learning import PartitionLearning
from reco_stream import metrics
from reco_stream.domain.partitioner import partition_of
from reco_stream.engine.checkpoint import Rejection
from reco_stream.engine.table import Rows
from reco_stream.events import BadEvent, Event, EventRules, decode_event
from tables.fold import fold_event
from tables.recent import RECENT
from tables.rules import TableRules
from tables.sessions import SESSIONS, Session


class EventProcessor:
    """Folds the records of one partition; counts what was folded once it is in the log and in the store."""

    def __init__(
        self,
        partition: int,
        partitions: int,
        event_rules: EventRules,
        table_rules: TableRules,
        learning: PartitionLearning | None = None,
        on_ended: Callable[[str, Session], None] = lambda user, session: None,
    ) -> None:
        """`on_ended` hears of each session that was pushed out of its user's row, once the row is in log and store."""
        self._partition = partition
        self._partitions = partitions
        self._event_rules = event_rules
        self._table_rules = table_rules
        self._learning = learning
        self._types: Counter[str] = Counter()
        self._on_ended = on_ended
        self._ended: list[tuple[str, Session]] = []

    def fold(self, rows: Rows, record: Any) -> Rejection | None:
        """Applies one record to `rows`; bad bytes, bad fields and wrong partitions come back as a rejection."""
        try:
            event = decode_event(record.key, record.value, record.timestamp, self._event_rules)
        except BadEvent as bad:
            return Rejection(record, bad.reason, bad.detail)
        # Whoever has a row here was found at home before, for others the hash costs 3 us; who has none has no sessions.
        is_new = rows.get(RECENT, event.user) is None
        if is_new:
            home = partition_of(event.user, self._partitions)
            if home != self._partition:
                return Rejection(
                    record,
                    "wrong_partition",
                    f"user {event.user!r} belongs to partition {home}, found in {self._partition}; partition by "
                    "murmur2 of the key (librdkafka: partitioner=murmur2_random), then replay this record",
                )
        if event.time_ms > rows.stream_time_ms:
            rows.stream_time_ms = event.time_ms
        if self._learning is not None:
            self._learning.before(rows, event)
        before = () if is_new else self._full_row(rows, event)
        fold_event(rows, event, self._table_rules)
        if before:
            self._note_ended(rows, event.user, before)
        self._types[event.type] += 1
        return None

    def _full_row(self, rows: Rows, event: Event) -> Sequence[Session]:
        """Returns the sessions of a user of which the event may push one out; else nothing."""
        row, rules = rows.get(SESSIONS, event.user), self._table_rules
        if row is None or len(row.sessions) < rules.sessions_kept:
            return ()
        newest = row.sessions[-1]
        goes_on = newest.start_ms <= event.time_ms <= newest.last_ms + rules.session_gap_ms
        return () if goes_on and newest.id == event.session else tuple(row.sessions)

    def _note_ended(self, rows: Rows, user: str, before: Sequence[Session]) -> None:
        row = rows.get(SESSIONS, user)
        if row is not None and row.sessions[-1] is not before[-1]:
            self._ended += [(user, old) for old in before if all(old is not kept for kept in row.sessions)]

    def applied(self) -> None:
        for event_type, count in self._types.items():
            metrics.events_processed.labels(event_type).inc(count)
        self._types.clear()
        for user, session in self._ended:
            self._on_ended(user, session)
        self._ended.clear()
        if self._learning is not None:
            self._learning.applied()

    def aborted(self) -> None:
        self._types.clear()
        self._ended.clear()
        if self._learning is not None:
            self._learning.aborted()


def register(app: Any, topic: str) -> Callable[..., Any]:
    """Declares the agent that hands each batch to the engine."""
    events = app.topic(topic, key_type=bytes, value_type=bytes, value_serializer="raw", key_serializer="raw")

    @app.agent(events, name="events")  # type: ignore[untyped-decorator]
    async def fold_batches(batches: Any) -> None:
        async for batch in batches:
            await app.engine.submit(batch.partition, batch, batch.token)

    return fold_batches  # type: ignore[no-any-return]
