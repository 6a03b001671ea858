"""What a transaction around each checkpoint would cost, against the plain idempotent RecordBatch that the engine sends.

Method. One process appends `--checkpoints` batches of `--rows` rows of 200 bytes to one partition, one after the
other, each when the one before is durable, as the engine does. Three ways take turns, `--rounds` times, on topics of
their own:
the engine's Appender (one RecordBatch under a claimed producer epoch); aiokafka's producer, idempotent, the same batch
(so that what differs is not the client); and the same producer with a transaction around each batch. Wall time and CPU
of the process to the acknowledgement; medians, the ratio is against the Appender. The broker is one node on this
machine: more replicas make the markers of a transaction dearer, not cheaper.

Run: python -m benchmarks.transactions [--json FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.command import options
from benchmarks.report import emit, medians, table
from reco_stream.engine.changelog import Appender, BrokerLink
from reco_stream.engine.store import Record
from reco_stream.kafka_server import KafkaServer

ROW_BYTES = 200
PLAIN = "RecordBatch under a claimed epoch (the engine)"
IDEMPOTENT = "aiokafka's idempotent producer"
TRANSACTION = "aiokafka's producer, a transaction a batch"
MAX_BATCH = 16 << 20

Append = Callable[[Sequence[Record]], Awaitable[object]]


def rows(count: int) -> list[Record]:
    return [(b"p%09d" % number, os.urandom(ROW_BYTES)) for number in range(count)]


async def clocked(append: Append, batch: Sequence[Record], checkpoints: int) -> dict[str, float]:
    """Milliseconds of wall time and of CPU for one batch; the first ten are not measured."""
    for _ in range(10):
        await append(batch)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(checkpoints):
        await append(batch)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall_ms": wall / checkpoints * 1e3, "cpu_ms": cpu / checkpoints * 1e3}


async def plain(bootstrap: str, topic: str, batch: Sequence[Record], checkpoints: int) -> dict[str, float]:
    link = BrokerLink({"bootstrap_servers": bootstrap}, [topic])
    await link.start()
    try:
        appender = Appender(link, topic, 0, await link.claim(topic))
        return await clocked(appender.append, batch, checkpoints)
    finally:
        await link.stop()


async def producer(
    bootstrap: str, topic: str, batch: Sequence[Record], checkpoints: int, transactional: bool
) -> dict[str, float]:
    """One batch a send, built as aiokafka builds it; with a transaction around it or not."""
    client = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        transactional_id=f"{topic}-0" if transactional else None,
        max_batch_size=MAX_BATCH,
        max_request_size=MAX_BATCH,
    )

    async def send(records: Sequence[Record]) -> None:
        built = client.create_batch()
        for key, value in records:
            if built.append(key=key, value=value, timestamp=None) is None:
                raise ValueError(f"{len(records)} rows are more than one batch of {MAX_BATCH} bytes holds")
        await (await client.send_batch(built, topic, partition=0))

    async def send_in_transaction(records: Sequence[Record]) -> None:
        async with client.transaction():
            await send(records)

    await client.start()
    try:
        return await clocked(send_in_transaction if transactional else send, batch, checkpoints)
    finally:
        await client.stop()


async def one_round(bootstrap: str, number: int, count: int, checkpoints: int) -> dict[str, dict[str, float]]:
    """Each way once, on a topic of its own."""
    topics = {name: f"checkpoints-{count}-{number}-{at}" for at, name in enumerate((PLAIN, IDEMPOTENT, TRANSACTION))}
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    config = {"max.message.bytes": str(MAX_BATCH)}
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=config) for topic in topics.values()])
    await admin.close()
    await asyncio.sleep(1.0)  # a new topic takes records some 0.1 s after its creation
    batch = rows(count)
    return {
        PLAIN: await plain(bootstrap, topics[PLAIN], batch, checkpoints),
        IDEMPOTENT: await producer(bootstrap, topics[IDEMPOTENT], batch, checkpoints, transactional=False),
        TRANSACTION: await producer(bootstrap, topics[TRANSACTION], batch, checkpoints, transactional=True),
    }


def run(arguments: argparse.Namespace, kafka: KafkaServer) -> None:
    figures: dict[str, list[dict[str, dict[str, float]]]] = {}
    lines = []
    for count in arguments.rows:
        rounds = [
            asyncio.run(one_round(kafka.bootstrap, number, count, arguments.checkpoints))
            for number in range(arguments.rounds)
        ]
        figures[str(count)] = rounds
        middle = {name: medians([found[name] for found in rounds]) for name in rounds[0]}
        base = middle[PLAIN]
        lines += [
            [count, name, f["wall_ms"], f["cpu_ms"], f["wall_ms"] / base["wall_ms"], f["cpu_ms"] / base["cpu_ms"]]
            for name, f in middle.items()
        ]
    text = table(["rows", "", "wall ms", "CPU ms", "x wall", "x CPU"], lines)
    emit("transactions", text, {"checkpoints": arguments.checkpoints, "rounds": figures}, arguments.json)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--checkpoints", type=int, default=300)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 700, 2_000], help="of one checkpoint")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        KafkaServer(Path(folder) / "kafka", heap="1g", die_with_parent=True) as kafka,
    ):
        run(arguments, kafka)


if __name__ == "__main__":
    main()
