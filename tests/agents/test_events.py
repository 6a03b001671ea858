"""Records become rows or rejections; what is counted was folded."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from agents.events import EventProcessor
from reco_stream import metrics
from reco_stream.domain.partitioner import partition_of
from reco_stream.engine.table import MemoryRows
from reco_stream.settings import Settings
from tables.recent import RECENT
from tables.rules import TableRules
from tables.sessions import SESSIONS

PARTITIONS = 4
NOW_MS = 1_700_000_000_000
FIRST_MS = NOW_MS - 86_400_000


@dataclass
class Record:
    key: bytes | None
    value: bytes | None
    timestamp: int = NOW_MS
    topic: str = "t.events"
    partition: int = 0
    offset: int = 0


def record(user: str = "u1", **body: Any) -> Record:
    value = {"user_id": user, "item_id": "i1", "event_type": "view"} | body
    return Record(user.encode(), json.dumps(value).encode())


def processor(user: str = "u1", shift: int = 0) -> EventProcessor:
    home = (partition_of(user, PARTITIONS) + shift) % PARTITIONS
    return EventProcessor(home, PARTITIONS, Settings().event_rules(), TableRules())


def test_event_becomes_rows_and_moves_stream_time() -> None:
    rows = MemoryRows()
    assert processor().fold(rows, record(timestamp=NOW_MS - 5_000)) is None
    assert rows.stream_time_ms == NOW_MS - 5_000
    assert rows.get(RECENT, "u1") is not None


def test_late_event_does_not_move_stream_time_back() -> None:
    rows, fold = MemoryRows(), processor().fold
    fold(rows, record(timestamp=NOW_MS))
    fold(rows, record(timestamp=NOW_MS - 60_000))
    assert rows.stream_time_ms == NOW_MS


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Record(b"u1", b"\xff"), "not_utf8"),
        (Record(b"u1", b"{"), "not_json"),
        (Record(None, b"{}"), "null_key"),
        (record(event_type="stare"), "unknown_type"),
    ],
)
def test_bad_record_is_rejected_and_changes_no_row(bad: Record, reason: str) -> None:
    rows = MemoryRows()
    rejection = processor().fold(rows, bad)
    assert rejection is not None
    assert rejection.reason == reason
    assert rejection.record is bad
    assert rows.snapshot() == {}


def test_record_in_the_wrong_partition_names_the_right_one_and_the_cure() -> None:
    rejection = processor(shift=1).fold(MemoryRows(), record())
    assert rejection is not None
    assert rejection.reason == "wrong_partition"
    assert f"belongs to partition {partition_of('u1', PARTITIONS)}" in rejection.detail
    assert "murmur2_random" in rejection.detail


def test_sessions_that_leave_a_row_are_known_until_they_are_applied() -> None:
    rows = MemoryRows()
    one = EventProcessor(
        *(partition_of("u1", PARTITIONS), PARTITIONS, Settings().event_rules(), TableRules(sessions_kept=2))
    )

    def left() -> list[tuple[bytes, list[int]]]:
        return [
            (key, [old.opened_ms - FIRST_MS for old in SESSIONS.decode(row or b"").sessions])
            for key, row in one.leaving()
        ]

    for hour in range(4):
        assert left() == ([] if hour < 3 else [(b"su1", [0])])
        for second in range(2):
            one.fold(rows, record(timestamp=FIRST_MS + hour * 3_600_000 + second * 1_000))
    assert left() == [(b"su1", [0, 3_600_000])]
    one.applied()
    assert left() == []
    one.fold(rows, record(timestamp=FIRST_MS + 9 * 3_600_000))
    assert len(left()) == 1
    one.aborted()
    assert left() == []


def test_only_applied_events_are_counted() -> None:
    def counted() -> float:
        return metrics.events_processed.labels("view")._value.get()  # type: ignore[no-any-return]

    before, one = counted(), processor()
    one.fold(MemoryRows(), record())
    one.aborted()
    one.applied()
    assert counted() == before
    one.fold(MemoryRows(), record())
    one.applied()
    assert counted() == before + 1
