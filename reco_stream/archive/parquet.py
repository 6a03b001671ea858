"""Events in Parquet files: day=2026-01-31/TOPIC-PARTITION-FIRST-LAST.parquet, complete or not there.

The name says which offsets a file holds, so the files themselves are the position. Two archivers of one partition may
write overlapping files; a reader leaves out the offsets that it has had.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from reco_stream.archive.record import Record, SinkDown
from reco_stream.event_files import FileFormatError, Line, Refused
from reco_stream.events import BadEvent, decode_raw, encode_event

_SCHEMA = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("arrived_at", pa.timestamp("ms", tz="UTC")),
        ("key", pa.binary()),
        ("value", pa.binary()),
    ]
)
_NAME = re.compile(r"(?P<topic>.+)-(?P<partition>\d+)-(?P<first>\d{20})-(?P<last>\d{20})\.parquet")
_DAY = re.compile(r"day=(\d{4}-\d\d-\d\d)")
_MAX_BYTES = 8 << 20


class Part(NamedTuple):
    """A file and what its name says."""

    topic: str
    partition: int
    first: int
    last: int
    path: Path


class ParquetSink:
    """Keeps records in files under a folder."""

    name = "parquet"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def position(self, topic: str, partition: int) -> int | None:
        """Return the offset after the last one of any file."""
        found = [part.last + 1 for part in parts(self._folder) if (part.topic, part.partition) == (topic, partition)]
        return max(found, default=None)

    async def write(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Return once the files are on the disk, one for each day."""
        known = await self.position(topic, partition) or 0
        missing = [record for record in records if record.offset >= known]
        try:
            # In order of offset: after a crash between two files, the position is that of the first.
            for day, run in groupby(missing, key=attrgetter("day")):
                await asyncio.to_thread(self._write, topic, partition, day, list(run))
        except OSError as error:
            raise SinkDown(str(error)) from error

    async def prune(self, before: date) -> list[str]:
        """Remove the folders of the days before."""
        removed = []
        for folder in sorted(self._folder.glob("day=*")):
            match = _DAY.fullmatch(folder.name)
            if match and date.fromisoformat(match[1]) < before:
                shutil.rmtree(folder)
                removed.append(folder.name)
        return removed

    def _write(self, topic: str, partition: int, day: date, records: list[Record]) -> None:
        folder = self._folder / f"day={day.isoformat()}"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{topic}-{partition}-{records[0].offset:020d}-{records[-1].offset:020d}.parquet"
        part = folder / f".{name}.{os.getpid()}"
        columns: list[Any] = [
            pa.array([topic] * len(records), pa.string()),
            pa.array([partition] * len(records), pa.int32()),
            pa.array([record.offset for record in records], pa.int64()),
            pa.array([record.arrived_ms for record in records], pa.timestamp("ms", tz="UTC")),
            pa.array([record.key for record in records], pa.binary()),
            pa.array([record.value for record in records], pa.binary()),
        ]
        pq.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA), part, compression="zstd")
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, folder / name)


class ParquetEvents:
    """The events of archived files, like `EventFile`: in order for each user, each record once.

    An event without a time of its own gets the time at which it arrived. Raises FileFormatError.
    """

    def __init__(self, path: Path) -> None:
        self._parts = parts(path) if path.is_dir() else [part for part in parts(path.parent, "") if part.path == path]
        if not self._parts:
            raise FileFormatError(f"{path}: no archived events; wanted: a folder or a file that `reco archive` wrote")
        self.total_bytes = sum(part.path.stat().st_size for part in self._parts)
        self.bytes_read = 0

    def __iter__(self) -> Iterator[Line | Refused]:
        next_offset: dict[tuple[str, int], int] = {}
        number = 0
        for part in self._parts:
            key = (part.topic, part.partition)
            for row in pq.read_table(part.path, columns=["offset", "arrived_at", "key", "value"]).to_pylist():
                if row["offset"] < next_offset.get(key, 0):
                    continue
                next_offset[key] = row["offset"] + 1
                number += 1
                yield _line(number, row)
            self.bytes_read += part.path.stat().st_size


def parts(folder: Path, days: str = "day=*") -> list[Part]:
    """Return the complete files under a folder, by day, then partition, then offset."""
    found: list[Part] = []
    for day in sorted(folder.glob(days)) if days else [folder]:
        in_day = []
        for path in day.glob("*.parquet"):
            match = _NAME.fullmatch(path.name)
            if match:
                partition, first, last = (int(match[name]) for name in ("partition", "first", "last"))
                in_day.append(Part(match["topic"], partition, first, last, path))
        found += sorted(in_day)
    return found


def _line(number: int, row: dict[str, Any]) -> Line | Refused:
    arrived_ms = round(row["arrived_at"].timestamp() * 1000)
    try:
        event = decode_raw(row["value"] or b"", _MAX_BYTES)
        if event.timestamp is None:
            event = msgspec.structs.replace(event, timestamp=arrived_ms)
        return Line(number, *encode_event(event), arrived_ms)
    except BadEvent as bad:
        return Refused(number, bad.reason, bad.detail)
