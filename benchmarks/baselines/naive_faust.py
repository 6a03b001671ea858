"""Baseline: Faust as its documentation shows it, an agent that changes tables event by event.

Four tables with raw keys and values, so that Faust's own JSON does not count against it, on Faust's RocksDB store;
all other settings are Faust's defaults. A kill leaves its counts wrong: it is at-least-once.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import faust
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.baselines.arguments import Arguments, parse, rules
from benchmarks.baselines.progress import Progress
from benchmarks.baselines.stored_rows import StoredRows
from reco_stream.events import decode_event

TABLES = ("recent", "sessions", "popularity", "co_view")


async def create_changelogs(arguments: Arguments) -> None:
    """Creates what Faust would create: it joins its group before new topics are known, and then waits for ever."""
    admin = AIOKafkaAdminClient(bootstrap_servers=arguments.broker)
    await admin.start()
    try:
        names = [f"{arguments.group}-{table}-changelog" for table in TABLES]
        config = {"cleanup.policy": "compact"}
        await admin.create_topics([NewTopic(name, arguments.partitions, 1, topic_configs=config) for name in names])
        await asyncio.sleep(2.0)
    finally:
        await admin.close()


def build(arguments: Arguments) -> faust.App:
    """The app, ready to run."""
    app = faust.App(
        arguments.group,
        broker=f"kafka://{arguments.broker}",
        store="rocksdb://",
        datadir=str(arguments.folder),
        topic_partitions=arguments.partitions,
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    topic = app.topic(arguments.topic, key_type=bytes, value_type=bytes, value_serializer="raw", key_serializer="raw")
    tables = {
        name: app.Table(name, partitions=arguments.partitions, key_type=bytes, value_type=bytes) for name in TABLES
    }
    event_rules, table_rules = rules()
    partitions = [StoredRows() for _ in range(arguments.partitions)]
    progress = Progress(arguments.progress)

    def get(table: str, key: str) -> bytes | None:
        raw: bytes | None = tables[table].get(key.encode())
        return raw

    def put(table: str, key: str, value: bytes) -> None:
        tables[table][key.encode()] = value

    @app.agent(topic)  # type: ignore[untyped-decorator]
    async def fold(stream: Any) -> None:
        async for record in stream.events():
            message = record.message
            event = decode_event(message.key, message.value, int(message.timestamp * 1000), event_rules)
            rows = partitions[message.partition]
            rows.stream_time_ms = max(rows.stream_time_ms, event.time_ms)
            rows.apply(event, table_rules, get, put)
            progress.add(1)

    return app


def main() -> None:
    arguments = parse()
    asyncio.run(create_changelogs(arguments))
    app = build(arguments)
    app.finalize()
    sys.argv = sys.argv[:1]
    faust.Worker(app, loglevel="info", redirect_stdouts=False, quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()
