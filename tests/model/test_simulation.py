"""Schedules of the real engine: whatever the order of steps and faults, its state is the fold of the log."""

import logging
import random
from collections.abc import Callable, Iterable

import pytest

from reco_stream.engine import checkpoint, partition, publisher, recovery
from reco_stream.engine import store as engine_store
from reco_stream.engine.partition import Phase
from tests.engine.fakes import changelog_reader
from tests.model import mutants
from tests.model.mutants import Patch
from tests.model.simulation import Simulation
from tests.model.worker import Broken

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
    monkeypatch.setattr(engine_store, "_HELD_ROWS", 6)  # about every second checkpoint is flushed

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


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(simulate: Callable[[], Simulation], monkeypatch: pytest.MonkeyPatch, mutant: Patch) -> None:
    mutant(monkeypatch)
    begin = 600 if mutant is mutants.store_before_changelog else 0  # which few schedules catch: from 0 on it took 15 s
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
    loser = simulation.workers[1]
    advance(simulation, "B", lambda: loser.running or loser.engine.partitions[0].phase is Phase.SUSPENDED)


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
    (forgotten_zombie, mutants.forgotten_owner_not_fenced),
    (overtaken_while_recovering, mutants.no_proof),
    (killed_while_publishing, mutants.floor_before_publish),
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
