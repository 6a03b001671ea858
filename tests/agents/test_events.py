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


def test_records_folded_in_runs_make_the_rows_of_records_folded_one_by_one() -> None:
    """Plain ones in runs of any length; what is not plain ends a run, and `fold` says what it is."""
    kinds = ["view", "Click", "rating", "hide", "stare", "cart", "cart"]
    here = [user for user in map("u{}".format, range(40)) if partition_of(user, PARTITIONS) == 1]
    users = [here[n % len(here)] if n % 11 else f"u{n}" for n in range(200)]  # some of other partitions
    records = [
        record(user, item_id=f"i{n % 9}", event_type=kinds[n % 7], timestamp=NOW_MS - 300 + n, value=n % 6, event_id=n)
        for n, user in enumerate(users)
    ]
    one, other, rows, others = processor(here[0]), processor(here[0]), new_rows(), new_rows()
    rejected = [index for index, found in enumerate(records) if one.fold(rows, found) is not None]
    assert 0 < len(rejected) < len(records) / 2
    at, length, left = 0, 1, []
    while at < len(records):
        stop = min(at + length, len(records))
        at = other.fold_plain(others, records, at, stop)
        if at < stop:
            assert other.fold(others, records[at]) is not None
            left.append(at)
            at += 1
        length = length % 7 + 1
    assert left == rejected
    assert others.encode_dirty() == rows.encode_dirty() != []


@pytest.mark.parametrize("in_runs", [False, True])
def test_only_applied_events_are_counted(in_runs: bool) -> None:
    def counted() -> float:
        return metrics.events_processed.labels("view")._value.get()  # type: ignore[no-any-return]

    def fold() -> None:
        if in_runs:
            assert one.fold_plain(new_rows(), [record()], 0, 1) == 1
        else:
            assert one.fold(new_rows(), record()) is None

    before, one = counted(), processor()
    fold()
    one.aborted()
    one.applied()
    assert counted() == before
    fold()
    one.applied()
    assert counted() == before + 1
