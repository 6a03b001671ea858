"""CPU of a changed row as the state grows: 10 k, 100 k and 1 M items, about 0.1, 1 and 5 GB of rows.

Method. Twelve partition stores are filled with the rows that a long history would have left: for each user recent items
and a session, for each item in `copies` of the partitions its popularity and a co-view row of 20 pairs. The rows are
those that the rules make of `VARIANTS` random sessions, so that neighbours differ, as they do in reality: copies of one
row compress to a tenth, and ten times as many fit the block cache. They are written straight to the stores, in random
order; RocksDB then finishes its compactions. Each size is filled once, and each run gets a copy.

Then events of known users on known items are folded through the engine's own row cache, processor, RecordBatch builder
and store, without Kafka: micro-batches of 1,000 records, partition after partition, with caches of the default sizes.
An event on an item that its partition does not know is moved to one close by that it knows, and all events lie in one
stream day: so an event reads rows of the same length, finds them there, and ages none, whatever the size. CPU is that
of the process, threads of RocksDB included, divided by rows changed. The first quarter of the events warms up and is
not measured. All sizes take turns, `--rounds` times; the table holds medians, the ratio is against the smallest state.

"uniform" draws users and items evenly, so that no cache helps: the worst case. "long tail" draws items by Zipf's law.

Run: python -m benchmarks.state_size [--json FOLDER] [--folder ON_A_BIG_DISK]
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from agents.events import EventProcessor
from benchmarks.command import options
from benchmarks.inputs import FIRST_MS, ZIPF, long_tail
from benchmarks.report import emit, medians, table
from reco_stream.domain.partitioner import partition_of
from reco_stream.engine.changelog import Appender, Claim
from reco_stream.engine.store import PartitionStore, Record, StoreResources
from reco_stream.engine.table import MemoryRows, Table
from reco_stream.events import Event
from reco_stream.settings import Settings
from tables.co_view import CO_VIEW
from tables.fold import fold_event
from tables.popularity import POPULARITY
from tables.recent import RECENT
from tables.rules import TableRules
from tables.sessions import SESSIONS

PARTITIONS = 12
BATCH = 1_000
PAIRS = 20
FILL_CHUNK = 20_000
COMPACTIONS = "rocksdb.num-running-compactions"  # not "compaction-pending": that may stay 1 with nothing to merge
VARIANTS = 1_000
NOW_MS = FIRST_MS - 7_200_000  # before the first event, on its day
SPEED_UP = 8  # four days of events in twelve hours: of one stream day


@dataclass(frozen=True)
class Size:
    """A state: `items` in `copies` partitions each, `users` users."""

    items: int
    copies: int
    users: int


ACCESS = {"uniform": 0.0, "long tail": ZIPF}
SIZES = {"0.1 GB": Size(10_000, 12, 40_000), "1 GB": Size(100_000, 12, 400_000), "5 GB": Size(1_000_000, 6, 1_000_000)}


class Message(NamedTuple):
    """A Kafka record, as far as the processor reads it."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    timestamp: int


