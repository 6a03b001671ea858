from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from reco_stream.archive.parquet import ParquetEvents, ParquetSink, parts
from reco_stream.archive.record import Record
from reco_stream.event_files import FileFormatError, Line, Refused

DAY_MS = 86_400_000
FIRST_MS = 20_000 * DAY_MS


def event(user: str) -> bytes:
    return b'{"user_id": "%b", "item_id": "a", "event_type": "view"}' % user.encode()


def records(first: int, last: int, arrived_ms: int = FIRST_MS) -> list[Record]:
    return [Record(offset, arrived_ms + offset, b"u", event(f"u{offset}")) for offset in range(first, last + 1)]


async def test_files_by_day_are_the_position_and_are_read_back_once(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path)
    assert await sink.position("t.events", 1) is None
    await sink.write("t.events", 1, [*records(0, 4), *records(5, 6, FIRST_MS + DAY_MS)])
    assert await sink.position("t.events", 1) == 7
    assert await sink.position("t.events", 0) is None
    await sink.write("t.events", 1, records(3, 9, FIRST_MS + DAY_MS))  # read again after a crash
    assert [(part.first, part.last) for part in parts(tmp_path)] == [(0, 4), (5, 6), (7, 9)]
    lines = [line for line in ParquetEvents(tmp_path) if isinstance(line, Line)]
    assert [line.key for line in lines] == [f"u{offset}".encode() for offset in range(10)]
    assert lines[0].time_ms == FIRST_MS
    assert str(FIRST_MS).encode() in lines[0].value
    assert await sink.prune(date(2024, 10, 5)) == ["day=2024-10-04"]
    assert len(list(ParquetEvents(tmp_path))) == 5


async def test_overlapping_files_of_two_archivers_are_read_once(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path)
    sink._write("t", 0, date(2024, 1, 1), records(0, 5))
    sink._write("t", 0, date(2024, 1, 1), records(3, 8))
    assert len(list(ParquetEvents(tmp_path))) == 9


async def test_half_written_files_are_not_seen(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path)
    await sink.write("t", 0, records(0, 1))
    folder = parts(tmp_path)[0].path.parent
    (folder / ".t-0-00000000000000000002-00000000000000000003.parquet.77").write_bytes(b"half")
    assert await sink.position("t", 0) == 2
    assert len(list(ParquetEvents(parts(tmp_path)[0].path))) == 2


async def test_what_is_no_event_is_told_and_an_empty_folder_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no archived events"):
        ParquetEvents(tmp_path)
    await ParquetSink(tmp_path).write("t", 0, [Record(0, FIRST_MS, None, b"nonsense"), Record(1, FIRST_MS, b"u", None)])
    assert [isinstance(line, Refused) for line in ParquetEvents(tmp_path)] == [True, True]
