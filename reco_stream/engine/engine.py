"""The engine: which partitions this process owns, and what happens when the group moves them.

One task a partition, so that one partition's wait for an acknowledgement is another one's time to fold. Any error in
a partition stops the whole process: memory is then ahead of the log, and a restart recovers in seconds. But for one: a
partition that a newer owner has claimed is let go, and the group says anew whose it is.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from reco_stream.engine.changelog import BrokerLink
from reco_stream.engine.checkpoint import Processor, Rejection
from reco_stream.engine.config import EngineConfig
from reco_stream.engine.errors import EXIT_FAILED, EngineError, Fenced
from reco_stream.engine.marker import Marker
from reco_stream.engine.partition import Observer, Partition, Phase, Source
from reco_stream.engine.publisher import PublishesRows
from reco_stream.engine.standby import Standbys
from reco_stream.engine.store import PartitionStore, StoreResources
from reco_stream.engine.tasks import end_tasks
from reco_stream.engine.turns import take_turn

log = logging.getLogger(__name__)

# What a rebalance waits for running parts; half of the shortest session timeout that Kafka allows (6 s).
_DRAIN_TIMEOUT_S = 3.0
# A fenced owner learns from the group that its session has ended, within a heartbeat or when it has found the new
# coordinator. Later than this it asks: the claim that fenced it may have come from one that the group had given up.
_REBALANCE_WITHIN_S = 5.0


class Engine:
    """Owns partitions on behalf of the consumer group; all methods run on one event loop."""

    def __init__(
        self,
        config: EngineConfig,
        processor: Callable[[int], Processor],
        published: PublishesRows,
        send_dead_letters: Callable[[Sequence[Rejection]], Awaitable[None]],
        observer: Observer,
    ) -> None:
        self.config = config
        self.partitions: dict[int, Partition] = {}
        self._processor = processor
        self._published = published
        self._send_dead_letters = send_dead_letters
        self._observer = observer
        self._resources = StoreResources(config.store_cache_bytes)
        self._broker = BrokerLink(
            config.client_kwargs, [config.changelog_topic, config.item_stats_topic, config.sessions_topic]
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._moving = asyncio.Lock()
        self.standbys = Standbys(config, self._new_store, self.guarded)
        self.assigned = False
        # How often the group has taken all partitions back: an assignment from before the last time is void.
        self.revocations = 0

    async def start(self) -> None:
        """Connects to the brokers; owns nothing yet."""
        await self._broker.start()

    async def stop(self) -> None:
        """Drains and closes everything; the stores are left as the last checkpoint wrote them."""
        await self.revoke()
        await self.standbys.follow(set())
        for number in list(self.partitions):
            self._close(number)
        await self._broker.stop()

    # -- what the group decides --------------------------------------------------------------------------------------

    async def revoke(self) -> None:
        """Stops applying on all partitions, after the running parts; stores stay open for stale reads."""
        self.revocations += 1
        async with self._moving:
            await self._suspend()

    async def _suspend(self) -> None:
        await asyncio.gather(
            *(
                self.guarded(partition.drained(_DRAIN_TIMEOUT_S), f"partition {partition.number}")
                for partition in self.partitions.values()
            )
        )
        await end_tasks(self._tasks)
        self._tasks.clear()
        for partition in self.partitions.values():
            partition.abandon()

    async def assign(self, actives: Iterable[int], standbys: Iterable[int], source: Source, revocations: int) -> None:
        """Owns exactly `actives` and follows exactly `standbys`; partitions start by themselves.

        `revocations` is what the group decided after: if it has revoked again since, nothing starts.
        """
        wanted, following = set(actives), set(standbys)
        async with self._moving:
            await self._suspend()
            for number in set(self.partitions) - wanted:
                await take_turn()  # closing writes the memtable, for some 25 ms; requests come in between
                self._close(number)
            await self.standbys.follow(following - wanted)
            if revocations != self.revocations:
                return
            self.assigned = True
            for number in sorted(wanted):
                partition = self.partitions.get(number) or self._open(number, source)
                partition.rows.resize(self.config.row_cache_bytes // len(wanted))
                self._tasks += [
                    asyncio.create_task(self._own(partition), name=f"partition-{number}"),
                    asyncio.create_task(self._publish(partition), name=f"publisher-{number}"),
                ]

    async def _own(self, partition: Partition) -> None:
        await self.guarded(self.while_ours(partition, partition.own()), f"partition {partition.number}")

    async def _publish(self, partition: Partition) -> None:
        await self.guarded(self.while_ours(partition, partition.publish_forever()), f"publisher {partition.number}")

    async def while_ours(self, partition: Partition, work: Awaitable[None]) -> None:
        """Runs `work`; once a newer owner has claimed the partition it is let go until the group assigns anew.

        The broker has refused what was folded last, and refuses all that this claim may still send. So to go on is to
        be assigned again, which claims and recovers as at first; the rebalance ends this task.
        """
        try:
            await work
        except Fenced as error:
            log.warning("partition %d: %s; letting it go until the group says whose it is", partition.number, error)
            partition.let_go()
            await asyncio.sleep(_REBALANCE_WITHIN_S)
            partition.rejoin()

    def _new_store(self, number: int) -> PartitionStore:
        store = PartitionStore(self.config.store_path(number), self._resources)
        store.open()
        return store

    def _open(self, number: int, source: Source) -> Partition:
        partition = Partition(
            number,
            self._new_store(number),
            self.config,
            self._broker,
            source,
            self._processor(number),
            self._published,
            self._send_dead_letters,
            self._observer,
        )
        self.partitions[number] = partition
        return partition

    def _close(self, number: int) -> None:
        self.partitions.pop(number).store.close()

    def tokens(self) -> dict[int, object]:
        """What a fetch that begins now may be submitted with; a partition that has no room is left out.

        All partitions share one stream of batches: waiting for room in one would keep all others waiting too.
        """
        return {number: partition.token for number, partition in self.running().items() if partition.has_room}

    def is_crowded(self) -> bool:
        """True while a running partition has no room, which may change at any moment."""
        return any(not partition.has_room for partition in self.running().values())

    def taken(self, number: int, token: object) -> None:
        """Notes that a batch was fetched which `submit` will bring."""
        partition = self.partitions.get(number)
        if partition is not None and partition.token is token:
            partition.on_the_way += 1

    async def submit(self, number: int, records: Sequence[Any], token: object) -> None:
        """Hands over source records; what was fetched for an earlier run is dropped, and read again by this one."""
        partition = self.partitions.get(number)
        if partition is None or partition.token is not token:
            return
        partition.on_the_way -= 1
        if partition.phase is Phase.RUNNING:
            await partition.submit(records)

    # -- what others read --------------------------------------------------------------------------------------------

    def running(self) -> dict[int, Partition]:
        return {number: partition for number, partition in self.partitions.items() if partition.phase is Phase.RUNNING}

    def applied(self) -> dict[int, Marker]:
        """Markers of the running partitions, as stored."""
        return {number: partition.marker for number, partition in self.running().items()}

    # -- background --------------------------------------------------------------------------------------------------

    async def guarded(self, work: Awaitable[None], what: str) -> None:
        """Runs `work`; an error is one line of log and the end of the process."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.fail(what, error)

    def fail(self, what: str, error: BaseException) -> None:
        """Ends the process: one line of log for an error that the engine knows, with its trace for another."""
        if isinstance(error, EngineError):
            self._die(what, str(error), error.exit_code)
        log.error("%s failed", what, exc_info=error)
        self._die(what, repr(error), EXIT_FAILED)

    def _die(self, what: str, why: str, exit_code: int) -> None:
        log.critical("%s: %s; stopping with exit code %d", what, why, exit_code)
        logging.shutdown()
        # Not sys.exit: no handler may acknowledge, commit or flush anything after this line.
        os._exit(exit_code)
