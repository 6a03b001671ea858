"""The checkpoint's steps, in their order, and what a failure in each leaves behind."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from reco_stream.engine.changelog import Appender
from reco_stream.engine.checkpoint import Checkpointer, Limits, Rejection
from reco_stream.engine.errors import BatchTooLarge, ChangelogCorrupt, Fenced, StoreFailed
from reco_stream.engine.marker import MARKER_KEY, Marker, decode_marker
from reco_stream.engine.store import PartitionStore, Record
from reco_stream.engine.table import Table
from tests.engine.fakes import FakeBroker, FakeDisk, FakeLink, FakeLog, LogRecord, MemoryStore
from tests.engine.python_rows import FoldsInRuns, PythonRows

TEXT: Table[str] = Table("text", b"t", str.encode, bytes.decode)
LIMITS = Limits(max_records=100, max_bytes=1_000_000, slice_ms=1e9)


class Appends(FoldsInRuns):
    """Adds each record's value to the row of its key; b"bad" is rejected, and `raises` says what else may happen."""

    def __init__(self) -> None:
        self.raises: Callable[[Any], None] = lambda record: None
        self.calls: list[str] = []

    def rows_over(self, store: PartitionStore, budget_bytes: int) -> PythonRows:
        return PythonRows(store)

    def fold(self, rows: PythonRows, record: Any) -> Rejection | None:
        if record.value == b"bad":
            return Rejection(record, "bad", "the test says so")
        key = record.key.decode()
        rows.put(TEXT, key, (rows.get(TEXT, key) or "") + record.value.decode())
        self.raises(record)
        rows.stream_time_ms = record.offset * 10
        if record.value == b"out":
            rows.left.append((b"tk", b"out"))
        return None

    def applied(self) -> None:
        self.calls.append("applied")

    def aborted(self) -> None:
        self.calls.append("aborted")


class Harness:
    """A checkpointer on fakes, just recovered up to a marker."""

    def __init__(self, limits: Limits = LIMITS, marker: Marker | None = None) -> None:
        self.broker = FakeBroker()
        self.held: list[str] = []
        link: Any = FakeLink(self.broker, self._gate)
        self.store = MemoryStore(Path("store"), FakeDisk())
        self.store.open()
        self.processor = Appends()
        self.rejections: list[int] = []
        self.changed: list[list[bytes]] = []
        self.published: list[tuple[Record, int]] = []  # and of how many parts the changed keys were known by then
        self.on_gate: Callable[[str], None] = lambda name: None
        self.appender = Appender(link, "changelog", 0, self.broker.claim("app-0"))
        rows = self.processor.rows_over(self.store, 1 << 20)
        self.checkpointer = Checkpointer(
            self.store,
            rows,
            self.appender,
            marker or Marker(version=5),
            self.processor,
            limits,
            self._send_rejections,
            self._publishing,
        )

    async def apply(self, records: Sequence[Any]) -> list[bytes]:
        """Applies the records; returns the keys of all parts, in `changed` too."""
        first = len(self.changed)
        await self.checkpointer.apply(records, self.changed.append)
        return [key for keys in self.changed[first:] for key in keys]

    async def _gate(self, name: str) -> None:
        self.on_gate(name)

    async def _send_rejections(self, rejections: Sequence[Rejection]) -> None:
        self.on_gate("dead letters")
        self.rejections += [rejection.record.offset for rejection in rejections]

    @asynccontextmanager
    async def _publishing(self, leaving: Sequence[Record]) -> AsyncIterator[None]:
        self.on_gate("publish")
        self.published += [(record, len(self.changed)) for record in leaving]
        yield
        self.on_gate("stored")

    @property
    def changelog(self) -> FakeLog:
        return self.broker.logs["changelog", 0]

    def markers(self) -> list[int]:
        """What each batch of the changelog said was applied."""
        return [decode_marker(r.value or b"").applied for r in self.changelog.records if r.key == MARKER_KEY]

    def row(self, key: str) -> str | None:
        raw = self.store.get(b"t" + key.encode())
        return None if raw is None else raw.decode()


def events(*values: str, first: int = 0, key: str = "k") -> list[LogRecord]:
    return [LogRecord("events", 0, first + i, key.encode(), value.encode()) for i, value in enumerate(values)]


