"""Batch delivery: Faust's consumer hands each agent whole batches, one batch = one partition's records.

Faust's own loop (faust/transport/consumer.py:1170 `_drain_messages`) starts four asyncio tasks a record, which
costs 66 to 106 us an event before any work is done. Here one Faust message carries all that a fetch brought, so Faust's
way to the agent costs 0.3 ms a fetch and not a batch; `each_batch` takes it apart.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport import drivers
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import notify

from reco_stream.engine.light_records import read_lightly, source_record

log = logging.getLogger(__name__)

SCHEME = "batch"

# A partition that has just become active is fetched when the running poll returns.
_POLL_S = 0.1
# While a partition has no room it is not fetched; its two waiting batches of up to 2,000 events last for 60 ms each.
_CROWDED_POLL_S = 0.005
# Between two looks for a running partition while there is none.
_NOTHING_RUNS_S = 0.02


@dataclass(frozen=True)
class Waits:
    """How long the broker holds a fetch back, and how many bytes end that."""

    min_bytes: int
    max_ms: int


# The longest that a partition has to wait which is not in the fetch that is waiting; an event has 20 ms to be applied.
AT_ONCE = Waits(1, 10)
# From so many events a second on, the broker collects them: each micro-batch costs 1 ms, and a fetch brings one for
# each partition. With 10 ms and 12 partitions they took a core whatever the rate, and requests waited for 40 ms; with
# 64 kB they came every 36 ms at 12,000 events/s, and 198 micro-batches a second became 266.
COLLECT = Waits(262_144, 50)
_COLLECT_FROM_PER_S = 200
# After a pause every partition is in the fetch that is waiting, and its first byte ends the wait: a hundred fetches a
# second, of which each brings nothing, took 5 % of a core.
IDLE = Waits(1, 200)
_IDLE_AFTER_S = 1.0


class Batch(list[Any]):
    """SourceRecords of one partition in offset order."""

    __slots__ = ("partition", "token")

    def __init__(self, records: list[Any], partition: int, token: object) -> None:
        super().__init__(records)
        self.partition = partition
        self.token = token


async def each_batch(stream: AsyncIterable[Sequence[Batch]]) -> AsyncIterator[Batch]:
    """Yields the batches of an agent's stream, one after the other."""
    async for fetched in stream:
        for batch in fetched:
            yield batch


