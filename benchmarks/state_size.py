"""CPU of a changed row as the state grows: 10 k, 100 k and 1 M items, about 0.1, 1 and 5 GB of rows.

Method. Twelve partition stores are filled with the rows that a long history would have left: for each user recent items
and a session, for each item in `copies` of the partitions its popularity and a co-view row of 20 pairs. Then events of
known users on known items are folded through the engine's own row cache, processor, RecordBatch builder and store,
without Kafka: micro-batches of 1,000 records, partition after partition. CPU is that of the process, threads of RocksDB
included, divided by rows changed. The first quarter of the events warms up and is not measured. All sizes take turns,
`--rounds` times; the table holds medians, the ratio is against the smallest state.

"uniform" draws users and items evenly, so that no cache helps: the worst case. "long tail" draws items by Zipf's law.

Run: python -m benchmarks.state_size [--json FOLDER] [--folder ON_A_BIG_DISK]
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agents.events import EventProcessor
from benchmarks.inputs import ZIPF, long_tail
from benchmarks.report import emit, medians, table
from reco_stream.domain.partitioner import partition_of
from reco_stream.engine.changelog import Appender, Claim
from reco_stream.engine.rows import RowCache
from reco_stream.engine.store import PartitionStore, Record, StoreResources
from reco_stream.engine.table import MemoryRows
from reco_stream.events import Event
from reco_stream.settings import Settings
from tables import ALL_TABLES
from tables.fold import fold_event
from tables.rules import TableRules

PARTITIONS = 12
BATCH = 1_000
PAIRS = 20
FILL_CHUNK = 20_000
NOW_MS = 1_759_900_000_000  # before the first event
ROW_CACHE_BYTES = 64 << 20
BLOCK_CACHE_BYTES = 64 << 20


@dataclass(frozen=True)
class Size:
    """A state: `items` in `copies` partitions each, `users` users."""

    items: int
    copies: int
    users: int


ACCESS = {"uniform": 0.0, "long tail": ZIPF}
SIZES = {"0.1 GB": Size(10_000, 12, 40_000), "1 GB": Size(100_000, 12, 400_000), "5 GB": Size(1_000_000, 6, 3_000_000)}


class Message(NamedTuple):
    """A Kafka record, as far as the processor reads it."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    timestamp: int


def history(partition: int, size: Size) -> Iterator[Record]:
    """The rows of one partition: made by the rules for one user and one item, then copied under other keys."""
    rows = MemoryRows()
    rules = TableRules()
    for n in range(PAIRS + 1):
        fold_event(rows, Event("u", f"i{n * 7919 % size.items}", "view", NOW_MS + n, 1.0, session="s0"), rules)
    prefixes = {table.name: table.prefix for table in ALL_TABLES}
    encoded = rows.snapshot()
    recent, sessions = encoded[prefixes["recent"] + b"u"], encoded[prefixes["sessions"] + b"u"]
    popularity = encoded[prefixes["popularity"] + b"i0"]
    co_view = encoded[prefixes["co_view"] + f"i{(PAIRS // 2) * 7919 % size.items}".encode()]
    for user in range(size.users):
        if partition_of(f"u{user}", PARTITIONS) == partition:
            key = f"u{user}".encode()
            yield prefixes["recent"] + key, recent
            yield prefixes["sessions"] + key, sessions
    for item in range(size.items):
        if (item + partition) % PARTITIONS < size.copies:
            key = f"i{item}".encode()
            yield prefixes["popularity"] + key, popularity
            yield prefixes["co_view"] + key, co_view


def fill(store: PartitionStore, records: Iterator[Record]) -> None:
    """Writes the rows in random order, as a history would have."""
    chunk = list(records)
    random.Random(1).shuffle(chunk)
    for position, start in enumerate(range(0, len(chunk), FILL_CHUNK)):
        store.write(chunk[start : start + FILL_CHUNK], position)


def batches(events: int, size: Size, zipf: float) -> Iterator[list[Message]]:
    """Micro-batches of one partition after the other."""
    waiting: dict[int, list[Message]] = {number: [] for number in range(PARTITIONS)}
    homes = [partition_of(f"u{user}", PARTITIONS) for user in range(size.users)]
    for line in long_tail(events, size.items, users=size.users, zipf=zipf):
        partition = homes[int(line.key[1:])]
        batch = waiting[partition]
        batch.append(Message("events", partition, line.number, line.key, line.value, 1 << 42))
        if len(batch) == BATCH:
            yield batch
            waiting[partition] = []