async def test_rows_and_marker_are_one_batch_in_the_changelog_and_one_write_in_the_store() -> None:
    harness = Harness()
    changed = await harness.apply([*events("a", "b"), *events("c", first=2, key="l")])
    assert changed == [b"tk", b"tl"]
    assert [(r.offset, r.key, r.value) for r in harness.changelog.records[:2]] == [(0, b"tk", b"ab"), (1, b"tl", b"c")]
    assert harness.markers() == [2]
    assert (harness.row("k"), harness.row("l"), harness.store.position) == ("ab", "c", 2)
    assert harness.store.marker() == harness.checkpointer.marker == Marker(2, 5, 20)
    assert harness.processor.calls == ["applied"]


async def test_what_leaves_its_row_is_published_before_the_row_is_in_the_changelog() -> None:
    harness, reached = Harness(), list[tuple[str, int]]()
    harness.on_gate = lambda name: reached.append((name, harness.changelog.end))
    await harness.apply(events("a", "out"))
    assert (reached[0], reached[-1]) == (("publish", 0), ("stored", harness.changelog.end))
    await harness.apply(events("b", first=2))
    assert harness.published == [((b"tk", b"out"), 0)]


async def test_changed_rows_of_a_part_are_known_before_the_next_part_publishes() -> None:
    harness = Harness(Limits(max_records=2, max_bytes=1_000_000, slice_ms=1e9))
    await harness.apply(events("a", "b", "out"))
    assert harness.published == [((b"tk", b"out"), 1)]


async def test_what_cannot_be_published_is_not_applied() -> None:
    harness = Harness()

    def fenced(name: str) -> None:
        if name == "publish":
            raise Fenced("a newer owner")

    harness.on_gate = fenced
    with pytest.raises(Fenced):
        await harness.apply(events("a", "out"))
    assert (harness.changelog.end, harness.row("k"), harness.processor.calls) == (0, None, [])


async def test_replayed_records_change_nothing() -> None:
    harness = Harness()
    await harness.apply(events("a", "b", "c"))
    assert await harness.apply(events("a", "b", "c")) == []
    assert await harness.apply(events("b", first=1)) == []
    assert (harness.changelog.end, harness.row("k")) == (2, "abc")


async def test_replay_that_goes_on_folds_only_what_is_new() -> None:
    harness = Harness()
    await harness.apply(events("a", "b"))
    await harness.apply(events("b", "c", first=1))
    assert (harness.row("k"), harness.markers()) == ("abc", [1, 2])


async def test_batch_is_split_by_events_when_its_rows_are_too_many_bytes() -> None:
    harness = Harness(Limits(max_records=100, max_bytes=25, slice_ms=1e9))
    records = [*events("0123456789", key="a"), *events("0123456789", first=1, key="b")]
    records += [*events("0123456789", first=2, key="c"), *events("0123456789", first=3, key="d")]
    assert await harness.apply(records) == [b"ta", b"tb", b"tc", b"td"]
    assert harness.markers() == [1, 3], "each part has a marker of its own"
    assert harness.processor.calls == ["aborted", "applied", "applied"]
    assert harness.row("d") == "0123456789"


async def test_part_grows_again_after_a_split() -> None:
    harness = Harness(Limits(max_records=64, max_bytes=100, slice_ms=1e9))
    await harness.apply([*events("x" * 90), *events("y" * 90, first=1, key="l")])
    assert harness.checkpointer._max_records < 64
    for first in range(2, 130, 2):
        await harness.apply(events("", "", first=first))
    assert harness.checkpointer._max_records == 64


async def test_one_event_is_never_split() -> None:
    harness = Harness(Limits(max_records=100, max_bytes=10, slice_ms=1e9))
    await harness.apply(events("0123456789" * 3, "tiny"))
    assert (harness.markers(), harness.row("k")) == ([0, 1], "0123456789" * 3 + "tiny")


async def test_event_too_large_for_the_broker_is_named() -> None:
    harness = Harness()

    def too_large(name: str) -> None:
        raise BatchTooLarge("larger than max.message.bytes")

    harness.on_gate = too_large
    with pytest.raises(BatchTooLarge, match=r"one event changes 1 rows: larger than max\.message\.bytes"):
        await harness.apply(events("a"))


async def test_record_that_raises_each_time_is_rejected_and_the_rest_is_folded_without_it() -> None:
    harness = Harness()
    failures: list[int] = []

    def raises(record: Any) -> None:
        if record.value == b"poison":
            failures.append(record.offset)
            raise ZeroDivisionError("of the rule")

    harness.processor.raises = raises
    await harness.apply(events("a", "poison", "b", "poison", "c"))
    assert harness.row("k") == "abc"
    assert harness.rejections == [1, 3]
    assert failures == [1, 1, 1, 3, 3], "of a run nobody knows which it was; then each has a second chance"
    assert harness.markers() == [4]
    assert harness.processor.calls[-1] == "applied"


