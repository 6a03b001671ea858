"""The events topic as a log to evaluate on: read with a consumer of its own, between two offsets or times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from reco_stream.domain.partitioner import partition_of
from reco_stream.engine_settings import table_rules
from reco_stream.evaluation.log import Interacted, Log, LogError, sessionized
from reco_stream.events import BadEvent, decode_event
from reco_stream.settings import Settings
from reco_stream.topics import partition_count
from reco_stream.verify.log import LogReader, open_reader
from tables.dedupe import DedupeRow, add

WANTED = "an offset, offsets by partition such as 0:1200,1:1180, or a time such as 2017-10-04T00:00:00"


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of what is read: an offset for every partition, one for each, or the time at which Kafka appended."""

    offset: int | None = None
    offsets: Mapping[int, int] = field(default_factory=dict)
    time_ms: int | None = None

    @classmethod
    def parse(cls, name: str, text: str) -> Bound:
        """Return the bound that an option says. Raises `LogError` that names the option.

        >>> Bound.parse("--from", "0:1200,1:1180").offsets
        {0: 1200, 1: 1180}
        """
        try:
            if text.isascii() and text.isdigit():
                return cls(offset=int(text))
            if all(part.replace(":", "", 1).isdigit() and ":" in part for part in text.split(",")):
                pairs = (part.split(":") for part in text.split(","))
                return cls(offsets={int(partition): int(offset) for partition, offset in pairs})
            when = datetime.fromisoformat(text)
        except ValueError:
            raise LogError(f"{name} is {text}, wanted {WANTED}") from None
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return cls(time_ms=round(when.timestamp() * 1_000))

    async def of(self, reader: LogReader, topic: str, partition: int, first: int, end: int) -> int | None:
        """Return the offset in a partition that holds first <= offset < end; None where the bound names none."""
        if self.time_ms is not None:
            found = await reader.offset_at(topic, partition, self.time_ms)
            return end if found is None else min(max(found, first), end)
        offset = self.offset if self.offset is not None else self.offsets.get(partition)
        return None if offset is None else min(max(offset, first), end)


@dataclass(slots=True)
class TopicLog:
    """What was read: the log, how many records were read, and how many of them a worker would not have counted."""

    log: Log
    records: int = 0
    refused: int = 0
    duplicates: int = 0


class _Partition:
    """Interactions of one partition, in the order of its log: what a worker would fold, but for negative events."""

    def __init__(self, number: int, partitions: int, settings: Settings) -> None:
        self._number = number
        self._partitions = partitions
        self._events = settings.event_rules()
        self._rules = table_rules(settings)
        self._ids: dict[str, DedupeRow] = {}
        self._stream_time_ms = 0
        self.refused = 0
        self.duplicates = 0

    def read(self, record: Any) -> Iterator[Interacted]:
        """Yield the record's interaction when there is one."""
        try:
            event = decode_event(record.key, record.value, record.timestamp, self._events)
        except BadEvent:
            self.refused += 1
            return
        if partition_of(event.user, self._partitions) != self._number:
            self.refused += 1
            return
        self._stream_time_ms = max(self._stream_time_ms, event.time_ms)
        if event.event_id is not None:
            row = self._ids.setdefault(event.user, DedupeRow())
            if not add(row, event.event_id, self._stream_time_ms, self._rules):
                self.duplicates += 1
                return
        if not event.negative:
            yield Interacted(event.user, event.item, event.type, event.time_ms, event.session)


async def read_topic(
    settings: Settings,
    start: Bound | None = None,
    end: Bound | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TopicLog:
    """Return the events from `start` (included) to `end` (not included); without them, of all that is there now.

    `progress` is told the records read and how many there are. Raises KafkaError when Kafka does not answer,
    NoSuchTopic, and `LogError` when there is nothing between the two.
    """
    topic = settings.topic("events")
    found: list[Interacted] = []
    result = TopicLog(Log(()))
    partitions = await partition_count(settings, topic)
    async with open_reader(settings) as reader:
        ranges = [await _range(reader, topic, number, start, end) for number in range(partitions)]
        total = sum(to - at for at, to in ranges)
        for number, (at, to) in enumerate(ranges):
            partition = _Partition(number, partitions, settings)
            if at < to:
                async for records in reader.read(topic, number, at, to):
                    for record in records:
                        found.extend(partition.read(record))
                    result.records += len(records)
                    progress(result.records, total)
            result.refused += partition.refused
            result.duplicates += partition.duplicates
    if not found:
        raise LogError(f"{topic} has no event in that range: {total} records, {result.refused} of them refused")
    result.log = Log(sessionized(found, settings.session_gap_s * 1_000))
    return result


async def _range(
    reader: LogReader, topic: str, partition: int, start: Bound | None, end: Bound | None
) -> tuple[int, int]:
    first, last = await reader.bounds(topic, partition)
    at = await start.of(reader, topic, partition, first, last) if start is not None else None
    to = await end.of(reader, topic, partition, first, last) if end is not None else None
    return first if at is None else at, last if to is None else to
