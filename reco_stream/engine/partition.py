"""The life of one assigned partition: claim, fence, recover, prove, seek, run.

claim    the broker hands out a higher producer epoch for this partition
fence    the first record of the new epoch is appended; from its offset on older owners are refused (an owner whose
         producer id the broker has forgotten is refused too, from a second record on)
recover  the changelog is read from the store's position up to the fence: nothing can be appended behind our back
prove    the recovered marker is appended: had a newer owner fenced us meanwhile, compaction might have removed what it
         has superseded from under a slow recovery, and the store would be the fold of no prefix
seek     the source is read from `applied` + 1
run      micro-batches are applied, one at a time
"""

from __future__ import annotations

import asyncio
import enum
import functools
import logging
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import msgspec

from reco_stream.engine.changelog import LAST_EPOCH, Appender, BrokerLink, Claim
from reco_stream.engine.checkpoint import Checkpointer, Processor, Rejection
from reco_stream.engine.config import EngineConfig
from reco_stream.engine.crash import crash_point
from reco_stream.engine.errors import Fenced, FingerprintMismatch, LogTruncated
from reco_stream.engine.marker import FENCE_KEY, RULES_KEY, Fence, Marker, encode_fence
from reco_stream.engine.pace import Pace
from reco_stream.engine.publisher import Publisher, PublishesRows
from reco_stream.engine.recovery import keys_since, restore, why_useless
from reco_stream.engine.store import PartitionStore, Record
from reco_stream.engine.turns import take_turn

log = logging.getLogger(__name__)

# One batch is being applied while the next waits: more would only add to what a rebalance throws away.
_QUEUED_BATCHES = 2
# The broker forgets an idle producer's epoch after producer.id.expiration.ms (1 day): an idle owner writes hourly.
IDLE_MARKER_S = 3600.0


class Phase(enum.Enum):
    """Where a partition stands; only RUNNING serves fresh answers."""

    CLAIMING = "claiming"
    RECOVERING = "recovering"
    RUNNING = "running"
    SUSPENDED = "suspended"


class Source(Protocol):
    """The source log, as far as a partition needs it."""

    async def bounds(self, partition: int) -> tuple[int, int]:
        """First offset and end offset of the source partition."""

    async def start(self, partition: int, offset: int) -> None:
        """Delivers records of `partition` from `offset` on."""

    def rejoin(self) -> None:
        """Asks the group to say anew who owns what."""


class Observer(Protocol):
    """Hears what happens to a partition, for metrics."""

    def on_checkpoint(self, partition: int, marker: Marker, records: int, seconds: float) -> None: ...

    def on_restore(self, partition: int, position: int, end: int) -> None: ...

    def on_skipped(self, partition: int, events: int) -> None: ...


