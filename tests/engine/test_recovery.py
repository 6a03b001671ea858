"""Recovery against a real changelog: up to a known offset, from where the store stopped, and never past it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from reco_stream.engine import recovery
from reco_stream.engine.changelog import Appender, BrokerLink
from reco_stream.engine.errors import ChangelogCorrupt
from reco_stream.engine.marker import MARKER_KEY, Marker, encode_marker
from reco_stream.engine.recovery import TOMBSTONE_RETENTION_S, changelog_reader, is_stale, keys_since, restore
from reco_stream.engine.store import PartitionStore, StoreResources

kafka_backed = pytest.mark.kafka
RESOURCES = StoreResources(8 << 20)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    store = PartitionStore(tmp_path / "partition-0000", RESOURCES)
    store.open()
    yield store
    store.close()


@pytest.fixture
async def appender(kafka: Any, topic: str) -> AsyncIterator[Appender]:
    link = BrokerLink({"bootstrap_servers": kafka.bootstrap}, [topic])
    await link.start()
    yield Appender(link, topic, 0, await link.claim(f"{topic}-0"))
    await link.stop()


@pytest.fixture
def client(kafka: Any) -> dict[str, Any]:
    return {"bootstrap_servers": kafka.bootstrap}


def rows(store: PartitionStore) -> dict[bytes, bytes]:
    return dict(store.scan(b"r"))


@kafka_backed
async def test_restores_rows_tombstones_and_marker_up_to_the_end(
    store: PartitionStore, appender: Appender, client: dict[str, Any]
) -> None:
    marker = Marker(applied=9, version=4)
    await appender.append([(b"ra", b"1"), (b"rb", b"1")])
    await appender.append([(b"ra", b"2"), (b"rb", None), (MARKER_KEY, encode_marker(marker))])
    progress: list[tuple[int, int]] = []
    restored = await restore(
        store, appender.topic, 0, 4, client, lambda position, end: progress.append((position, end))
    )
    assert restored == 5
    assert rows(store) == {b"ra": b"2"}
    assert (store.marker(), store.position) == (marker, 4)
    assert progress[-1] == (4, 4)


@kafka_backed
async def test_cancellation_that_the_closing_reader_swallows_is_heeded(
    store: PartitionStore, appender: Appender, client: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the partition goes on to run in the middle of a rebalance, which waits for its end forever."""
    stop, closing = AIOKafkaConsumer.stop, asyncio.Event()

    async def closed(self: AIOKafkaConsumer) -> None:
        closing.set()
        await stop(self)

    monkeypatch.setattr(AIOKafkaConsumer, "stop", closed)
    await appender.append([(b"ra", b"1")])
    restoring = asyncio.create_task(restore(store, appender.topic, 0, 0, client))
    await closing.wait()
    restoring.cancel()
    await asyncio.wait([restoring])
    assert restoring.cancelled()


@kafka_backed
async def test_reader_is_closed_while_a_fetch_waits_for_its_next_try(topic: str, client: dict[str, Any]) -> None:
    async with changelog_reader(TopicPartition(topic, 0), 0, client) as reader:
        await reader.getmany(timeout_ms=1)
        reader._fetcher._pending_tasks.add(asyncio.create_task(asyncio.sleep(60)))
    assert reader._client._conns
    assert not any(connection.connected() for connection in reader._client._conns.values())


@kafka_backed
async def test_goes_on_from_where_the_store_stopped(
    store: PartitionStore, appender: Appender, client: dict[str, Any]
) -> None:
    await appender.append([(b"ra", b"1")])
    assert await restore(store, appender.topic, 0, 0, client) == 1
    await appender.append([(b"rb", b"2")])
    assert await restore(store, appender.topic, 0, 1, client) == 1
    assert rows(store) == {b"ra": b"1", b"rb": b"2"}
    assert await restore(store, appender.topic, 0, 1, client) == 0


@kafka_backed
async def test_writes_nothing_that_lies_behind_the_fence(
    store: PartitionStore, appender: Appender, client: dict[str, Any]
) -> None:
    """A newer owner may be writing there: half of its batch is a state that never was."""
    await appender.append([(b"ra", b"1")])
    await appender.append([(b"ra", b"newer"), (b"rb", b"newer")])
    await restore(store, appender.topic, 0, 0, client)
    assert rows(store) == {b"ra": b"1"}
    assert store.position == 0


@kafka_backed
async def test_ends_at_an_offset_that_holds_no_record(
    kafka: Any, topic: str, store: PartitionStore, client: dict[str, Any]
) -> None:
    """Here the control record of a transaction; compaction leaves such gaps too."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"{topic}-producer")
    await producer.start()
    async with producer.transaction():
        await producer.send_and_wait(topic, b"1", b"ra", partition=0)
    await producer.stop()
    assert await restore(store, topic, 0, 1, client) == 1
    assert (rows(store), store.position) == ({b"ra": b"1"}, 1)


@kafka_backed
async def test_crash_between_chunks_is_resumed(
    store: PartitionStore, appender: Appender, client: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crashed(BaseException):
        pass

    def crash(name: str) -> None:
        assert name == "recovery.partly"
        raise Crashed

    for i in range(6):
        await appender.append([(b"ra", b"%d" % i), (b"r%d" % i, b"")])
    monkeypatch.setattr(recovery, "_CHUNK_RECORDS", 5)
    with monkeypatch.context() as patched:
        patched.setattr(recovery, "crash_point", crash)
        with pytest.raises(Crashed):
            await restore(store, appender.topic, 0, 11, client)
    assert store.position == 4
    assert rows(store)[b"ra"] == b"2"
    store.close()
    store.open()
    assert await restore(store, appender.topic, 0, 11, client) == 7
    assert len(rows(store)) == 7
    assert rows(store)[b"ra"] == b"5"


@kafka_backed
async def test_keys_since_are_each_named_once_and_end_before_the_end(
    appender: Appender, client: dict[str, Any], topic: str
) -> None:
    await appender.append([(b"ra", b"1"), (b"rb", b"1"), (b"rc", b"1")])
    await appender.append([(b"rb", b"2"), (b"ra", None), (b"rd", b"2")])
    assert await keys_since(topic, 0, 1, 5, client) == [b"rb", b"rc", b"ra"]


@kafka_backed
async def test_changelog_whose_beginning_was_deleted_is_refused(
    kafka: Any, store: PartitionStore, appender: Appender, client: dict[str, Any], topic: str
) -> None:
    await appender.append([(b"ra", b"1"), (b"rb", b"1"), (b"rc", b"1")])
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(2)})
    await admin.close()
    with pytest.raises(ChangelogCorrupt, match=r"from offset 0 on, the log begins at 2.*cleanup\.policy=compact"):
        await restore(store, topic, 0, 2, client)
    store.write([], 1)
    assert await restore(store, topic, 0, 2, client) == 1


def test_store_is_stale_when_tombstones_may_have_left_the_changelog(store: PartitionStore) -> None:
    now_s = time.time()
    assert not is_stale(store, now_s), "an empty store has missed nothing"
    store.write([(b"ra", b"1")], 0)
    assert not is_stale(store, now_s + TOMBSTONE_RETENTION_S - 60)
    assert is_stale(store, now_s + TOMBSTONE_RETENTION_S + 60)