async def test_runs_end_where_a_slice_may_end_and_go_on_behind_what_is_rejected() -> None:
    harness, runs = Harness(), list[tuple[int, int, int]]()
    fold_plain = harness.processor.fold_plain

    def noted(rows: PythonRows, records: Sequence[Any], start: int, stop: int) -> int:
        runs.append((start, stop, fold_plain(rows, records, start, stop)))
        return runs[-1][2]

    harness.processor.fold_plain = noted  # type: ignore[method-assign]
    await harness.apply(events("a", "b"))
    await harness.apply(events("a", "b", "c", "d", "bad", "e", "f", "bad"))
    assert runs == [(0, 2, 2), (2, 6, 4), (5, 8, 7)]
    assert harness.row("k") == "abcdef"
    assert harness.rejections == [4, 7]


async def test_rejection_of_a_poison_record_says_what_was_raised() -> None:
    harness = Harness()
    found: list[Rejection] = []

    async def keep(rejections: Sequence[Rejection]) -> None:
        found.extend(rejections)

    def raises(record: Any) -> None:
        raise ZeroDivisionError("of the rule")

    harness.processor.raises = raises
    harness.checkpointer._send_rejections = keep
    await harness.apply(events("a"))
    assert (found[0].reason, found[0].record.offset) == ("fold_failed", 0)
    assert "ZeroDivisionError('of the rule')" in found[0].detail
    assert isinstance(found[0].cause, ZeroDivisionError)


async def test_rule_that_fails_once_costs_no_event() -> None:
    harness = Harness()
    failing = iter([True, False, False, False])

    def raises(record: Any) -> None:
        if record.value == b"b" and next(failing):
            raise OSError("a passing weakness")

    harness.processor.raises = raises
    await harness.apply(events("a", "b", "c"))
    assert (harness.row("k"), harness.rejections) == ("abc", [])


async def test_failure_of_the_store_is_nobodys_poison() -> None:
    harness = Harness()

    def raises(record: Any) -> None:
        raise StoreFailed("cannot read")

    harness.processor.raises = raises
    with pytest.raises(StoreFailed):
        await harness.apply(events("a"))
    assert (harness.rejections, harness.changelog.end) == ([], 0)


async def test_only_rejections_still_move_the_marker() -> None:
    harness = Harness()
    assert await harness.apply(events("bad", "bad")) == []
    assert (harness.rejections, harness.markers()) == ([0, 1], [1])


async def test_steps_happen_in_their_order() -> None:
    harness = Harness()
    order: list[tuple[str, str | None]] = []
    harness.on_gate = lambda name: order.append((name, harness.row("k")))
    await harness.apply(events("a", "bad"))
    assert order == [("dead letters", None), ("append to changelog", None), ("append to changelog answered", None)]
    assert harness.row("k") == "a"


@pytest.mark.parametrize("failing", ["dead letters", "append to changelog", "append to changelog answered"])
async def test_failure_before_the_acknowledgement_leaves_the_store_alone(failing: str) -> None:
    harness = Harness()

    def fail(name: str) -> None:
        if name == failing:
            raise Fenced("a newer owner")

    harness.on_gate = fail
    with pytest.raises(Fenced):
        await harness.apply(events("a", "bad"))
    assert (harness.row("k"), harness.store.marker(), harness.store.position) == (None, Marker(), -1)
    assert harness.changelog.end == (2 if failing.endswith("answered") else 0)
    assert "applied" not in harness.processor.calls


async def test_foreign_batch_in_the_changelog_is_noticed() -> None:
    harness = Harness()
    await harness.apply(events("a"))
    foreign = Appender(FakeLink(harness.broker), "changelog", 0, harness.broker.claim("app-of-another-cluster"))  # type: ignore[arg-type]
    await foreign.append([(b"tz", b"foreign")])
    with pytest.raises(
        ChangelogCorrupt, match=r"changelog\[0\]: a batch landed at offset 3, wanted 2.*RECO_APP shared"
    ):
        await harness.apply(events("b", first=1))


async def test_long_fold_lets_others_run() -> None:
    harness = Harness(Limits(max_records=1_000, max_bytes=1_000_000, slice_ms=0))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while harness.markers() == []:
            turns += 1
            await asyncio.sleep(0)

    await asyncio.gather(harness.apply(events(*["a"] * 400)), other())
    assert turns > 20
    assert harness.row("k") == "a" * 400
