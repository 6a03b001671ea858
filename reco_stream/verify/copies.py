"""The copies of a partition's state that are compared: the changelog's last values, and local stores."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from rocksdict import AccessType, Options, Rdict

from reco_stream.engine.marker import (
    FENCE_KEY,
    MARKER_KEY,
    PLACE_KEY,
    RULES_KEY,
    Fence,
    Marker,
    Place,
    decode_marker,
    decode_place,
)
from reco_stream.verify.log import LogReader

_ENGINE_PREFIX: Final = b"\x00"  # of the engine's own records; rows begin with their table's letter
_decode_fence = msgspec.msgpack.Decoder(Fence).decode
_decode_rules = msgspec.msgpack.Decoder(dict[str, str]).decode


class UnreadableCopy(Exception):
    """A copy that cannot be read at all; the message says why and what to do."""


@dataclass
class Copy:
    """One copy of one partition: its rows and what they claim to contain. `faults` are contradictions within it."""

    where: str
    rows: dict[bytes, bytes] = field(default_factory=dict)
    marker: Marker = field(default_factory=Marker)
    place: Place | None = None  # of a store
    rules: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Takes one record in, in the order of the log."""
        if key[:1] != _ENGINE_PREFIX:
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value
        elif key == MARKER_KEY and value is not None:
            self.marker = decode_marker(value)
        elif key == RULES_KEY and value is not None:
            self.rules = _decode_rules(value)
        elif key == PLACE_KEY and value is not None:
            self.place = decode_place(value)


async def changelog_copy(
    reader: LogReader, topic: str, partition: int, on_records: Callable[[int], None] | None = None
) -> Copy:
    """Returns the last values of one changelog partition; `on_records` hears how many records each step read.

    Also checks the fence: no marker lies behind a newer owner's fence, and none is below an earlier one.
    """
    copy = Copy(f"{topic}[{partition}]")
    fence = 0
    async for records in reader.read_compacted(topic, partition):
        for record in records:
            before = copy.marker.applied
            copy.put(record.key, record.value)
            if record.key == FENCE_KEY and record.value is not None:
                fence = max(fence, _decode_fence(record.value).version)
            elif record.key == MARKER_KEY:
                copy.faults += _marker_faults(copy.marker, before, fence, record.offset)
        if on_records is not None:
            on_records(len(records))
    return copy


def _marker_faults(marker: Marker, before: int, fence: int, offset: int) -> Iterator[str]:
    if marker.applied < before:
        yield f"offset {offset}: the marker went back from {before} to {marker.applied}"
    if marker.version < fence:
        yield f"offset {offset}: written by version {marker.version} behind the fence of {fence}"


def store_copies(data_dir: Path, state_name: str) -> dict[int, Path]:
    """Returns partition -> path of the stores under a worker's data folder. Raises UnreadableCopy for none."""
    folder = data_dir / state_name
    found = {int(path.name.removeprefix("partition-")): path for path in sorted(folder.glob("partition-[0-9]*"))}
    if not found:
        raise UnreadableCopy(f"{folder} holds no partition; wanted: the RECO_DATA_DIR of a worker of {state_name}")
    return found


def store_copy(path: Path) -> Copy:
    """Returns the rows of one store. Raises UnreadableCopy with RocksDB's words.

    A store whose worker runs is read as RocksDB's secondary instance: a snapshot of what had been written when it was
    opened, without the lock that the worker holds.
    """
    copy = Copy(str(path))
    try:
        with _opened(path) as db:
            for key, value in db.items():
                copy.put(key, value)  # type: ignore[arg-type]  # raw mode: bytes
    except UnreadableCopy:
        raise
    except Exception as error:  # rocksdict raises plain Exception
        raise UnreadableCopy(f"{path}: {error}") from error
    return copy


def is_held(path: Path) -> bool:
    """True when a process holds RocksDB's lock on the store. Raises UnreadableCopy when it is no store."""
    lock = path / "LOCK"
    if not lock.exists():
        raise UnreadableCopy(f"{path} has no file LOCK; wanted: a partition folder of a worker")
    # RocksDB takes a POSIX record lock; asking for the same one says who is there, and gives it back on close.
    with lock.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


@contextmanager
def _opened(path: Path) -> Iterator[Rdict]:
    options = Options(raw_mode=True)
    if not is_held(path):
        db = Rdict(str(path), options, access_type=AccessType.read_only())
        try:
            yield db
        finally:
            db.close()
        return
    options.set_max_open_files(-1)  # all open from the start: the worker's compactions delete files
    with tempfile.TemporaryDirectory(prefix="reco-verify-") as logs:
        db = Rdict(str(path), options, access_type=AccessType.secondary(logs))
        try:
            yield db
        finally:
            db.close()
