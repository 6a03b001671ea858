"""The stand-ins behave like what they stand for, or tests on them show nothing."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reco_stream.engine.changelog import LAST_EPOCH, Appender, Claim
from reco_stream.engine.errors import ChangelogCorrupt, Fenced
from reco_stream.engine.marker import PLACE_KEY
from reco_stream.engine.store import PartitionStore, StoreResources
from tests.engine.fakes import FakeBroker, FakeDisk, FakeLink, MemoryStore

RESOURCES = StoreResources(8 << 20)
KEYS = st.sampled_from([b"ra", b"rb", b"s", b"s\xff", b"t"])
WRITE = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=3)), max_size=4)
STEPS = st.lists(WRITE | st.sampled_from(["reopen", "wipe"]), max_size=10)


def contents(store: PartitionStore) -> tuple[Any, ...]:
    rows = [list(store.scan(prefix)) for prefix in (b"r", b"s", b"t")]
    return rows, list(store.scan(b"r", b"rb")), store.position, store.changelog_id, store.marker(), store.is_open


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_memory_store_is_like_the_real_one(tmp_path: Path, steps: list[Any]) -> None:
    real = PartitionStore(tmp_path / "real", RESOURCES)
    fake = MemoryStore(tmp_path / "real", FakeDisk())
    for store in (real, fake):
        store.open()
        store.wipe()
        store.open()
    for position, step in enumerate(steps):
        for store in (real, fake):
            if step == "wipe":
                store.wipe()
                store.open()
            elif step == "reopen":
                store.close()
                store.open()
            else:
                store.changelog_id = "id"
                store.write(step, position)
        assert contents(real) == contents(fake)
    for store in (real, fake):
        store.close()
        with pytest.raises(RuntimeError, match="is closed"):
            store.get(PLACE_KEY)


def test_disk_of_a_killed_process_keeps_what_was_flushed_before() -> None:
    disk = FakeDisk()
    store = MemoryStore(Path("p"), disk)
    store.open()
    store.write([(b"ra", b"1")], 0)
    store.flush()
    store.write([(b"ra", b"held")], 1)
    left = disk.copy()
    store.flush()
    again = MemoryStore(Path("p"), left)
    again.open()
    assert (again.get(b"ra"), again.position) == (b"1", 0)


async def test_broker_refuses_older_epochs_once_the_newer_has_written() -> None:
    link: Any = FakeLink(FakeBroker())
    old = Appender(link, "t", 0, await link.claim("t-0"))
    await old.append([(b"a", b"1"), (b"b", None)])
    new = Appender(link, "t", 0, await link.claim("t-0"))
    assert await old.append([(b"a", b"2")]) == 2
    assert await new.append([(b"fence", b"")]) == 3
    with pytest.raises(Fenced):
        await old.append([(b"a", b"3")])
    other = Appender(link, "t", 1, await link.claim("t-1"))
    assert await other.append([(b"a", b"1")]) == 0
    assert link.broker.logs["t", 0].last_values() == {b"a": b"2", b"fence": b""}


async def test_forgotten_owner_is_refused_only_once_its_epochs_are_used_up() -> None:
    link: Any = FakeLink(FakeBroker())
    old = Appender(link, "t", 0, await link.claim("t-0"))
    await old.append([(b"a", b"1")])
    link.broker.forget("t-0")
    new = Appender(link, "t", 0, await link.claim("t-0"))
    assert new.claim.producer_id != old.claim.producer_id
    await new.append([(b"fence", b"")])
    assert await old.append([(b"a", b"2")]) == 2
    await Appender(link, "t", 0, Claim(old.claim.producer_id, LAST_EPOCH)).append([(b"fence", b"")])
    with pytest.raises(Fenced):
        await old.append([(b"a", b"3")])


async def test_broker_answers_a_repeated_batch_with_its_offset_and_refuses_gaps() -> None:
    link: Any = FakeLink(FakeBroker())
    appender = Appender(link, "t", 0, await link.claim("t-0"))
    built = appender._build([(b"a", b"1")], 0)
    assert await link.produce("t", 0, built) == await link.produce("t", 0, built) == 0
    assert link.broker.logs["t", 0].end == 1
    with pytest.raises(ChangelogCorrupt):
        await link.produce("t", 0, appender._build([(b"a", b"1")], 5))


def test_compaction_keeps_last_values_and_offsets() -> None:
    broker = FakeBroker()
    appender = Appender(FakeLink(broker), "t", 0, broker.claim("t-0"))  # type: ignore[arg-type]
    broker.append("t", 0, appender._build([(b"a", b"1"), (b"b", b"1"), (b"a", b"2")], 0))
    log = broker.logs["t", 0]
    log.compact()
    assert [(record.offset, record.key) for record in log.records] == [(1, b"b"), (2, b"a")]
    assert log.end == 3
