"""Partition store: one RocksDB for one partition, behind the rows of the last checkpoints.

What a checkpoint writes is held in memory and goes to RocksDB with what follows, as one WriteBatch, about once a
second: a row that changes with every checkpoint is then written once. A process that is killed loses what is held, and
recovery reads it again from the changelog, which has it all: to the store a crash looks as if it had come earlier.

All partitions of a process share one write-buffer manager and the cache that it charges, so this memory does not grow
with the number of partitions (Faust's default is a cache of 2 GiB a database).
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Final

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompactionStyle,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    UniversalCompactOptions,
    WriteBatch,
    WriteBufferManager,
)

from reco_stream.engine.errors import StoreDamaged, StoreFailed, StoreLocked
from reco_stream.engine.marker import MARKER_KEY, PLACE_KEY, Marker, Place, decode_marker, decode_place, encode_place

log = logging.getLogger(__name__)

Record = tuple[bytes, bytes | None]

# So many held rows are written at once, for 2 ms of the loop that also serves HTTP. Each row costs 3 us in the batch of
# one checkpoint, 2 us in this one, and nothing if it is held already.
_HELD_ROWS: Final = 1_000
# What has been held for so long is written when somebody asks (`flush_old`).
_HELD_S: Final = 1.0


class StoreResources:
    """Memory that all stores of this process share; sizes in bytes.

    Beside it each open file keeps its index and its filter.
    """

    def __init__(self, cache_bytes: int) -> None:
        self.cache = Cache(cache_bytes)
        # All of it for memtables: rows that are read are kept by who decodes them, see `_open`. With 16 MB for twelve
        # partitions a memtable was flushed at 1.3 MB, and merging such small files took 2 us of CPU an event.
        self.buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
            max(cache_bytes, 4 << 20), False, self.cache
        )

    def options(self) -> Options:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_compression_type(DBCompressionType.lz4())
        # Merging a few small files into one level with all rows rewrote the whole store for every 10 MB: 28 us of CPU a
        # row at 1 GB, where files are merged with their like for 1 us.
        options.set_compaction_style(DBCompactionStyle.universal())
        # Up to seven files beside the large one, the default is three: those grow into it so often that in the long run
        # 18 bytes are rewritten for one that is flushed, with seven 3 (files of 200 MB, flushes of 3). In return a
        # look-up asks the filters of two more files.
        options.set_level_zero_file_num_compaction_trigger(8)
        merging = UniversalCompactOptions()
        merging.size_ratio = 50
        options.set_universal_compaction_options(merging)
        options.set_write_buffer_size(16 << 20)
        options.set_max_write_buffer_number(2)
        options.set_write_buffer_manager(self.buffers)
        # On a long tail six of seven look-ups are for rows that do not exist; the filter spares those in the memtable.
        options.set_memtable_prefix_bloom_ratio(0.05)
        options.set_memtable_whole_key_filtering(True)
        options.set_max_open_files(256)
        options.set_keep_log_file_num(2)
        table = BlockBasedOptions()
        table.set_block_cache(self.cache)
        # Indexes and filters lie in memory as long as their files are open, 2.5 bytes a row: to find each part of them
        # in the cache took a third of a look-up. Of a 4 kB block a look-up copies and decompresses twice as much.
        table.set_cache_index_and_filter_blocks(False)
        table.set_block_size(2 << 10)
        table.set_index_block_restart_interval(8)  # every entry in full made the index twice as large, and no faster
        table.set_bloom_filter(10, False)
        options.set_block_based_table_factory(table)
        return options


class PartitionStore:
    """Rows of one partition; what reaches the disk is all that was written up to one changelog position, or nothing.

    Raises StoreFailed for what RocksDB raises (a full disk, a held lock, damaged files): the caller stops the process,
    because memory is then ahead of the disk.
    """

    def __init__(self, path: Path, resources: StoreResources) -> None:
        self.path = path
        self._resources = resources
        self._db: Rdict | None = None
        self._marker: Marker | None = None
        self._held: dict[bytes, bytes | None] = {}
        self._held_since: float | None = None
        self._settled = True
        self.position = -1
        self.written_at = 0.0
        self.changelog_id = ""  # of the topic that `position` belongs to; whoever writes sets it first

    def open(self) -> None:
        """Opens or creates the database; reads the position it had reached. Damaged files are deleted first, so that
        recovery builds the partition anew from the changelog."""
        if self._damage_note.exists():
            log.warning("%s: %s; building it anew", self.path, self._damage_note.read_text().strip())
            self.wipe()
        try:
            self._open()
        except StoreDamaged as damage:
            log.warning("%s; doing so now", damage)
            self.wipe()
            self._open()

    def _open(self) -> None:
        with self._failures("open"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            options = self._resources.options()
            # For the column family too: else rocksdict opens an existing one as its files say, with a cache of its own.
            self._db = Rdict(str(self.path), options, {"default": options})
            # A block that was read for one row goes: the row is kept decoded, and to keep its seven neighbours too cost
            # more (2 us a look-up to insert and evict) than finding one of them saves.
            reading = ReadOptions()
            reading.fill_cache(False)  # type: ignore[call-arg]  # rocksdict.pyi leaves the value out
            self._db.set_read_options(reading)
            raw = self._db.get(PLACE_KEY)
        place = Place() if raw is None else decode_place(raw)
        self.position, self.written_at = place.offset, place.written_ms / 1000
        self.changelog_id = place.changelog_id

    @property
    def is_open(self) -> bool:
        return self._db is not None

    def _opened(self) -> Rdict:
        if self._db is None:
            raise RuntimeError(f"store {self.path} is closed")
        return self._db

    def get(self, key: bytes) -> bytes | None:
        if key in self._held:
            return self._held[key]
        return self._read(key)

    def _read(self, key: bytes) -> bytes | None:
        db = self._opened()
        try:
            value: bytes | None = db.get(key)
        except Exception as error:  # not `_failures`, which costs as much as the read
            raise self._failed("read", error) from error
        return value

    def marker(self) -> Marker:
        if self._marker is None:  # read once a write: every answer over HTTP asks for it twice
            raw = self.get(MARKER_KEY)
            self._marker = Marker() if raw is None else decode_marker(raw)
        return self._marker

    def write(
        self, records: Iterable[Record] | Mapping[bytes, bytes | None], position: int, *, settled: bool = True
    ) -> None:
        """Takes rows (None deletes) and the changelog position they end at; all of them or none reach the disk.

        `settled` is False when the rows are not yet those of one moment, see `Place`.
        """
        self._opened()
        self._held.update(records)
        self._marker = None
        self._settled = settled
        self.position, self.written_at = position, int(time.time() * 1000) / 1000
        if self._held_since is None:
            self._held_since = time.monotonic()
        if self.is_filled_by(0):
            self.flush()

    def is_filled_by(self, rows: int) -> bool:
        """Says whether a write of so many rows may flush, which takes 2 ms or more."""
        return len(self._held) + rows >= _HELD_ROWS

    def flush_old(self) -> None:
        """Flushes what has been held for a second."""
        if self._held_since is not None and time.monotonic() - self._held_since >= _HELD_S:
            self.flush()

    def flush(self) -> None:
        """Returns when what was written would survive the end of this process (not of the machine)."""
        if self._held_since is None:
            return
        place = Place(self.position, round(self.written_at * 1000), self.changelog_id, self._settled)
        self._write_through(chain(self._held.items(), [(PLACE_KEY, encode_place(place))]))
        self._held = {}
        self._held_since = None

    def _write_through(self, records: Iterable[Record]) -> None:
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in records:
            if value is None:
                delete(key)
            else:
                put(key, value)
        db = self._opened()
        with self._failures("write"):
            db.write(batch)

    def scan(self, prefix: bytes, below: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Rows whose key begins with `prefix` (and sorts before `below`), ascending."""
        self.flush()
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(prefix[:-1] + bytes([prefix[-1] + 1]) if below is None else below)
        db = self._opened()
        with self._failures("read"):
            iterator = db.iter(bounds)
            iterator.seek(prefix)
            while iterator.valid():
                yield iterator.key(), iterator.value()
                iterator.next()
            iterator.status()

    def size_bytes(self) -> int:
        """Live data on disk and in memtables, as RocksDB estimates it."""
        db = self._opened()
        return sum(
            db.property_int_value(name) or 0
            for name in ("rocksdb.live-sst-files-size", "rocksdb.cur-size-all-mem-tables")
        )

    def close(self) -> None:
        """Flushes and releases the lock at once; a second call does nothing.

        Held rows that are not yet those of one moment are given up, so that what is on disk may stay one; and with a
        warning, what cannot be written. All of it is in the changelog.
        """
        if self._db is None:
            return
        try:
            if self._settled:
                self.flush()
        except StoreFailed as error:
            log.warning("%s; what it lacks will be read from the changelog", error)
        self._forget_held()
        self._db.close()
        self._db = None

    def _forget_held(self) -> None:
        self._held = {}
        self._held_since = self._marker = None

    def wipe(self) -> None:
        """Deletes the database, so that recovery begins at the start of the changelog."""
        self._forget_held()
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)
        self._damage_note.unlink(missing_ok=True)
        self.position = -1
        self.written_at = 0.0
        self.changelog_id = ""

    @property
    def _damage_note(self) -> Path:
        """A file beside the database: it says that the database must be deleted, and why."""
        return self.path.with_name(f"{self.path.name}.damaged")

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        """Raises a StoreFailed for what RocksDB and the file system raise."""
        try:
            yield
        except StoreFailed:
            raise
        except Exception as error:  # rocksdict raises plain Exception
            raise self._failed(what, error) from error

    def _failed(self, what: str, error: Exception) -> StoreFailed:
        why = str(error)
        if why.startswith("Corruption"):
            with suppress(OSError):  # found again at the next start, or by the next read
                self._damage_note.write_text(f"{why}\n")
            return StoreDamaged(f"{self.path} is damaged ({why}): delete it, or start again to have it built anew")
        if "lock" in why.lower():
            return StoreLocked(
                f"{self.path} is open in another process ({why}): each worker needs its own RECO_DATA_DIR"
            )
        existing = next(folder for folder in (self.path, *self.path.parents) if folder.exists())
        return StoreFailed(f"cannot {what} {self.path}: {why}; {free_bytes(existing):,} bytes are free there")


def free_bytes(path: Path) -> int:
    """Bytes that this process may still write under `path`."""
    stats = os.statvfs(path)
    return stats.f_bavail * stats.f_frsize
