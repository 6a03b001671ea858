"""Where the engine meets Faust's group: assignments start partitions, revocations stop them.

Faust believes in one table whose changelog is ours, so its assignor keeps changelog and source partitions together,
places standbys and tells every worker who owns what. The recovery behind that table is replaced whole: Faust's own
(faust/tables/recovery.py:338 `_restart_recovery`) reads 12 k records/s through the per-message path, knows no fence,
and serves empty answers until it is done.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import faust
from faust.stores.memory import Store
from faust.tables.manager import TableManager
from faust.types import TP
from mode import Service

from reco_stream.engine.engine import Engine

log = logging.getLogger(__name__)

STORE_SCHEME = "partitions"


class PartitionsStore(Store):  # type: ignore[misc]
    """Stands in for a Faust store (STORES.aliases): the rows are the engine's, Faust never reads or writes them."""


class FaustSource:
    """The source log through Faust's consumer: bounds, and delivery of one partition from one offset."""

    def __init__(self, app: Any, topic: str) -> None:
        self._app = app
        self._topic = topic

    async def bounds(self, partition: int) -> tuple[int, int]:
        tp = TP(self._topic, partition)
        first = await self._app.consumer.earliest_offsets(tp)
        end = await self._app.consumer.highwaters(tp)
        return first[tp], end[tp]

    async def start(self, partition: int, offset: int) -> None:
        await self._app.consumer.start_partition(TP(self._topic, partition), offset)

    def rejoin(self) -> None:
        self._app.consumer.rejoin()


class Assignments(Service):  # type: ignore[misc]
    """Stands in for Faust's `Recovery`: same calls from `TableManager`, the engine behind them."""

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.app = app
        self.completed = asyncio.Event()
        self._changed = asyncio.Event()
        self._wanted: tuple[int, set[int], set[int], int] = (0, set(), set(), 0)

    @property
    def _engine(self) -> Engine:
        engine: Engine = self.app.engine
        return engine

    def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Draining needs a loop turn; `BatchConsumer.on_partitions_revoked` awaits it."""

    def flush_buffers(self) -> None:
        """Nothing is buffered outside of the engine."""

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Notes the newest assignment; partitions start in the background, so the group is not kept waiting."""
        if generation_id != self.app.consumer_generation_id:
            return
        config = self._engine.config
        actives = {tp.partition for tp in assigned if tp.topic == config.events_topic}
        standbys = {tp.partition for tp in self.app.assignor.assigned_standbys() if tp.topic == config.changelog_topic}
        self._wanted = (generation_id, actives, standbys, self._engine.revocations)
        self._changed.set()

    @Service.task  # type: ignore[untyped-decorator]
    async def _apply_assignments(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self._changed):
                return
            self._changed.clear()
            generation, actives, standbys, revocations = self._wanted
            await self._resume_flow()
            source = FaustSource(self.app, self._engine.config.events_topic)
            assigning = self._engine.assign(actives, standbys, source, revocations)
            await self._engine.guarded(assigning, "assignment")
            if generation == self.app.consumer_generation_id:
                self.completed.set()
                log.info("generation %d: owns partitions %s, follows %s", generation, sorted(actives), sorted(standbys))

    async def _resume_flow(self) -> None:
        """Replaces faust/tables/recovery.py:306 `_resume_streams`; each partition starts when it is restored."""
        app = self.app
        await app.on_rebalance_complete.send()
        app.flow_control.resume()
        app.consumer.resume_flow()
        await app._fetcher.maybe_start()
        app.tables.on_actives_ready()
        app.tables.on_standbys_ready()
        app.on_rebalance_end()


class StateTables(TableManager):  # type: ignore[misc]
    """Faust's table manager with the engine's assignments in place of its recovery (setting `TableManager`)."""

    _recovery: Assignments | None = None

    @property
    def recovery(self) -> Assignments:
        """Replaces faust/tables/manager.py:119 `recovery`."""
        if self._recovery is None:
            self._recovery = Assignments(self.app, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def on_start(self) -> None:
        """Replaces faust/tables/manager.py:138 `on_start`, which begins with a sleep of one second."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


def declare_state(app: faust.App, changelog_topic: str, partitions: int) -> None:
    """Declares the one table whose changelog is ours; call once, before the app starts."""
    faust.stores.STORES.aliases[STORE_SCHEME] = f"{__name__}:PartitionsStore"
    topic = app.topic(changelog_topic, partitions=partitions, key_type=bytes, value_type=bytes, acks=False)
    app.tables.add(
        app.conf.Table(
            app,
            name="state",
            store=f"{STORE_SCHEME}://",
            partitions=partitions,
            key_type=bytes,
            value_type=bytes,
            changelog_topic=topic,
        )
    )
