"""Records become rows or rejections; what is counted was folded."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from agents.events import EventProcessor
from reco_stream import metrics
from reco_stream.domain.partitioner import partition_of
from reco_stream.settings import Settings
from tables.compiled_fold import CompiledRows
from tables.recent import RECENT
from tables.rules import TableRules
from tests.engine.python_rows import DictStore

PARTITIONS = 4
NOW_MS = 1_700_000_000_000


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


def new_rows() -> CompiledRows:
    rows = processor().rows_over(DictStore(), 1 << 20)
    rows.begin(0)
    return rows


def test_event_becomes_rows_and_moves_stream_time() -> None:
    rows = new_rows()
    assert processor().fold(rows, record(timestamp=NOW_MS - 5_000)) is None
    assert rows.stream_time_ms == NOW_MS - 5_000
    assert rows.get(RECENT, "u1") is not None


def test_late_event_does_not_move_stream_time_back() -> None:
    rows, fold = new_rows(), processor().fold
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
    rows = new_rows()
    rejection = processor().fold(rows, bad)
    assert rejection is not None
    assert rejection.reason == reason
    assert rejection.record is bad
    assert rows.encode_dirty() == []


def test_record_in_the_wrong_partition_names_the_right_one_and_the_cure() -> None:
    rejection = processor(shift=1).fold(new_rows(), record())
    assert rejection is not None
    assert rejection.reason == "wrong_partition"
    assert f"belongs to partition {partition_of('u1', PARTITIONS)}" in rejection.detail
    assert "murmur2_random" in rejection.detail


def test_only_applied_events_are_counted() -> None:
    def counted() -> float:
        return metrics.events_processed.labels("view")._value.get()  # type: ignore[no-any-return]

    before, one = counted(), processor()
    one.fold(new_rows(), record())
    one.aborted()
    one.applied()
    assert counted() == before
    one.fold(new_rows(), record())
    one.applied()
    assert counted() == before + 1