@dataclass
class Counts:
    """What was spent since the warm-up."""

    cpu_s: float = 0.0
    events: int = 0
    rows: int = 0


class Bench:
    """The engine over stores that hold a state of one size."""

    def __init__(self, size: Size, folder: Path) -> None:
        settings = Settings(partitions=PARTITIONS)
        resources = StoreResources(BLOCK_CACHE_BYTES)
        self.stores = [PartitionStore(folder / str(number), resources) for number in range(PARTITIONS)]
        for number, store in enumerate(self.stores):
            store.open()
            fill(store, history(number, size))
        time.sleep(5.0)  # compaction of the history is not the events' cost
        self._caches = [RowCache(store, ROW_CACHE_BYTES // PARTITIONS) for store in self.stores]
        rules = TableRules()
        self._processors = [
            EventProcessor(number, PARTITIONS, settings.event_rules(), rules) for number in range(PARTITIONS)
        ]
        self._appenders = [Appender(None, "t", number, Claim(1, 1)) for number in range(PARTITIONS)]  # type: ignore[arg-type]
        self._stream_time_ms = [0] * PARTITIONS

    def apply(self, batch: Sequence[Message]) -> int:
        """One micro-batch; returns how many rows it changed."""
        number = batch[0].partition
        cache, processor, store = self._caches[number], self._processors[number], self.stores[number]
        cache.begin(self._stream_time_ms[number])
        for message in batch:
            rejection = processor.fold(cache, message)
            if rejection is not None:
                raise RuntimeError(f"{message.value!r}: {rejection.reason} {rejection.detail}")
        self._stream_time_ms[number] = cache.stream_time_ms
        records = cache.encode_dirty()
        self._appenders[number]._build(records, 0)
        store.write(records, store.position + len(records))
        return len(records)

    def run(self, made: Sequence[Sequence[Message]]) -> Counts:
        """All batches; the first quarter is not counted."""
        counts = Counts()
        began = 0.0
        for at, batch in enumerate(made):
            if at == len(made) // 4:
                counts, began = Counts(), time.process_time()
            counts.rows += self.apply(batch)
            counts.events += len(batch)
        counts.cpu_s = time.process_time() - began
        return counts

    def close(self) -> None:
        for store in self.stores:
            store.close()


def measure(name: str, zipf: float, events: int, folder: Path) -> dict[str, float]:
    """One run on a fresh state."""
    size = SIZES[name]
    shutil.rmtree(folder, ignore_errors=True)
    bench = Bench(size, folder)
    made = list(batches(events, size, zipf))
    counts = bench.run(made)
    disk = sum(store.size_bytes() for store in bench.stores)
    bench.close()
    shutil.rmtree(folder)
    return {
        "cpu_us_per_row": counts.cpu_s / counts.rows * 1e6,
        "cpu_us_per_event": counts.cpu_s / counts.events * 1e6,
        "rows_per_event": counts.rows / counts.events,
        "disk_gb": disk / 2**30,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="*", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--folder", type=Path, help="where the stores lie; needs three times the largest size")
    parser.add_argument("--json", type=Path, help="folder for the figures")
    arguments = parser.parse_args()
    rounds: dict[tuple[str, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for number in range(1, arguments.rounds + 1):
            for access, zipf in ACCESS.items():
                for name in arguments.sizes:
                    found = measure(name, zipf, arguments.events, Path(folder) / "stores")
                    print(number, access, name, {key: round(value, 2) for key, value in found.items()}, flush=True)
                    rounds.setdefault((access, name), []).append(found)
    middle = {key: medians(figures) for key, figures in rounds.items()}
    header = ["items drawn", "state", "items", "GB on disk", "rows/event", "CPU us/row", "against the smallest"]
    rows = [
        [
            access,
            name,
            SIZES[name].items,
            figures["disk_gb"],
            figures["rows_per_event"],
            figures["cpu_us_per_row"],
            figures["cpu_us_per_row"] / middle[access, arguments.sizes[0]]["cpu_us_per_row"],
        ]
        for (access, name), figures in middle.items()
    ]
    named = {f"{access}, {name}": figures for (access, name), figures in rounds.items()}
    emit("state_size", table(header, rows), {"events": arguments.events, "rounds": named}, arguments.json)


if __name__ == "__main__":
    main()
