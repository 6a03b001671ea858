"""Assignments: what Faust's table manager calls, and what the engine is then told, in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.types import TP

from reco_stream.engine import delivery
from reco_stream.engine.assignment import (
    STORE_SCHEME,
    Assignments,
    FaustSource,
    PartitionsStore,
    StateTables,
    declare_state,
)

EVENTS, CHANGELOG = "app.events", "app-state-changelog"


class FakeEngine:
    def __init__(self, calls: list[Any]) -> None:
        self.config = SimpleNamespace(events_topic=EVENTS, changelog_topic=CHANGELOG)
        self.revocations = 0
        self.failed: list[str] = []
        self._calls = calls

    async def assign(self, actives: set[int], standbys: set[int], source: FaustSource, revocations: int) -> None:
        self._calls.append(("assign", actives, standbys, revocations))

    async def guarded(self, work: Awaitable[None], what: str) -> None:
        await work


class FakeApp:
    """As much of a Faust application as assignments touch."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.engine = FakeEngine(self.calls)
        self.consumer_generation_id = 1
        self.standbys: set[TP] = set()
        self.assignor = SimpleNamespace(assigned_standbys=lambda: self.standbys)
        self.on_rebalance_complete = SimpleNamespace(send=self._note_async("complete"))
        self.flow_control = SimpleNamespace(resume=self._note("flow control"))
        self.consumer = SimpleNamespace(resume_flow=self._note("flow"))
        self._fetcher = SimpleNamespace(maybe_start=self._note_async("fetcher"))
        self.tables = SimpleNamespace(on_actives_ready=self._note("actives"), on_standbys_ready=self._note("standbys"))
        self.on_rebalance_end = self._note("end")

    def _note(self, what: str) -> Callable[[], None]:
        return lambda: self.calls.append(what)

    def _note_async(self, what: str) -> Callable[[], Awaitable[None]]:
        async def note() -> None:
            self.calls.append(what)

        return note

    def assigned(self) -> list[Any]:
        return [call for call in self.calls if isinstance(call, tuple)]


@pytest.fixture
def app() -> FakeApp:
    return FakeApp()


@pytest.fixture
async def assignments(app: FakeApp) -> AsyncIterator[Assignments]:
    assignments = Assignments(app)
    await assignments.start()
    yield assignments
    await assignments.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def test_engine_is_told_event_partitions_and_standbys_and_nothing_else(
    app: FakeApp, assignments: Assignments
) -> None:
    app.standbys = {TP(CHANGELOG, 2), TP("another", 3)}
    app.engine.revocations = 4
    await assignments.on_rebalance({TP(EVENTS, 0), TP(EVENTS, 1), TP(CHANGELOG, 0), TP("another", 9)}, set(), set(), 1)
    await until(lambda: bool(app.assigned()))
    assert app.assigned() == [("assign", {0, 1}, {2}, 4)]
    await until(assignments.completed.is_set)


async def test_flow_is_resumed_before_the_engine_starts_partitions(app: FakeApp, assignments: Assignments) -> None:
    """A partition's start waits for a poll, and polls wait for the flow."""
    await assignments.on_rebalance({TP(EVENTS, 0)}, set(), set(), 1)
    await until(lambda: bool(app.assigned()))
    assert app.calls[:-1] == ["complete", "flow control", "flow", "fetcher", "actives", "standbys", "end"]


async def test_assignment_of_an_older_generation_is_ignored(app: FakeApp, assignments: Assignments) -> None:
    app.consumer_generation_id = 2
    await assignments.on_rebalance({TP(EVENTS, 0)}, set(), set(), 1)
    await assignments.on_rebalance({TP(EVENTS, 1)}, set(), set(), 2)
    await until(lambda: bool(app.assigned()))
    assert app.assigned() == [("assign", {1}, set(), 0)]


async def test_void_assignment_carries_the_count_of_revocations_that_it_was_made_after(
    app: FakeApp, assignments: Assignments
) -> None:
    """The engine compares: here the group revokes again before the assignment is applied."""
    await assignments.on_rebalance({TP(EVENTS, 0)}, set(), set(), 1)
    app.engine.revocations += 1
    await until(lambda: bool(app.assigned()))
    assert app.assigned() == [("assign", {0}, set(), 0)]


async def test_worker_without_partitions_is_complete_too(app: FakeApp, assignments: Assignments) -> None:
    await assignments.on_rebalance(set(), set(), set(), 1)
    await until(assignments.completed.is_set)
    assert app.assigned() == [("assign", set(), set(), 0)]


async def test_source_starts_and_rejoins_through_the_consumer_and_asks_it_for_bounds() -> None:
    started: list[tuple[TP, int]] = []

    class FakeConsumer:
        async def earliest_offsets(self, tp: TP) -> dict[TP, int]:
            return {tp: 3}

        async def highwaters(self, tp: TP) -> dict[TP, int]:
            return {tp: 9}

        async def start_partition(self, tp: TP, offset: int) -> None:
            started.append((tp, offset))

        def rejoin(self) -> None:
            started.append((TP("the group", 0), 0))

    source = FaustSource(SimpleNamespace(consumer=FakeConsumer()), EVENTS)
    assert await source.bounds(1) == (3, 9)
    await source.start(1, 5)
    source.rejoin()
    assert started == [(TP(EVENTS, 1), 5), (TP("the group", 0), 0)]


def test_faust_takes_the_table_manager_and_the_store_by_setting() -> None:
    delivery.register()
    app = faust.App(
        "seams",
        broker=f"{delivery.SCHEME}://localhost:9092",
        store=f"{STORE_SCHEME}://",
        TableManager=StateTables,
        topic_allow_declare=False,
    )
    declare_state(app, CHANGELOG, 3)
    assert isinstance(app.tables, StateTables)
    assert app.tables.changelog_topics == {CHANGELOG}
    assert isinstance(app.tables.recovery, Assignments)
    assert app.tables.recovery is app.tables.recovery
    assert isinstance(app.tables["state"].data, PartitionsStore)


async def test_table_manager_starts_its_recovery_without_sleeping(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Manager(StateTables):
        def __init__(self) -> None:
            self.sleeps = 0

        should_stop = False

        async def _update_channels(self) -> None:
            calls.append("channels")

        @property
        def recovery(self) -> Any:
            async def start() -> None:
                calls.append("recovery")

            return SimpleNamespace(start=start)

        async def sleep(self, seconds: float) -> None:
            calls.append("sleep")

    await Manager().on_start()
    assert calls == ["channels", "recovery"]