def variants(size: Size) -> list[dict[bytes, bytes]]:
    """What the rules make of random sessions: rows of their user and of the item in their middle, by table prefix."""
    draw, rules, found = random.Random(2), TableRules(), []
    for n in range(VARIANTS):
        rows, time_ms = MemoryRows(), NOW_MS
        items = [f"i{number}" for number in draw.sample(range(size.items), PAIRS + 1)]
        for item in items:
            time_ms += draw.randrange(60_000)
            fold_event(rows, Event("u", item, "view", time_ms, 1.0, session=f"s{n}"), rules)
        encoded, middle = rows.snapshot(), items[PAIRS // 2].encode()
        keys: dict[Table[Any], bytes] = {RECENT: b"u", SESSIONS: b"u", POPULARITY: middle, CO_VIEW: middle}
        found.append({table.prefix: encoded[table.prefix + key] for table, key in keys.items()})
    return found


def history(partition: int, size: Size, homes: Sequence[int], made: list[dict[bytes, bytes]]) -> list[Record]:
    """The rows of one partition, in random order."""
    draw, found = random.Random(partition), list[Record]()
    users = (f"u{user}".encode() for user in range(size.users) if homes[user] == partition)
    items = (f"i{item}".encode() for item in range(size.items) if (item + partition) % PARTITIONS < size.copies)
    for keys, tables in ((users, (RECENT, SESSIONS)), (items, (POPULARITY, CO_VIEW))):
        prefixes = [table.prefix for table in tables]
        for key in keys:
            rows = draw.choice(made)
            found += [(prefix + key, rows[prefix]) for prefix in prefixes]
    draw.shuffle(found)
    return found


def fill(size: Size, folder: Path) -> None:
    """Writes the state of one size and waits until RocksDB has nothing left to do."""
    homes, made = homes_of(size), variants(size)
    resources = StoreResources(Settings().rocksdb_cache_mb << 20)
    for number in range(PARTITIONS):
        store = PartitionStore(folder / str(number), resources)
        store.open()
        rows = history(number, size, homes, made)
        for position, start in enumerate(range(0, len(rows), FILL_CHUNK)):
            store.write(rows[start : start + FILL_CHUNK], position)
        store.close()
        store.open()  # from the closing flush on, only compactions are left
        time.sleep(1.0)
        while store._opened().property_int_value(COMPACTIONS):
            time.sleep(0.5)
        store.close()


def copied(filled: Path, folder: Path) -> None:
    """Copies a state; RocksDB never changes a table file, so those are linked."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(filled, folder, copy_function=lambda a, b: (os.link if a.endswith(".sst") else shutil.copy)(a, b))


def homes_of(size: Size) -> list[int]:
    """The partition of each user."""
    return [partition_of(f"u{user}", PARTITIONS) for user in range(size.users)]


def known_item(item: int, partition: int, copies: int) -> int:
    """The item, or one close by that the partition has rows of."""
    place = (item + partition) % PARTITIONS
    moved = item - place + place % copies
    return moved if moved >= 0 else moved + PARTITIONS


def batches(events: int, size: Size, zipf: float) -> Iterator[list[Message]]:
    """Micro-batches of one partition after the other."""
    waiting: dict[int, list[Message]] = {number: [] for number in range(PARTITIONS)}
    homes = homes_of(size)
    for line in long_tail(events, size.items, users=size.users, zipf=zipf):
        partition = homes[int(line.key[1:])]
        body = json.loads(line.value)
        body["item_id"] = f"i{known_item(int(body['item_id'][1:]), partition, size.copies)}"
        body["timestamp"] = FIRST_MS + ((line.time_ms or FIRST_MS) - FIRST_MS) // SPEED_UP
        batch = waiting[partition]
        batch.append(Message("events", partition, line.number, line.key, json.dumps(body).encode(), 1 << 42))
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
    """The engine over the stores of a folder."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(partitions=PARTITIONS)
        resources = StoreResources(settings.rocksdb_cache_mb << 20)
        self.stores = [PartitionStore(folder / str(number), resources) for number in range(PARTITIONS)]
        for store in self.stores:
            store.open()
        rules = TableRules()
        self._processors = [
            EventProcessor(number, PARTITIONS, settings.event_rules(), rules) for number in range(PARTITIONS)
        ]
        self._caches = [
            processor.rows_over(store, (settings.row_cache_mb << 20) // PARTITIONS)
            for processor, store in zip(self._processors, self.stores, strict=True)
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


def measure(size: Size, zipf: float, events: int, folder: Path) -> dict[str, float]:
    """One run on the stores of `folder`, which it deletes."""
    made = list(batches(events, size, zipf))
    bench = Bench(folder)
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
    parser = options(__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="*", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--folder", type=Path, help="where the stores lie; needs three times the largest size")
    arguments = parser.parse_args()
    rounds: dict[tuple[str, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as made:
        folder = Path(made)
        for name in arguments.sizes:
            fill(SIZES[name], folder / name)
        for number in range(1, arguments.rounds + 1):
            for access, zipf in ACCESS.items():
                for name in arguments.sizes:
                    copied(folder / name, folder / "run")
                    found = measure(SIZES[name], zipf, arguments.events, folder / "run")
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
