"""Standbys on a real changelog: copies that follow, and give way at once when their partition moves."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from reco_stream.engine import standby as standby_module
from reco_stream.engine.changelog import Appender, BrokerLink
from reco_stream.engine.recovery import TOMBSTONE_RETENTION_S
from reco_stream.engine.standby import Standbys
from reco_stream.engine.store import PartitionStore, StoreResources

pytestmark = pytest.mark.kafka
RESOURCES = StoreResources(8 << 20)


@pytest.fixture
async def link(kafka: Any, topic: str) -> AsyncIterator[BrokerLink]:
    link = BrokerLink({"bootstrap_servers": kafka.bootstrap}, [topic])
    await link.start()
    yield link
    await link.stop()


@pytest.fixture
async def appender(link: BrokerLink, topic: str) -> Appender:
    return Appender(link, topic, 0, await link.claim(f"{topic}-0"))


def new_store(folder: Path, number: int) -> PartitionStore:
    store = PartitionStore(folder / f"partition-{number}", RESOURCES)
    store.open()
    return store


@pytest.fixture
async def standbys(kafka: Any, topic: str, tmp_path: Path) -> AsyncIterator[Standbys]:
    config: Any = SimpleNamespace(changelog_topic=topic, client_kwargs={"bootstrap_servers": kafka.bootstrap})
    failures: list[str] = []

    async def guarded(work: Awaitable[None], what: str) -> None:
        try:
            await work
        except Exception as error:
            failures.append(f"{what}: {error!r}")

    standbys = Standbys(config, lambda number: new_store(tmp_path, number), guarded)
    yield standbys
    await standbys.follow(set())
    assert failures == []


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


async def test_copies_follow_the_changelog(standbys: Standbys, appender: Appender, link: BrokerLink) -> None:
    other = Appender(link, appender.topic, 1, await link.claim(f"{appender.topic}-1"))
    await appender.append([(b"ra", b"1"), (b"rb", b"1")])
    await standbys.follow({0, 1})
    await until(lambda: standbys.stores[0].position == 1)
    await appender.append([(b"ra", b"2"), (b"rb", None)])
    await other.append([(b"rc", b"3")])
    await until(lambda: standbys.stores[0].position == 3 and standbys.stores[1].position == 0)
    assert list(standbys.stores[0].scan(b"r")) == [(b"ra", b"2")]
    assert list(standbys.stores[1].scan(b"r")) == [(b"rc", b"3")]


async def test_promoted_copy_is_closed_and_never_written_again(
    standbys: Standbys, appender: Appender, tmp_path: Path
) -> None:
    await appender.append([(b"ra", b"1")])
    await standbys.follow({0, 1})
    await until(lambda: standbys.stores[0].position == 0)
    standbys.stores[0].flush()
    await standbys.follow({1})
    owned = new_store(tmp_path, 0)  # RocksDB would refuse a store that somebody else holds open
    await appender.append([(b"ra", b"2")])
    await asyncio.sleep(0.3)
    assert (owned.position, owned.get(b"ra")) == (0, b"1")
    assert set(standbys.stores) == {1}
    owned.close()


async def test_following_the_same_again_goes_on_from_the_position(standbys: Standbys, appender: Appender) -> None:
    await appender.append([(b"ra", b"1")])
    await standbys.follow({0})
    await until(lambda: standbys.stores[0].position == 0)
    store = standbys.stores[0]
    await standbys.follow({0})
    assert standbys.stores[0] is store
    await appender.append([(b"ra", b"2")])
    await until(lambda: store.position == 1)


async def test_copy_that_may_have_missed_tombstones_is_built_anew(
    standbys: Standbys, appender: Appender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Following it would make it look young, and its owner would serve rows that were deleted long ago."""
    await appender.append([(b"ra", b"1"), (b"ra", None), (b"rb", b"1")])
    long_ago = time.time() - TOMBSTONE_RETENTION_S - 60
    with monkeypatch.context() as patched:
        patched.setattr("reco_stream.engine.store.time.time", lambda: long_ago)
        old = new_store(tmp_path, 0)
        old.write([(b"ra", b"deleted since"), (b"rold", b"deleted since")], 1)
        old.close()
    await standbys.follow({0})
    await until(lambda: standbys.stores[0].position == 2)
    assert list(standbys.stores[0].scan(b"r")) == [(b"rb", b"1")]


async def test_copy_of_another_changelog_is_built_anew(standbys: Standbys, appender: Appender, tmp_path: Path) -> None:
    await appender.append([(b"rb", b"1")])
    foreign = new_store(tmp_path, 0)
    foreign.write([(b"ra", b"of another cluster")], 700)
    foreign.close()
    await standbys.follow({0})
    await until(lambda: standbys.stores[0].position == 0)
    assert list(standbys.stores[0].scan(b"r")) == [(b"rb", b"1")]


async def test_changelog_without_its_beginning_is_not_followed(
    kafka: Any, standbys: Standbys, appender: Appender, link: BrokerLink, caplog: pytest.LogCaptureFixture
) -> None:
    other = Appender(link, appender.topic, 1, await link.claim(f"{appender.topic}-1"))
    await appender.append([(b"ra", b"1"), (b"rb", b"1")])
    await other.append([(b"rc", b"1")])
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(appender.topic, 0): RecordsToDelete(1)})
    await admin.close()
    await standbys.follow({0, 1})
    await until(lambda: standbys.stores[1].position == 0)
    assert standbys.stores[0].position == -1
    assert "cannot be brought up to date" in caplog.text


async def test_unreachable_brokers_are_waited_for(
    standbys: Standbys, appender: Appender, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await appender.append([(b"ra", b"1")])
    monkeypatch.setattr(standby_module, "_RETRY_PAUSE_S", 0.1)
    reachable = standbys._config.client_kwargs
    standbys._config = SimpleNamespace(  # type: ignore[assignment]
        changelog_topic=appender.topic, client_kwargs={"bootstrap_servers": "127.0.0.1:1"}
    )
    await standbys.follow({0})
    await until(lambda: "reading on" in caplog.text)
    standbys._config.client_kwargs.update(reachable)  # type: ignore[attr-defined]
    await until(lambda: standbys.stores[0].position == 0)
