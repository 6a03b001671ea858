"""Baseline: a bare aiokafka loop that decodes each event's JSON and does nothing with it.

The floor for anything in Python that reads this topic: no group, no check of the event's contract, no state.
"""

from __future__ import annotations

import asyncio

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.baselines.arguments import Arguments, parse
from benchmarks.baselines.progress import Progress
from reco_stream.events import decode_raw

MAX_BYTES = 1_048_576


async def run(arguments: Arguments) -> None:
    """Reads the topic `passes` times, then waits to be killed."""
    tps = [TopicPartition(arguments.topic, number) for number in range(arguments.partitions)]
    progress = Progress(arguments.progress)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=arguments.broker, group_id=None, enable_auto_commit=False, max_partition_fetch_bytes=4 << 20
    )
    await consumer.start()
    try:
        consumer.assign(tps)
        total = sum((await consumer.end_offsets(tps)).values())
        for passed in range(1, arguments.passes + 1):
            for tp in tps:
                consumer.seek(tp, 0)
            while progress.done < total * passed:
                for records in (await consumer.getmany(*tps, timeout_ms=100)).values():
                    for record in records:
                        decode_raw(record.value, MAX_BYTES)
                    progress.add(len(records))
        await asyncio.Event().wait()
    finally:
        await consumer.stop()


if __name__ == "__main__":
    uvloop.run(run(parse()))
