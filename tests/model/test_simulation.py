"""Schedules of the real engine: whatever the order of steps and faults, its state is the fold of the log."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest

from reco_stream.engine import checkpoint, engine, partition, publisher, recovery
from reco_stream.engine.changelog import Claim
from reco_stream.engine.checkpoint import Checkpointer
from reco_stream.engine.marker import MARKER_KEY, RULES_KEY, Marker, encode_marker
from reco_stream.engine.partition import Partition
from reco_stream.engine.publisher import Publisher
from reco_stream.engine.store import PartitionStore, Record
from tests.engine import fakes
from tests.engine.fakes import FakeBroker, FakeLink, changelog_reader
from tests.engine.python_rows import PythonRows
from tests.model.simulation import Simulation
from tests.model.worker import CHANGELOG, Broken, WorkerSource

SCHEDULES = 150
STEPS = 60


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], Simulation]:
    """Makes simulations of the engine as it is patched now."""
    caplog.set_level(logging.CRITICAL + 1, logger="reco_stream")
    made: list[Simulation] = []

    def crash_point(name: str) -> None:
        made[-1].crash_point(name)

    for module in (checkpoint, partition, publisher, recovery):
        monkeypatch.setattr(module, "crash_point", crash_point)
    monkeypatch.setattr(recovery, "changelog_reader", changelog_reader)
    monkeypatch.setattr(recovery, "_CHUNK_RECORDS", 3)

    def make() -> Simulation:
        simulation = Simulation()
        made.append(simulation)
        return simulation

    return make


def random_schedule(simulation: Simulation, seed: int) -> None:
    """Takes steps with few or many faults among them, then lets the group settle."""
    choose = random.Random(seed)
    faults = choose.choice([0.02, 0.05, 0.15])
    for _ in range(STEPS):
        moves = list(simulation.moves())
        if not moves or choose.random() < faults:
            moves = choose.choice(list(simulation.fault_moves().values()))
        simulation.do(*choose.choice(moves))
    simulation.finish()


def first_broken(simulate: Callable[[], Simulation], seeds: Iterable[int]) -> str | None:
    """What the first schedule that breaks the invariant says; None when all hold."""
    for seed in seeds:
        simulation = simulate()
        try:
            random_schedule(simulation, seed)
        except Broken as broken:
            return f"seed {seed}: {broken}"
        finally:
            simulation.close()
    return None


def test_random_schedules_hold_the_invariant(simulate: Callable[[], Simulation]) -> None:
    assert first_broken(simulate, range(SCHEDULES)) is None


@pytest.mark.tier2
def test_many_random_schedules_hold_the_invariant(simulate: Callable[[], Simulation]) -> None:
    assert first_broken(simulate, range(SCHEDULES, 40 * SCHEDULES)) is None


def plain_steps(simulation: Simulation, steps: int) -> int:
    """Takes the first possible step up to `steps` times; returns how often there was one."""
    for taken in range(steps):
        move = next(simulation.moves(), None)
        if move is None:
            return taken
        simulation.do(*move)
    return steps


def test_every_fault_is_survived_wherever_it_comes(simulate: Callable[[], Simulation]) -> None:
    """One worker applies everything in the plainest order; at every other step, each fault happens once."""
    quiet = simulate()
    length = plain_steps(quiet, 1_000)
    quiet.close()
    assert 40 < length < 1_000
    faults = 0
    for at in range(0, length, 2):
        choices = 1
        choice = 0
        while choice < choices:
            simulation = simulate()
            plain_steps(simulation, at)
            offered = [move for moves in simulation.fault_moves().values() for move in moves]
            choices = len(offered)
            simulation.do(*offered[choice])
            simulation.finish()
            simulation.close()
            choice += 1
            faults += 1
    assert faults > 200


Patch = Callable[[pytest.MonkeyPatch], None]


def store_before_changelog(patch: pytest.MonkeyPatch) -> None:
    async def commit_rows(self: Checkpointer, encoded: list[Record]) -> None:
        batch = [*encoded, (MARKER_KEY, encode_marker(self.marker))]
        self.store.write(batch, self.store.position + len(batch))
        await self.appender.append(batch)

    patch.setattr(Checkpointer, "commit_rows", commit_rows)


def marker_in_a_batch_of_its_own(patch: pytest.MonkeyPatch) -> None:
    async def commit_rows(self: Checkpointer, encoded: list[Record]) -> None:
        for batch in (encoded, [(MARKER_KEY, encode_marker(self.marker))]):
            if batch:
                first = await self.appender.append(batch)
                self.store.write(batch, first + len(batch) - 1)

    patch.setattr(Checkpointer, "commit_rows", commit_rows)


def marker_goes_back(patch: pytest.MonkeyPatch) -> None:
    apply, start = Checkpointer.apply, WorkerSource.start

    async def written_again(self: Checkpointer, records: Sequence[Any], changed: Callable[[list[bytes]], None]) -> None:
        if records[-1].offset < self.marker.applied:
            self.marker = msgspec.structs.replace(self.marker, applied=records[-1].offset)
            await self.commit_rows([])
        else:
            await apply(self, records, changed)

    async def start_earlier(self: WorkerSource, partition: int, offset: int) -> None:
        await start(self, partition, max(0, offset - 3))

    patch.setattr(Checkpointer, "apply", written_again)
    patch.setattr(WorkerSource, "start", start_earlier)


def commit_instead_of_marker(patch: pytest.MonkeyPatch) -> None:
    position = Partition._position

    async def behind(self: Partition, marker: Marker) -> Marker:
        marker = await position(self, marker)
        return msgspec.structs.replace(marker, applied=max(-1, marker.applied - 1))

    patch.setattr(Partition, "_position", behind)


def broker_that_fences_nobody(patch: pytest.MonkeyPatch) -> None:
    """What leaving the fence out comes to: an older owner may still write."""
    claim = FakeBroker.claim

    def another_producer(self: FakeBroker, transactional_id: str) -> Claim:
        return Claim(2_000 + claim(self, transactional_id).epoch, 0)

    patch.setattr(FakeBroker, "claim", another_producer)


def recovery_to_the_last_record_seen(patch: pytest.MonkeyPatch) -> None:
    claim, restore = FakeLink.claim, recovery.restore
    seen: dict[FakeLink, int] = {}

    async def look_first(self: FakeLink, transactional_id: str) -> Claim:
        seen[self] = self.broker.logs[CHANGELOG, 0].end - 1
        return await claim(self, transactional_id)

    async def to_what_was_seen(store: PartitionStore, topic: str, number: int, end: int, *rest: Any) -> int:
        restored = await restore(store, topic, number, seen[rest[0]["link"]], *rest)
        store.write([], end)
        return restored

    patch.setattr(FakeLink, "claim", look_first)
    patch.setattr(partition, "restore", to_what_was_seen)


def floor_before_publish(patch: pytest.MonkeyPatch) -> None:
    floor = Publisher.unpublished_from

    def without_what_is_in_flight(self: Publisher, next_offset: int) -> int:
        if next_offset > 1 << 60:  # asked by `flush` itself
            return floor(self, next_offset)
        in_flight, self._in_flight_from = self._in_flight_from, None
        try:
            return floor(self, next_offset)
        finally:
            self._in_flight_from = in_flight

    patch.setattr(Publisher, "unpublished_from", without_what_is_in_flight)


def rows_kept_over_a_recovery(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PythonRows, "clear", lambda self: None)


def spoiled_rows_kept(patch: pytest.MonkeyPatch) -> None:
    def forget_dirty_only(self: PythonRows) -> None:
        self.begin(self._saved_stream_time_ms)

    patch.setattr(PythonRows, "discard", forget_dirty_only)


def rejections_after_the_rows(patch: pytest.MonkeyPatch) -> None:
    commit_rows, send = Checkpointer.commit_rows, Partition._send_rejections
    late: list[tuple[Partition, Any]] = []

    async def later(self: Partition, rejections: Any) -> None:
        late.append((self, rejections))

    async def then_send(self: Checkpointer, encoded: list[Record]) -> None:
        await commit_rows(self, encoded)
        while late:
            owner, rejections = late.pop()
            await send(owner, rejections)

    patch.setattr(Partition, "_send_rejections", later)
    patch.setattr(Checkpointer, "commit_rows", then_send)


def leaving_published_after_the_rows(patch: pytest.MonkeyPatch) -> None:
    publishing = Publisher.publishing

    @asynccontextmanager
    async def later(self: Publisher, leaving: Any) -> AsyncIterator[None]:
        yield
        async with publishing(self, leaving):
            pass

    patch.setattr(Publisher, "publishing", later)


def flush_before_the_rows_are_stored(patch: pytest.MonkeyPatch) -> None:
    publishing = Publisher.publishing

    @asynccontextmanager
    async def let_go(self: Publisher, leaving: Any) -> AsyncIterator[None]:
        async with publishing(self, leaving):
            pass
        yield

    patch.setattr(Publisher, "publishing", let_go)


def no_proof(patch: pytest.MonkeyPatch) -> None:
    prove = Partition._prove

    async def only_once(self: Partition) -> None:
        if self.store.get(RULES_KEY) is None:
            await prove(self)

    patch.setattr(Partition, "_prove", only_once)


def forgotten_owner_not_fenced(patch: pytest.MonkeyPatch) -> None:
    async def trust_the_new_epoch(self: Partition, claim: Claim, fence: Record, fence_at: int) -> int:
        return fence_at

    patch.setattr(Partition, "_fence_forgotten", trust_the_new_epoch)


def swallowed_cancellation_not_heeded(patch: pytest.MonkeyPatch) -> None:
    async def told_once(tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def swallowed(closing: Awaitable[object]) -> None:
        with suppress(asyncio.CancelledError):  # as aiokafka's closing does
            await closing

    patch.setattr(fakes, "to_the_end", swallowed)
    patch.setattr(engine, "end_tasks", told_once)


MUTANTS: list[Patch] = [
    store_before_changelog,
    marker_in_a_batch_of_its_own,
    marker_goes_back,
    commit_instead_of_marker,
    broker_that_fences_nobody,
    recovery_to_the_last_record_seen,
    rows_kept_over_a_recovery,
    spoiled_rows_kept,
    rejections_after_the_rows,
    leaving_published_after_the_rows,
    flush_before_the_rows_are_stored,
    swallowed_cancellation_not_heeded,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(simulate: Callable[[], Simulation], monkeypatch: pytest.MonkeyPatch, mutant: Patch) -> None:
    mutant(monkeypatch)
    begin = 600 if mutant is store_before_changelog else 0  # which few schedules catch: from 0 on it took 15 s
    assert first_broken(simulate, [*range(begin, 1_000), *range(begin)]) is not None


# -- schedules by hand, for mistakes that chance hardly meets ----------------------------------------------------------


def advance(simulation: Simulation, name: str, until: Callable[[], bool], without: str = "publish") -> None:
    """Lets worker `name` move on, but for steps whose name holds `without`."""
    for _ in range(200):
        if until():
            return
        simulation.do(*next(move for move in simulation.moves() if move[0].startswith(name) and without not in move[0]))
    raise AssertionError(f"{name} did not get there")


def applied(simulation: Simulation, number: int) -> int:
    owner = simulation.workers[number].engine.partitions.get(0)
    return -1 if owner is None else owner.store.marker().applied


def fault(simulation: Simulation, name: str) -> None:
    moves = [move for moves in simulation.fault_moves().values() for move in moves]
    simulation.do(*next(move for move in moves if move[0] == name))


def overtaken_while_recovering(simulation: Simulation) -> None:
    """B is fenced by A while it recovers, A moves on, and compaction removes what A has superseded."""
    advance(simulation, "A", lambda: applied(simulation, 0) >= 1)
    fault(simulation, "B takes over, A does not know")
    advance(simulation, "B", lambda: any(held.name == "fetch" for held in simulation.workers[1].held))
    fault(simulation, "A takes over, B does not know")
    advance(simulation, "A", lambda: applied(simulation, 0) == 2)  # changes the row of x, not that of y
    fault(simulation, "compact")
    advance(simulation, "B", lambda: bool(simulation.deaths) or simulation.workers[1].running)


def killed_while_publishing(simulation: Simulation) -> None:
    """A is killed while the only change of a row is on its way to the readers, one checkpoint later."""
    advance(simulation, "A", lambda: applied(simulation, 0) >= 8, without="take 4")
    flushing = next(move for move in simulation.moves() if move[0] == "A: publish")
    simulation.do(*flushing)
    advance(simulation, "A", lambda: applied(simulation, 0) == 9, without="item-stats")
    fault(simulation, "kill A")


def forgotten_zombie(simulation: Simulation) -> None:
    """A's batch is under way when the broker forgets its producer id, and arrives when B has applied more than that."""
    advance(simulation, "A", lambda: applied(simulation, 0) >= 0)
    advance(simulation, "A", lambda: any(held.name == "delivery" for held in simulation.workers[0].held), "take 1")
    advance(simulation, "A", lambda: any("append" in held.name for held in simulation.workers[0].held), "take")
    fault(simulation, "the broker forgets the producer id")
    fault(simulation, "B takes over, A does not know")
    advance(simulation, "B", lambda: applied(simulation, 1) >= 5, without="take 4")
    simulation.do(*next(move for move in simulation.moves() if move[0] == "A: append to app-state-changelog"))
    advance(simulation, "B", lambda: applied(simulation, 1) >= 7, without="take 4")


BY_HAND = [
    (forgotten_zombie, forgotten_owner_not_fenced),
    (overtaken_while_recovering, no_proof),
    (killed_while_publishing, floor_before_publish),
]


@pytest.mark.parametrize(("schedule", "mutant"), BY_HAND, ids=lambda found: found.__name__)
def test_schedule_by_hand_holds_the_invariant_and_catches_its_mutant(
    simulate: Callable[[], Simulation],
    monkeypatch: pytest.MonkeyPatch,
    schedule: Callable[[Simulation], None],
    mutant: Patch,
) -> None:
    simulation = simulate()
    schedule(simulation)
    simulation.finish()
    simulation.close()
    mutant(monkeypatch)
    simulation = simulate()

    def to_the_end() -> None:
        schedule(simulation)
        simulation.finish()

    with pytest.raises(Broken):
        to_the_end()
    simulation.close()
