"""When a changed row is published: at the next interval, later when it hardly moved, and never not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from reco_stream.engine.published import Measure
from reco_stream.engine.publisher import WAIT_S, Publisher
from reco_stream.engine.store import PartitionStore, StoreResources


class Topic:
    """Takes the place of an Appender."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []
        self.fails = False

    async def append(self, records: Iterable[tuple[bytes, bytes | None]]) -> int:
        if self.fails:
            raise ConnectionError("the test says so")
        self.records += records
        return len(self.records)

    def taken(self) -> list[bytes]:
        found = [key for key, _ in self.records]
        self.records.clear()
        return found


class Counts:
    """Rows "n<item>" hold a make-up and a count; rows "s<user>" hold words, each published under a key of its own."""

    prefixes = frozenset([b"n", b"s"])

    def expand(self, key: bytes, row: bytes | None) -> Iterable[tuple[str, bytes, bytes | None]]:
        if key[:1] == b"n":
            yield "t", key, row
        else:
            for word in (row or b"").split():
                yield "t", key + b":" + word[:1], word

    def measure(self, key: bytes, row: bytes) -> Measure | None:
        kind, _, size = row.partition(b"=")
        return (len(kind), float(size)) if key[:1] == b"n" else None


class Harness:
    """A publisher over a real store, with a clock that stands still."""

    def __init__(self, path: Path) -> None:
        self.store = PartitionStore(path, StoreResources(8 << 20))
        self.store.open()
        self.topic = Topic()
        self.now = 100.0
        self.offset = 0
        self.changes: list[tuple[bytes, int]] = []
        self.restart()

    def restart(self) -> None:
        """The next run of the partition: its publisher is told what the changelog says."""
        appenders: dict[str, Any] = {"t": self.topic}
        self.publisher = Publisher(self.store, appenders, Counts(), lambda: self.now)
        for key, offset in self.changes:
            self.publisher.changed([key], offset)

    def change(self, key: bytes, row: bytes | None) -> None:
        self.offset += 10
        self.store.write([(key, row)], self.offset)
        self.publisher.changed([key], self.offset)
        self.changes.append((key, self.offset))

    async def flush_in_vain(self, key: bytes, row: bytes) -> None:
        self.change(key, row)
        self.topic.fails = True
        with pytest.raises(ConnectionError):
            await self.publisher.flush()
        self.topic.fails = False

    async def leave(self, leaving: list[tuple[bytes, bytes | None]]) -> None:
        async with self.publisher.publishing(leaving):
            pass

    async def published(self, everything: bool = False) -> list[bytes]:
        await self.publisher.flush(everything)
        return self.topic.taken()


@pytest.fixture
def harness(tmp_path: Path) -> Iterable[Harness]:
    found = Harness(tmp_path / "store")
    yield found
    found.store.close()


async def test_changes_of_an_interval_are_one_value(harness: Harness) -> None:
    for count in range(1, 4):
        harness.change(b"na", b"x=%d" % count)
    harness.change(b"zz", b"not for others")
    assert await harness.published() == [b"na"]
    assert await harness.published() == []
    assert harness.publisher.unpublished_from(999) == 999


async def test_a_small_move_waits_and_a_large_one_does_not(harness: Harness) -> None:
    harness.change(b"na", b"x=100")
    assert await harness.published() == [b"na"]
    harness.change(b"na", b"x=104")
    assert await harness.published() == []
    assert len(harness.publisher) == 1
    harness.change(b"na", b"x=105")
    assert await harness.published() == [b"na"]
    assert len(harness.publisher) == 0


async def test_small_moves_are_published_after_ten_seconds_and_once(harness: Harness) -> None:
    harness.change(b"na", b"x=100")
    await harness.published()
    for step in range(1, 4):
        harness.change(b"na", b"x=%d" % (100 + step))
        assert await harness.published() == []
        harness.now += WAIT_S / 4
    harness.now += WAIT_S / 4
    assert await harness.published() == [b"na"]
    harness.now += 2 * WAIT_S
    assert await harness.published() == []


async def test_what_waits_keeps_the_floor_down(harness: Harness) -> None:
    harness.change(b"na", b"x=100")
    await harness.published()
    harness.change(b"na", b"x=101")
    first = harness.offset
    await harness.published()
    harness.change(b"nb", b"x=1")
    assert harness.publisher.unpublished_from(999) == first
    assert await harness.published() == [b"nb"]
    assert harness.publisher.unpublished_from(999) == first
    assert await harness.published(everything=True) == [b"na"]
    assert harness.publisher.unpublished_from(999) == 999


async def test_another_make_up_and_a_small_row_never_wait(harness: Harness) -> None:
    harness.change(b"na", b"x=100")
    harness.change(b"nb", b"x=1")
    await harness.published()
    harness.change(b"na", b"xy=100")
    harness.change(b"nb", b"x=1.01")
    assert await harness.published() == [b"na", b"nb"]


async def test_a_row_that_is_gone_is_told_at_once(harness: Harness) -> None:
    harness.change(b"na", b"x=100")
    await harness.published()
    harness.change(b"na", None)
    assert await harness.published() == [b"na"]


async def test_of_several_values_only_changed_ones_are_sent(harness: Harness) -> None:
    harness.change(b"su", b"a1 b1")
    assert await harness.published() == [b"su:a", b"su:b"]
    harness.change(b"su", b"a1 b2")
    assert await harness.published() == [b"su:b"]
    harness.change(b"su", b"b2 c1")
    assert await harness.published() == [b"su:c"]


async def test_what_leaves_its_row_is_sent_unless_it_was_published(harness: Harness) -> None:
    harness.change(b"su", b"a1 b1")
    harness.change(b"sv", b"a1")
    await harness.published()
    harness.change(b"sv", b"a2")  # awaits publication
    await harness.leave([(b"su", b"a1"), (b"sv", b"a2")])
    assert harness.topic.taken() == [b"sv:a"]
    await harness.leave([(b"su", b"a2 c1")])
    assert harness.topic.taken() == [b"su:a", b"su:c"]


async def test_a_row_that_awaits_nothing_was_published_by_the_owner_before(harness: Harness) -> None:
    harness.store.write([(b"su", b"a1 b1")], 10)
    await harness.leave([(b"su", b"a1 b2 c1")])
    assert harness.topic.taken() == [b"su:b", b"su:c"]


async def test_after_a_failure_nothing_counts_as_published_for_the_next_owner(harness: Harness) -> None:
    await harness.flush_in_vain(b"su", b"a1 b1")
    harness.restart()
    assert await harness.published() == [b"su:a", b"su:b"]


async def test_after_a_cancelled_flush_all_that_leaves_is_sent(harness: Harness) -> None:
    await harness.flush_in_vain(b"su", b"a1 b1")
    await harness.leave([(b"su", b"a1")])
    assert harness.topic.taken() == [b"su:a"]
    assert harness.publisher.unpublished_from(999) == harness.offset


async def test_an_old_row_is_not_published_between_what_leaves_it_and_the_new_one(harness: Harness) -> None:
    harness.change(b"su", b"a1 b1")
    async with harness.publisher.publishing([(b"su", b"a2")]):
        flushing = asyncio.create_task(harness.publisher.flush())
        await asyncio.sleep(0.01)
        harness.store.write([(b"su", b"b1 c1")], 20)
    await flushing
    assert harness.topic.taken() == [b"su:a", b"su:b", b"su:c"]
