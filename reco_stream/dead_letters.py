"""Dead letters: how a refused record is kept, and what the dead-letter topic says about each.

A dead letter has the original value bytes, the key `topic/partition/offset` of its source and headers that say why,
named as in KIP-1034 (`__streams.errors.*`) so that tools made for Kafka Streams read them. A worker that crashes may
write one twice: the key tells. `reco dead-letters replay` appends marker records with the same key:

    __reco.replay.started   partition/offset: the record was about to be sent; it lies there, later or nowhere
    __reco.replay.done      partition/offset: there it is
"""

import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from reco_stream.domain.partitioner import partition_of
from reco_stream.events import BadEvent, EventRules, decode_event, parse_event

Headers = list[tuple[str, bytes]]

_KAFKA_PREFIX: Final = "__streams.errors."
_RECO_PREFIX: Final = "__reco."
EXCEPTION: Final = f"{_KAFKA_PREFIX}exception"
MESSAGE: Final = f"{_KAFKA_PREFIX}message"
STACKTRACE: Final = f"{_KAFKA_PREFIX}stacktrace"
TOPIC: Final = f"{_KAFKA_PREFIX}topic"
PARTITION: Final = f"{_KAFKA_PREFIX}partition"
OFFSET: Final = f"{_KAFKA_PREFIX}offset"
REASON: Final = f"{_RECO_PREFIX}errors.reason"
KEY: Final = f"{_RECO_PREFIX}errors.key"  # absent when the source has no key
APPENDED: Final = f"{_RECO_PREFIX}errors.timestamp"  # the source's append time, ms
REPLAY_STARTED: Final = f"{_RECO_PREFIX}replay.started"
REPLAY_DONE: Final = f"{_RECO_PREFIX}replay.done"
REPLAY_SOURCE: Final = f"{_RECO_PREFIX}replay.source"  # on the record that was sent again: key of its dead letter

_STACKTRACE_CHARACTERS: Final = 8000


class Record(Protocol):
    """What is read of a consumed Kafka record; aiokafka's ConsumerRecord is one."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


def dead_letter_record(record: Record, error: BadEvent) -> tuple[bytes, bytes | None, Headers]:
    """Return (key, value, headers) of the dead letter for `record`, the same ones each time.

    The record's own headers are kept, first. `error.__cause__`, when there is one, is reported with its stack trace.
    """
    cause = error.__cause__
    raised = type(cause or error)
    headers = _foreign(record.headers)
    headers += [
        (EXCEPTION, f"{raised.__module__}.{raised.__qualname__}".encode()),
        (MESSAGE, error.detail.encode()),
        (TOPIC, record.topic.encode()),
        (PARTITION, str(record.partition).encode()),
        (OFFSET, str(record.offset).encode()),
        (REASON, error.reason.encode()),
        (APPENDED, str(record.timestamp).encode()),
    ]
    if cause is not None:
        headers.append((STACKTRACE, "".join(traceback.format_exception(cause))[-_STACKTRACE_CHARACTERS:].encode()))
    if record.key is not None:
        headers.append((KEY, record.key))
    return f"{record.topic}/{record.partition}/{record.offset}".encode(), record.value, headers


class State(StrEnum):
    """How far the replay of a dead letter has come."""

    OPEN = "open"
    STARTED = "started"
    REPLAYED = "replayed"


@dataclass(frozen=True)
class Position:
    """A place in a topic, written `partition/offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: bytes) -> "Position":
        """Return the position that `text` writes. Raises ValueError.

        >>> Position.parse(b"3/42")
        Position(partition=3, offset=42)
        """
        partition, offset = text.split(b"/")
        return cls(int(partition), int(offset))


@dataclass
class Entry:
    """What the dead-letter topic knows of one source record, without the bytes of its value."""

    source: str  # topic/partition/offset
    offset: int  # of its first dead letter
    time_ms: int  # when that was written
    reason: str
    message: str
    size: int | None  # bytes of the value, None for a null value
    copies: int = 1
    state: State = State.OPEN
    position: Position | None = None  # of the started or done replay


class Ledger:
    """The fold of the dead-letter topic in offset order: one `Entry` for each source record, duplicates collapsed."""

    def __init__(self) -> None:
        self.entries: Final[dict[str, Entry]] = {}
        self.foreign = 0  # records that are neither dead letter nor marker

    def add(self, record: Record) -> None:
        """Take the next record of the topic into account; records of others are counted, never an error."""
        headers = dict(record.headers)
        source = (record.key or b"").decode(errors="replace")
        if REPLAY_STARTED in headers or REPLAY_DONE in headers:
            self._mark(source, headers)
        elif not source or REASON not in headers:
            self.foreign += 1
        elif known := self.entries.get(source):
            known.copies += 1
        else:
            size = None if record.value is None else len(record.value)
            reason, message = _text(headers, REASON), _text(headers, MESSAGE)
            self.entries[source] = Entry(source, record.offset, record.timestamp, reason, message, size)

    def _mark(self, source: str, headers: Mapping[str, bytes]) -> None:
        entry = self.entries.get(source)
        if entry is None or entry.state is State.REPLAYED:
            return  # the dead letter itself is gone already, or it was replayed
        done = headers.get(REPLAY_DONE)
        entry.state = State.STARTED if done is None else State.REPLAYED
        entry.position = Position.parse(headers[REPLAY_STARTED] if done is None else done)


@dataclass(frozen=True)
class Resend:
    """A record to send again: `partition` is where its user belongs, whatever the producer chose."""

    source: str
    partition: int
    key: bytes
    value: bytes
    headers: Headers


def resend(letter: Record, partitions: int, now_ms: int, rules: EventRules, *, rekey: bool) -> Resend:
    """Return the record to send for a dead letter, checked as if it arrived at `now_ms` among `partitions` partitions.

    With `rekey` a missing or wrong key is replaced by the user of the body. Raises BadEvent when the record would be
    refused again.
    """
    key = dict(letter.headers).get(KEY)
    value = letter.value
    if rekey and value is not None:
        key = parse_event(value, now_ms, rules).user.encode()
    event = decode_event(key, value, now_ms, rules)
    assert value is not None  # decode_event has refused it
    headers = [*_foreign(letter.headers), (REPLAY_SOURCE, letter.key or b"")]
    source = (letter.key or b"").decode()
    return Resend(source, partition_of(event.user, partitions), event.user.encode(), value, headers)


def started_marker(position: Position) -> Headers:
    """Return the headers of the marker that says: the record is about to be sent, at or after `position`."""
    return [(REPLAY_STARTED, str(position).encode())]


def done_marker(position: Position) -> Headers:
    """Return the headers of the marker that says: the record was sent and lies at `position`."""
    return [(REPLAY_DONE, str(position).encode())]


def _foreign(headers: Iterable[tuple[str, bytes]]) -> Headers:
    return [(name, value) for name, value in headers if not name.startswith((_KAFKA_PREFIX, _RECO_PREFIX))]


def _text(headers: Mapping[str, bytes], name: str) -> str:
    return headers.get(name, b"").decode(errors="replace")
