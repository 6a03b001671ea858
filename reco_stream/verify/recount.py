"""The recount: a fold of the source log by the pure rules, and beside it plain counts that know no rule of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reco_stream.domain.partitioner import partition_of
from reco_stream.engine.store import Record
from reco_stream.engine.table import MemoryRows
from reco_stream.events import BadEvent, Event, EventRules, decode_event
from reco_stream.verify.counting import Counts
from tables.fold import fold_event
from tables.rules import TableRules
from tables.sessions import left_rows

FOLD_FAILED = "fold_failed"


class RuleRaised(Exception):
    """A rule raised on a record that no dead letter names: what its rows should be is not defined."""


@dataclass
class Recount:
    """The state of one partition after the records so far. `letters` maps offset -> reason in the dead letters."""

    partition: int
    partitions: int
    event_rules: EventRules
    table_rules: TableRules
    letters: Mapping[int, str]
    rows: MemoryRows = field(default_factory=MemoryRows)
    # sessions that are in no row any more, as (key, row): they are still published
    left: list[Record] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    refused: dict[int, str] = field(default_factory=dict)
    events: int = 0
    skipped: int = 0

    def fold(self, record: Any) -> None:
        """Applies one record of the source log. Raises RuleRaised."""
        event = self._event(record)
        if event is None:
            return
        if self.letters.get(record.offset) == FOLD_FAILED:
            self.skipped += 1
            return
        try:
            ended = fold_event(self.rows, event, self.table_rules)
        except Exception as error:
            raise RuleRaised(
                f"partition {self.partition}, offset {record.offset}: a rule raised {error!r} and the record is not in "
                "the dead letters"
            ) from error
        self.left += left_rows(ended)
        self.counts.count(event)
        self.events += 1

    def _event(self, record: Any) -> Event | None:
        try:
            event = decode_event(record.key, record.value, record.timestamp, self.event_rules)
        except BadEvent as bad:
            self.refused[record.offset] = bad.reason
            return None
        if partition_of(event.user, self.partitions) != self.partition:
            self.refused[record.offset] = "wrong_partition"
            return None
        return event


async def fold_up_to(recount: Recount, records: AsyncIterator[Sequence[Any]]) -> AsyncIterator[int]:
    """Folds all `records`; yields how many each batch had."""
    async for batch in records:
        for record in batch:
            recount.fold(record)
        yield len(batch)
