"""The tables of a worker in one process: events are folded, rows published and read back by the code that workers run.

So what `reco evaluate` ranks by is what a worker ranks by after the same log, once everything is published.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from agents.publication import Publication, read_item_stats, read_sessions
from reco_stream.domain.partitioner import partition_of
from reco_stream.domain.recommender import Recommender
from reco_stream.engine.light_records import LightRecord
from reco_stream.engine.published import Stamp, Value, seal
from reco_stream.engine.sent_rows import SentRows
from reco_stream.engine.table import MemoryRows, Table
from reco_stream.evaluation.log import Logged
from reco_stream.events import Event
from tables.fold import fold_event
from tables.item_model import ItemModel
from tables.rules import TableRules
from tables.sessions import SESSIONS, Ended, left_rows

R = TypeVar("R")


class _Rows(MemoryRows):
    """Rows that remember which of them changed."""

    def __init__(self) -> None:
        super().__init__()
        self.changed: dict[tuple[Table[Any], str], Any] = {}
        self.left: list[Ended] = []

    def put(self, table: Table[R], key: str, row: R) -> None:
        super().put(table, key, row)
        self.changed[table, key] = row


class WorkerTables:
    """Folds events and feeds `recommender` with the published sessions, and `items` with the published item rows.

    `weights`: of event types; a type that is not in it weighs 1. Without `with_items`, `items` stays empty. Users are
    divided among `partitions` as Kafka divides them.
    """

    def __init__(
        self,
        recommender: Recommender,
        rules: TableRules,
        weights: Mapping[str, float],
        with_items: bool,
        partitions: int = 1,
    ) -> None:
        self._rules = rules
        self._weights = weights
        self._rows = [_Rows() for _ in range(partitions)]
        self._now_ms = 0
        self._publication = Publication("item-stats", "sessions")
        self._sent = [SentRows(self._publication.measure, self._publication.expand) for _ in range(partitions)]
        self.items = ItemModel(rules, clock=lambda: self._now_ms / 1_000)
        self._applies = {"item-stats": read_item_stats(self.items), "sessions": read_sessions(recommender)}
        self._prefixes = self._publication.prefixes if with_items else {SESSIONS.prefix}
        self._applied = 0

    def apply(self, events: Iterable[Logged], user: str | None = None) -> None:
        """Make events known, in the order given; `user` takes the place of their own."""
        for event in events:
            self._applied += 1
            self._now_ms = max(self._now_ms, event.time_ms)
            weight, who = self.weight(event.type), user or event.user
            folded = Event(who, event.item, event.type, event.time_ms, weight, session=event.named)
            rows = self._rows[partition_of(who, len(self._rows))]
            rows.left += fold_event(rows, folded, self._rules)
        for partition, rows in enumerate(self._rows):
            if rows.changed:
                self._publish(partition, rows)

    def weight(self, event_type: str) -> float:
        """Return the weight of an event type."""
        return self._weights.get(event_type, 1.0)

    def _publish(self, partition: int, rows: _Rows) -> None:
        stamp = Stamp(1, self._applied, rows.stream_time_ms)
        values: list[Value] = []
        for key, left in left_rows(rows.left):
            values += self._publication.expand(key, left)
        for (table, name), row in rows.changed.items():
            if table.prefix in self._prefixes:
                key = table.prefix + name.encode()
                values += self._sent[partition].new_values(key, self._publication.expand(key, table.encode(row)))
        for topic, out_key, value in values:
            sealed = None if value is None else seal(stamp, value)
            self._applies[topic](partition, [LightRecord(0, out_key, sealed)])
        rows.left.clear()
        rows.changed.clear()
