"""A worker without web and without recommendations: the engine under Faust, counting events by key.

Run as a script: counting_worker.py APP BOOTSTRAP DATA_DIR
"""

import sys
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import faust
import msgspec

from reco_stream.engine import delivery
from reco_stream.engine.assignment import STORE_SCHEME, StateTables, declare_state
from reco_stream.engine.checkpoint import Limits, Rejection
from reco_stream.engine.config import EngineConfig
from reco_stream.engine.engine import Engine
from reco_stream.engine.marker import Marker
from reco_stream.engine.store import PartitionStore
from reco_stream.engine.table import Table
from tests.engine.python_rows import FoldsInRuns, PythonRows

PARTITIONS = 2
# (events, checksum of their values in order): a lost, repeated or swapped event changes it
Count = tuple[int, int]
COUNTS: Table[Count] = Table("counts", b"n", msgspec.msgpack.encode, msgspec.msgpack.Decoder(Count).decode)


def count(row: Count | None, value: bytes) -> Count:
    events, checksum = row or (0, 0)
    return events + 1, zlib.crc32(value, checksum)


class CountingProcessor(FoldsInRuns):
    def rows_over(self, store: PartitionStore, budget_bytes: int) -> PythonRows:
        return PythonRows(store)

    def fold(self, rows: PythonRows, record: Any) -> Rejection | None:
        if record.value == b"bad":
            return Rejection(record, "bad", "the test says so")
        key = record.key.decode()
        rows.put(COUNTS, key, count(rows.get(COUNTS, key), record.value))
        return None

    def applied(self) -> None: ...

    def aborted(self) -> None: ...


class PublishesCounts:
    prefixes = frozenset([COUNTS.prefix])

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def measure(self, key: bytes, row: bytes) -> None:
        return None

    def expand(self, key: bytes, row: bytes | None) -> Iterable[tuple[str, bytes, bytes | None]]:
        yield self._topic, key, row


class Silent:
    def on_checkpoint(self, partition: int, marker: Marker, records: int, seconds: float) -> None: ...

    def on_restore(self, partition: int, position: int, end: int) -> None: ...

    def on_skipped(self, partition: int, events: int) -> None: ...


def config_for(app: str, bootstrap: str, data_dir: Path) -> EngineConfig:
    return EngineConfig(
        app=app,
        events_topic=f"{app}.events",
        changelog_topic=f"{app}-state-changelog",
        item_stats_topic=f"{app}.item-stats",
        sessions_topic=f"{app}.sessions",
        dead_letters_topic=f"{app}.dead-letters",
        partitions=PARTITIONS,
        data_dir=data_dir,
        url=f"http://{app}",
        client_kwargs={"bootstrap_servers": bootstrap},
        limits=Limits(max_records=100, max_bytes=900_000, slice_ms=4),
        row_cache_bytes=1 << 20,
        store_cache_bytes=8 << 20,
        publish_interval_s=0.1,
        rules={"rule": "count"},
        fingerprint="count",
    )


class CountingApp(faust.App):  # type: ignore[misc]
    engine: Engine

    async def on_start(self) -> None:
        await self.engine.start()
        await super().on_start()

    async def on_stop(self) -> None:
        await super().on_stop()
        await self.engine.stop()


async def ignore(rejections: Sequence[Rejection]) -> None: ...


def build(app_id: str, bootstrap: str, data_dir: Path) -> CountingApp:
    delivery.register()
    config = config_for(app_id, bootstrap, data_dir)
    app = CountingApp(
        app_id,
        broker=f"{delivery.SCHEME}://{bootstrap}",
        store=f"{STORE_SCHEME}://",
        TableManager=StateTables,
        datadir=str(data_dir / "faust"),
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=0.5,
        broker_max_poll_records=100,
        broker_commit_interval=0.5,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
    )
    published = PublishesCounts(config.item_stats_topic)
    app.engine = Engine(config, lambda number: CountingProcessor(), published, ignore, Silent())
    declare_state(app, config.changelog_topic, PARTITIONS)
    events = app.topic(config.events_topic, key_type=bytes, value_type=bytes, value_serializer="raw")

    @app.agent(events)  # type: ignore[untyped-decorator]
    async def fold_batches(batches: Any) -> None:
        async for batch in delivery.each_batch(batches):
            await app.engine.submit(batch.partition, batch, batch.token)

    return app


if __name__ == "__main__":
    faust.Worker(build(sys.argv[1], sys.argv[2], Path(sys.argv[3])), loglevel="info").execute_from_commandline()