class Partition:
    """One owned partition; `own` runs until cancelled or until an error ends it."""

    def __init__(
        self,
        number: int,
        store: PartitionStore,
        config: EngineConfig,
        broker: BrokerLink,
        source: Source,
        processor: Processor,
        published: PublishesRows,
        dead_letters: Any,
        observer: Observer,
    ) -> None:
        self.number = number
        self.store = store
        self.phase = Phase.CLAIMING
        self.end_at_assignment = 0
        self._config = config
        self._broker = broker
        self._source = source
        self._processor = processor
        self._published = published
        self._dead_letters = dead_letters
        self._observer = observer
        self.rows = processor.rows_over(store, config.row_cache_bytes)
        self._queue: asyncio.Queue[Sequence[Any]] = asyncio.Queue(_QUEUED_BATCHES)
        self._idle = asyncio.Event()
        self._mid_batch = False
        # Marks one run: records fetched for an earlier run may leave a gap and are not applied.
        self.token: object | None = None
        # Batches that were fetched for this run and are not yet submitted.
        self.on_the_way = 0
        self._checkpointer: Checkpointer | None = None
        self.publisher: Publisher | None = None
        self._pace = Pace(config.publish_interval_s)

    # -- assignment --------------------------------------------------------------------------------------------------

    async def own(self) -> None:
        """Claims, fences, recovers, proves, seeks and runs. Raises EngineError, or what the store raises."""
        self.phase = Phase.CLAIMING
        config, store = self._config, self.store
        claim = await self._broker.claim(config.transactional_id(self.number))
        crash_point("claim.claimed")
        appender = Appender(self._broker, config.changelog_topic, self.number, claim)
        fence = (FENCE_KEY, encode_fence(Fence(claim.version, config.url)))
        fence_at = await appender.append([fence])
        crash_point("claim.fenced")
        self.phase = Phase.RECOVERING
        restored = await self._recover(fence_at)
        fence_at = await self._fence_forgotten(claim, fence, fence_at)
        if self._mid_batch:
            self._forget_batch()
        marker = self._accepted_marker()
        marker = await self._position(marker)
        self._checkpointer = Checkpointer(
            store, self.rows, appender, marker, self._processor, config.limits, self._send_rejections, self._publishing
        )
        await self._start_publisher(appender, marker, fence_at)
        await self._prove()
        self._queue = asyncio.Queue(_QUEUED_BATCHES)
        self._idle.set()
        self.token, self.on_the_way = object(), 0
        self.phase = Phase.RUNNING
        log.info("partition %d: running from offset %d, %d rows restored", self.number, marker.applied + 1, restored)
        await self._source.start(self.number, marker.applied + 1)
        await self._run()

    async def _recover(self, fence_at: int) -> int:
        store, config = self.store, self._config
        changelog_id = await self._broker.topic_id(config.changelog_topic)
        why = why_useless(store, changelog_id, fence_at, time.time())
        if why is not None:
            log.warning(
                "partition %d: the store at %s is at changelog offset %d and %s: building it anew",
                self.number, store.path, store.position, why,
            )  # fmt: skip
            store.wipe()
            store.open()
            self.rows.clear()
        store.changelog_id = changelog_id
        if store.position == fence_at - 1:
            store.write([], fence_at)
            return 0
        # Before the first foreign row is written: after a cancellation half-way there may be nothing left to restore.
        self.rows.clear()

        def on_progress(position: int, end: int) -> None:
            self._observer.on_restore(self.number, position, end)

        return await restore(store, config.changelog_topic, self.number, fence_at, config.client_kwargs, on_progress)

    async def _fence_forgotten(self, claim: Claim, fence: Record, fence_at: int) -> int:
        """Fences the last owner if our claim is none that follows on its; returns the offset of the newest fence.

        The broker forgets a transactional id that nobody has claimed for transactional.id.expiration.ms (7 days by
        default), and exhausts its epochs after 32,767 claims. The next claim then gets another producer id, whose
        epochs fence nobody who holds the old one. But who knows the old id can use up its epochs.
        """
        last = self.store.marker().producer_id
        if last in (-1, claim.producer_id):
            return fence_at
        log.warning("partition %d: producer id %d is now %d; fencing the old one", self.number, last, claim.producer_id)
        old = Appender(self._broker, self._config.changelog_topic, self.number, Claim(last, LAST_EPOCH))
        old_at = await old.append([fence])
        if old_at > fence_at:
            await self._recover(old_at)
        return max(fence_at, old_at)

    def _forget_batch(self) -> None:
        self.rows.clear()
        self._processor.aborted()
        self._mid_batch = False

    def _accepted_marker(self) -> Marker:
        marker = self.store.marker()
        if marker.fingerprint in ("", self._config.fingerprint):
            return msgspec.structs.replace(marker, fingerprint=self._config.fingerprint)
        raw = self.store.get(RULES_KEY)
        found = msgspec.msgpack.decode(raw, type=dict[str, str]) if raw else {}
        wanted = self._config.rules
        differs = [
            f"{name}: found {found.get(name, 'nothing')}, wanted {wanted.get(name, 'nothing')}"
            for name in sorted(found.keys() | wanted.keys())
            if found.get(name) != wanted.get(name)
        ]
        raise FingerprintMismatch(
            f"partition {self.number} of {self._config.app}: its rows were folded under other rules "
            f"({'; '.join(differs) or 'not recorded which'}). Restore the settings, or fold the log again: reco rebuild"
        )

    async def _position(self, marker: Marker) -> Marker:
        """Marker whose next offset lies inside the source log. Raises LogTruncated when events are gone."""
        source_id = await self._broker.topic_id(self._config.events_topic)
        first, end = await self._source.bounds(self.number)
        self.end_at_assignment = end
        if marker.applied < 0:
            return msgspec.structs.replace(marker, applied=first - 1, baseline=first, source_id=source_id)
        wanted = marker.applied + 1
        topic = f"{self._config.events_topic}[{self.number}]"
        what = f"{topic}: next offset to apply is {wanted}, the log holds {first}..{end}"
        if wanted > end or marker.source_id not in ("", source_id):
            raise LogTruncated(f"{what}: the topic was made anew; use a new RECO_APP, or delete the state of this one")
        return marker if first <= wanted else self._skipped_to(first, marker)

    def _skipped_to(self, offset: int, marker: Marker) -> Marker:
        """Marker that goes on at `offset` without the events before it. Raises LogTruncated unless that is allowed."""
        lost = offset - marker.applied - 1
        what = (
            f"{self._config.events_topic}[{self.number}]: the log begins at {offset} now: {lost} events that were not "
        )
        if self._config.truncated_log == "stop":
            raise LogTruncated(f"{what}applied are gone. Set RECO_TRUNCATED_LOG=skip to go on without them")
        log.error("%sapplied are gone, going on without them", what)
        self._observer.on_skipped(self.number, lost)
        # The baseline stays: what the rows contain can no longer be recounted, and must not look as if it could.
        return msgspec.structs.replace(marker, applied=offset - 1)

    async def _start_publisher(self, changelog: Appender, marker: Marker, fence_at: int) -> None:
        config, claim = self._config, changelog.claim
        appenders = {
            topic: Appender(self._broker, topic, self.number, claim)
            for topic in (config.item_stats_topic, config.sessions_topic)
        }
        publisher = Publisher(self.store, appenders, self._published)
        if marker.unpublished_from < fence_at:
            keys = await keys_since(
                config.changelog_topic, self.number, marker.unpublished_from, fence_at, config.client_kwargs
            )
            publisher.changed(keys, marker.unpublished_from)
        self.publisher = publisher

    async def _prove(self) -> None:
        """Appends and stores the marker, and the rules if the store lacks them. Raises Fenced."""
        checkpointer = self._running()
        claim, marker = checkpointer.appender.claim, checkpointer.marker
        # A new producer id may be a lower one, if another broker had set it aside; readers keep the highest version.
        version = max(claim.version, marker.version + 1)
        checkpointer.marker = msgspec.structs.replace(marker, version=version, producer_id=claim.producer_id)
        rules = (RULES_KEY, msgspec.msgpack.encode(dict(self._config.rules)))
        await checkpointer.commit_rows([] if self.store.get(RULES_KEY) is not None else [rules])

    # -- running -----------------------------------------------------------------------------------------------------

    def _running(self) -> Checkpointer:
        if self._checkpointer is None:
            raise RuntimeError(f"partition {self.number} is not running")
        return self._checkpointer

    @property
    def marker(self) -> Marker:
        """What the store holds: the truth for readers."""
        return self.store.marker()

    @property
    def has_room(self) -> bool:
        """True when another batch would not have to wait for the ones before it to be applied."""
        return self._queue.qsize() + self.on_the_way < _QUEUED_BATCHES

    async def submit(self, records: Sequence[Any]) -> None:
        """Queues records of this partition in offset order; waits while two batches are waiting."""
        self._idle.clear()
        await self._queue.put(records)

    async def _run(self) -> None:
        while True:
            if self._queue.empty():
                self._idle.set()
            try:
                # Not wait_for: it swallows a cancellation that comes together with a record.
                async with asyncio.timeout(IDLE_MARKER_S):
                    records = await self._queue.get()
            except TimeoutError:
                self._note_floor()
                await self._running().commit_rows([])
                continue
            await self._apply(records)

    async def _apply(self, records: Sequence[Any]) -> None:
        await self._check_gap(records[0].offset)
        self._mid_batch = True  # cancelled from here on, the cached rows are ahead of the store
        began = time.perf_counter()
        publisher, first_offset = self._note_floor()
        await self._running().apply(records, functools.partial(publisher.changed, first_offset=first_offset))
        self._mid_batch = False
        self._pace.applied(records[-1].timestamp)
        self._observer.on_checkpoint(self.number, self.store.marker(), len(records), time.perf_counter() - began)

    async def _check_gap(self, offset: int) -> None:
        """Notices what the consumer does not tell: when retention overtakes it, it goes on with what is left.

        A gap alone means nothing: a producer's transaction leaves one.
        """
        checkpointer = self._running()
        if offset > checkpointer.marker.applied + 1:
            first, _ = await self._source.bounds(self.number)
            if first > checkpointer.marker.applied + 1:
                checkpointer.marker = self._skipped_to(min(first, offset), checkpointer.marker)

    def _note_floor(self) -> tuple[Publisher, int]:
        """Puts the publication floor into the next marker; returns the publisher and the offset of the next batch."""
        checkpointer, publisher = self._running(), self.publisher
        assert publisher is not None  # set together with the checkpointer
        next_offset = self.store.position + 1
        checkpointer.marker = msgspec.structs.replace(
            checkpointer.marker, unpublished_from=publisher.unpublished_from(next_offset)
        )
        return publisher, next_offset

    async def publish_forever(self) -> None:
        """Publishes changed rows each interval while the partition runs, less often while it catches up; runs until
        cancelled."""
        while True:
            await asyncio.sleep(self._config.publish_interval_s)
            if self.phase is not Phase.RUNNING or self.publisher is None:
                continue
            idle = self._idle.is_set() and not self.on_the_way
            if self._pace.is_due(self.publisher.pending, idle):
                await take_turn()
                await self.publisher.flush()
            await take_turn()
            self.store.flush_old()  # behind the publication: a row that is still held is read at a tenth of the cost

    async def _send_rejections(self, rejections: Sequence[Rejection]) -> None:
        await self._dead_letters(rejections)

    def _publishing(self, leaving: Sequence[Record]) -> AbstractAsyncContextManager[None]:
        assert self.publisher is not None  # set before the first batch
        return self.publisher.publishing(leaving)

    def abandon(self) -> None:
        """Throws away what is queued after the task has ended, so that nobody waits for room in the queue."""
        self.phase = Phase.SUSPENDED
        while not self._queue.empty():
            self._queue.get_nowait()

    def let_go(self) -> None:
        """Ends this run because a newer owner has the partition: nothing more is taken, nobody waits for what was.

        What was folded and refused goes with the next claim, as after a cancellation; the store holds none of it.
        """
        self.abandon()
        self._idle.set()

    def rejoin(self) -> None:
        """Asks the group to say anew who owns what."""
        self._source.rejoin()

    async def drained(self, timeout_s: float) -> None:
        """Waits until what was submitted is applied, then publishes it; gives up with a warning after `timeout_s`."""
        if self.phase is not Phase.RUNNING:
            return
        self.phase = Phase.SUSPENDED
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
                if self.publisher is not None:
                    await self.publisher.flush(everything=True)
        except TimeoutError:
            log.warning("partition %d: not drained within %.1f s", self.number, timeout_s)
        except Fenced:
            log.warning("partition %d: a newer owner has taken over; it publishes what is left", self.number)