class BatchConsumer(Consumer):  # type: ignore[misc]
    """Faust's aiokafka consumer, delivering batches and committing what the engine has applied."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._polling = asyncio.Lock()
        self._records_at = 0.0

    def _new_consumer_thread(self) -> BatchConsumerThread:
        """Replaces faust/transport/drivers/aiokafka.py:237 `_new_consumer_thread`."""
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        """Replaces faust/transport/consumer.py:1170 `_drain_messages`."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                fetched = await self._poll()
                for batch in fetched:
                    self.app.engine.taken(batch.partition, batch.token)
                # While the flow is suspended a rebalance is going on, after which all is read again.
                if fetched and self.flow_active:
                    await self._deliver(fetched)
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise

    async def _poll(self) -> list[Batch]:
        """Records of the partitions that ran before the poll began, with the token of that run.

        Taking records moves the position, so what nobody may apply must not be taken: no partition starts during a
        poll (`start_partition`), and the poll gets a set of its own, because Faust changes its set of active
        partitions while the consumer's thread is reading it (faust/transport/consumer.py:776 `_wait_next_records`).
        """
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        async with self._polling:
            engine = self.app.engine
            tokens, topic = engine.tokens(), engine.config.events_topic
            active = {tp for tp in self._active_partitions if tp.topic == topic and tp.partition in tokens}
            crowded = engine.is_crowded()
            if active:
                records = await self._getmany(active, _CROWDED_POLL_S if crowded else _POLL_S)
                self._pace(sum(map(len, records.values())), time.monotonic())
                return [Batch(found, tp.partition, tokens[tp.partition]) for tp, found in records.items()]
        await self.sleep(_CROWDED_POLL_S if crowded else _NOTHING_RUNS_S)
        return []

    def _pace(self, events: int, now: float) -> None:
        """Lets the broker collect while events keep coming; the first one after a pause is not kept waiting."""
        pause_s = now - self._records_at
        much = events > _COLLECT_FROM_PER_S * pause_s
        self._thread.wait_for(COLLECT if much else AT_ONCE if events or pause_s < _IDLE_AFTER_S else IDLE)
        if events:
            self._records_at = now

    async def start_partition(self, tp: TP, offset: int) -> None:
        """Delivers records of `tp` from `offset` on: no poll that began before has moved the position since."""
        async with self._polling:
            await self.seek_wait({tp: offset})
            self._records_at = time.monotonic()  # others start soon, and what they ask for goes behind the fetches
            self.resume_partitions({tp})

    def rejoin(self) -> None:
        """Joins the group anew, which revokes and assigns; returns at once."""
        self._thread.rejoin()

    async def _deliver(self, fetched: Sequence[Batch]) -> None:
        """Hands over what one fetch brought as one message; its offset and partition are those of the first batch."""
        first = fetched[0]
        last = first[-1]
        tp = TP(last.topic, first.partition)
        message = ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            1,  # stamped when it was appended
            (),
            None,
            fetched,
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        # A rebalance suspends the flow: then nobody takes the message, and the records are fetched again.
        await self.wait_first(self.callback(message), self.suspend_flow.wait())

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Extends faust/transport/consumer.py:642 `on_partitions_revoked`: drains the engine first."""
        self._active_partitions.clear()
        await self.app.engine.revoke()
        await super().on_partitions_revoked(revoked)

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Replaces faust/transport/consumer.py:980 `force_commit`: commits what the markers say.

        The markers are the truth; what is committed serves lag monitors only.
        """
        topic = self.app.engine.config.events_topic
        offsets: Mapping[TP, int] = {
            TP(topic, number): marker.applied + 1 for number, marker in self.app.engine.applied().items()
        }
        moved = {tp: offset for tp, offset in offsets.items() if self._committed_offset.get(tp) != offset}
        if not moved:
            return False
        committed: bool = await self._commit(moved)
        if committed:
            self._committed_offset.update(moved)
        return committed

    def ack(self, message: Any) -> bool:
        """Replaces faust/transport/consumer.py:825 `ack`: nobody would ever empty its lists of offsets."""
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Replaces faust/transport/drivers/aiokafka.py:299 `verify_event_path`: that watchdog counts acks."""


class BatchConsumerThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's consumer thread with a short fetch wait, for which a refused commit is no reason to die."""

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Replaces faust/transport/drivers/aiokafka.py:794 `_commit`: it crashes on any refusal.

        It means to forgive the one that every rebalance may bring, but looks for words that aiokafka's message breaks
        over two lines. Offsets are for lag monitors only: the next commit will do.
        """
        assigned = self.assignment()
        mine = {TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items() if tp in assigned}
        try:
            await self._ensure_consumer().commit(mine)
        except KafkaError as error:
            log.warning("offsets were not committed, which is for monitors only: %s", type(error).__name__)
            return False
        return True

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        """Extends faust/transport/drivers/aiokafka.py:568 `_create_worker_consumer`.

        Its fetch wait is fixed at 1.5 s, and aiokafka sends a broker one fetch at a time: a partition that is not in
        the waiting fetch (its last records were just taken) is not fetched before that wait ends.
        """
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = AT_ONCE.max_ms
        return consumer

    def wait_for(self, waits: Waits) -> None:
        """Sets what the fetches from now on wait for.

        Each reads it anew: aiokafka/consumer/fetcher.py:584 `_get_actions_per_node`.
        """
        fetcher = self._ensure_consumer()._fetcher
        fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms = waits.min_bytes, waits.max_ms

    async def on_start(self) -> None:
        """Extends faust/transport/drivers/aiokafka.py:545 `on_start`: records have the fields that a fold needs."""
        await super().on_start()
        read_lightly(self._ensure_consumer(), source_record)

    def rejoin(self) -> None:
        """Joins the group anew (aiokafka/consumer/group_coordinator.py:538 `request_rejoin`), unless it is ending."""
        if self._consumer is not None and not self.should_stop:
            self.thread_loop.call_soon_threadsafe(self._consumer._coordinator.request_rejoin)

    async def on_thread_stop(self) -> None:
        """Extends faust/transport/drivers/aiokafka.py:551 `on_thread_stop`: leaves if told to.

        aiokafka sends LeaveGroup for members without an instance id only
        (aiokafka/consumer/group_coordinator.py:374 `_maybe_leave_group`).
        """
        consumer = self._consumer
        if consumer is not None and self.app.leaves and consumer._coordinator is not None:
            consumer._coordinator._group_instance_id = None
        await super().on_thread_stop()


class BatchTransport(Transport):  # type: ignore[misc]
    """Faust transport with batch delivery; broker URL scheme `batch://`."""

    Consumer: ClassVar[type[BatchConsumer]] = BatchConsumer


def register() -> None:
    """Makes `batch://` a broker URL scheme of Faust (TRANSPORTS.aliases)."""
    drivers.TRANSPORTS.aliases[SCHEME] = f"{__name__}:BatchTransport"
