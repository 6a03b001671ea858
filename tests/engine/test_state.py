"""What the web may ask: committed rows only, and never a fresh answer from a partition that does not run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reco_stream.domain.partitioner import partition_of
from reco_stream.engine.marker import MARKER_KEY, Marker, encode_marker
from reco_stream.engine.partition import Phase
from reco_stream.engine.state import Lag, State
from reco_stream.engine.table import Table
from tests.engine.fakes import FakeDisk, MemoryStore

TEXT: Table[str] = Table("text", b"t", str.encode, bytes.decode)


class FakePartition:
    def __init__(self, store: MemoryStore, phase: Phase = Phase.RUNNING, end_at_assignment: int = 0) -> None:
        self.store = store
        self.phase = phase
        self.end_at_assignment = end_at_assignment

    @property
    def marker(self) -> Marker:
        return self.store.marker()


class World:
    def __init__(self) -> None:
        self.engine = SimpleNamespace(
            partitions={},
            standbys=SimpleNamespace(stores={}),
            config=SimpleNamespace(partitions=12, url="http://me"),
            assigned=True,
        )
        self.reader = SimpleNamespace(ready=True, behind_s=0.25)
        self.ends: dict[int, int] = {}
        self.owners = {3: "http://other"}
        self.cut_off = False
        engine: Any = self.engine
        reader: Any = self.reader
        self.state = State(engine, reader, lambda: self.owners, self.ends.get, lambda: self.cut_off)

    def store(self, applied: int, **rows: str) -> MemoryStore:
        store = MemoryStore(Path("store"), FakeDisk())
        store.open()
        records = [(b"t" + key.encode(), value.encode()) for key, value in rows.items()]
        store.write([*records, (MARKER_KEY, encode_marker(Marker(applied)))], 0)
        store.flush()
        return store

    def owns(self, number: int, applied: int, phase: Phase = Phase.RUNNING, end: int = 0, **rows: str) -> FakePartition:
        partition = FakePartition(self.store(applied, **rows), phase, end)
        self.engine.partitions[number] = partition
        return partition


@pytest.fixture
def world() -> World:
    return World()


def test_reads_committed_rows_of_owned_partitions_and_of_standbys(world: World) -> None:
    world.owns(0, 4, k="owned")
    world.engine.standbys.stores[1] = world.store(2, k="standby")
    assert world.state.read(0, TEXT, "k") == "owned"
    assert world.state.read(1, TEXT, "k") == "standby"
    assert world.state.read(0, TEXT, "nobody") is None
    assert (world.state.marker(0).applied, world.state.marker(1).applied) == (4, 2)


def test_partition_that_is_not_here_is_no_empty_one(world: World) -> None:
    with pytest.raises(KeyError):
        world.state.read(5, TEXT, "k")
    with pytest.raises(KeyError):
        world.state.marker(5)
    assert not world.state.is_readable(5)


@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.value)
def test_only_a_running_partition_is_fresh(world: World, phase: Phase) -> None:
    world.owns(0, 4, phase)
    assert world.state.is_running(0) == (phase is Phase.RUNNING)
    assert world.state.is_readable(0)
    assert world.state.owned() == {0}


def test_a_worker_that_is_cut_off_from_kafka_has_copies_only(world: World) -> None:
    world.owns(0, 4, k="here")
    world.cut_off = True
    assert (world.state.is_running(0), world.state.is_readable(0), world.state.read(0, TEXT, "k")) == (
        False,
        True,
        "here",
    )


def test_standby_is_readable_but_never_fresh(world: World) -> None:
    world.engine.standbys.stores[1] = world.store(2)
    assert (world.state.is_readable(1), world.state.is_running(1), world.state.owned()) == (True, False, frozenset())


def test_waits_are_named(world: World) -> None:
    assert world.state.not_ready() == []
    world.owns(0, applied=4, end=5)
    assert world.state.not_ready() == []
    world.owns(1, applied=4, phase=Phase.RECOVERING)
    world.owns(2, applied=4, end=10)
    world.reader.ready = False
    world.engine.assigned = False
    world.state.draining = True
    assert world.state.not_ready() == [
        "the worker is stopping",
        "the read models have not reached the end they saw at start",
        "partition 1 is recovering",
        "partition 2 is 5 events behind the end it saw at assignment",
        "the consumer group has assigned nothing yet",
    ]


def test_lag_counts_events_and_how_long_none_was_applied(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("reco_stream.engine.state.time.monotonic", lambda: now[0])
    partition = world.owns(0, applied=4)
    world.ends[0] = 10
    assert world.state.lag(0) == Lag(10, 4, 5, 0.0)
    now[0] += 7
    assert world.state.lag(0) == Lag(10, 4, 5, 7.0)
    partition.store.write([(MARKER_KEY, encode_marker(Marker(6)))], 1)
    assert world.state.lag(0) == Lag(10, 6, 3, 0.0)
    partition.store.write([(MARKER_KEY, encode_marker(Marker(9)))], 2)
    now[0] += 7
    assert world.state.lag(0) == Lag(10, 9, 0, 0.0)


def test_lag_before_the_first_fetch_is_from_the_end_at_assignment(world: World) -> None:
    world.owns(0, applied=4, end=8)
    assert world.state.lag(0).records == 3
    world.engine.standbys.stores[1] = world.store(2)
    assert world.state.lag(1).records == 0


def test_knows_itself_and_others(world: World) -> None:
    assert (world.state.url, world.state.partitions) == ("http://me", 12)
    assert (world.state.owner_url(3), world.state.owner_url(4)) == ("http://other", None)
    assert world.state.partition_of("user-1") == partition_of("user-1", 12)
    assert (world.state.read_models_ready, world.state.read_models_behind_s) == (True, 0.25)


def test_size_is_that_of_the_copy_here(world: World) -> None:
    world.owns(0, 4, k="x" * 100)
    assert world.state.store_bytes(0) > 100
