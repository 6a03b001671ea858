"""One verification: for each partition, fold the log up to each copy's marker and compare.

1. copies   the changelog's last values and each local store, each with the marker that says what it contains
2. refuse   what cannot be known: other rules, a log that begins after the baseline or ends before the marker
3. fold     the source log once, stopping at each copy's marker
4. compare  every row of every table, byte by byte; popularity by plain counts; refused records with the dead letters
5. publish  after a drain, the published values with the changelog's rows
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.errors import OffsetOutOfRangeError

from agents.publication import Publication
from reco_stream.engine.marker import Marker
from reco_stream.engine.store import Record
from reco_stream.engine_settings import engine_config, table_rules
from reco_stream.settings import Settings
from reco_stream.topics import NoSuchTopic, check_topics
from reco_stream.verify.compare import ABSENT, Difference, compare_rows
from reco_stream.verify.copies import Copy, UnreadableCopy, changelog_copy, store_copies, store_copy
from reco_stream.verify.letters import Letters
from reco_stream.verify.log import LogReader, Source, SourceLog, open_reader
from reco_stream.verify.published import compare_published, last_values, wanted_values
from reco_stream.verify.recount import FOLD_FAILED, Recount, RuleRaised, fold_up_to
from tables import fingerprint
from tables.popularity import POPULARITY

DIFFERENCES_SHOWN = 20

# (records read so far, records known to be read, what is being read)
OnProgress = Callable[[int, int, str], None]


@dataclass
class Report:
    """What a verification found. `differences` holds the first ones, `different` counts all."""

    rows: int = 0
    copies: int = 0
    events: int = 0
    duplicates: int = 0
    refused: int = 0
    skipped: int = 0
    published: int = 0
    applied: dict[int, int] = field(default_factory=dict)
    different: int = 0
    differences: list[Difference] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0: all rows are what the log says; 1: some are not; 2: it cannot be known."""
        return 1 if self.different else 2 if self.unknown else 0

    def add(self, differences: Iterable[Difference]) -> None:
        for difference in differences:
            self.different += 1
            if len(self.differences) < DIFFERENCES_SHOWN:
                self.differences.append(difference)


async def verify(
    settings: Settings,
    data_dirs: Sequence[Path] = (),
    *,
    published: bool = False,
    source: Source | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Returns what differs between the source log and every copy of the state. Raises NoSuchTopic, KafkaError.

    `source` replaces the events topic, for tests that remember what a topic no longer holds.
    """
    missing = [mismatch.topic for mismatch in await check_topics(settings) if mismatch.setting == "topic"]
    if missing:
        raise NoSuchTopic(f"topic {missing[0]} does not exist; create it with: reco topics create")
    async with open_reader(settings) as reader:
        run = _Run(settings, reader, source or SourceLog(reader, settings.topic("events")), on_progress)
        stores = run.stores(data_dirs)
        await run.measure()
        for partition in range(settings.partitions):
            await run.partition(partition, stores.get(partition, []), published=published)
    return run.report


class _Run:
    """State of one verification."""

    def __init__(
        self,
        settings: Settings,
        reader: LogReader,
        source: Source,
        on_progress: OnProgress | None,
    ) -> None:
        self.report = Report()
        self._settings = settings
        self._reader = reader
        self._source = source
        self._letters = Letters(reader, settings.topic("dead-letters"), settings.topic("events"))
        self._rules = table_rules(settings)
        self._fingerprint = fingerprint(self._rules)
        self._publication = Publication(settings.topic("item-stats"), settings.topic("sessions"))
        self._on_progress = on_progress
        self._done = self._total = 0

    async def measure(self) -> None:
        """Adds up what is to be read, for the progress shown."""
        for partition in range(self._settings.partitions):
            first, end = await self._source.bounds(partition)
            changelog_first, changelog_end = await self._reader.bounds(self._settings.changelog_topic, partition)
            self._total += end - first + changelog_end - changelog_first

    def stores(self, data_dirs: Sequence[Path]) -> dict[int, list[Path]]:
        """Returns partition -> its stores in all data folders; a folder without any is noted as unknown."""
        found: dict[int, list[Path]] = {}
        for data_dir in data_dirs:
            try:
                for partition, path in store_copies(data_dir, self._settings.state_name).items():
                    found.setdefault(partition, []).append(path)
            except UnreadableCopy as error:
                self.report.unknown.append(str(error))
        return found

    async def partition(self, partition: int, paths: Sequence[Path], *, published: bool) -> None:
        """Verifies all copies of one partition."""
        copies: list[Copy] = []
        for path in paths:  # before the changelog: a store is never ahead of it
            try:
                copies.append(store_copy(path))
            except UnreadableCopy as error:
                self.report.unknown.append(str(error))
        topic = self._settings.changelog_topic
        changelog = await changelog_copy(
            self._reader, topic, partition, lambda records: self._progress(records, f"{topic}[{partition}]")
        )
        copies.append(changelog)
        self.report.applied[partition] = changelog.marker.applied
        for copy in copies:
            self.report.add(Difference(copy.where, "marker", "applied", fault, "one owner") for fault in copy.faults)
        await self._letters.refresh()  # after the copies: a letter is written before the marker passes its record
        known = [copy for copy in copies if await self._is_known(partition, copy)]
        left: dict[int, list[Record] | None] = {}
        for baseline in {copy.marker.baseline for copy in known}:
            of_baseline = [copy for copy in known if copy.marker.baseline == baseline]
            left[baseline] = await self._compare(partition, baseline, of_baseline)
        if published:
            await self._published(partition, changelog, left[changelog.marker.baseline] if changelog in known else None)

    async def _is_known(self, partition: int, copy: Copy) -> bool:
        """False, with a note, for a copy of which the log cannot say what it should be."""
        first, end = await self._source.bounds(partition)
        why = await self._unsettled(copy) or await self._unlike_log(partition, copy.marker, first, end)
        if why is None and copy.marker.fingerprint not in ("", self._fingerprint):
            why = f"folded under other rules than these settings give ({self._other_rules(copy)})"
        if why is not None:
            self.report.unknown.append(f"{copy.where}: {why}")
        return why is None

    async def _unsettled(self, copy: Copy) -> str | None:
        if copy.place is None:
            return None
        if not copy.place.settled:
            return "rows are still being restored, or are a standby's: not those of one moment"
        if copy.place.changelog_id != await self._reader.topic_id(self._settings.changelog_topic):
            return "belongs to a changelog that was deleted; the worker will build it anew"
        return None

    async def _unlike_log(self, partition: int, marker: Marker, first: int, end: int) -> str | None:
        name = self._settings.topic("events")
        if marker.applied < marker.baseline:
            return None  # nothing is applied
        if marker.applied >= end or marker.source_id != await self._reader.topic_id(name):
            return f"contains offset {marker.applied} of a topic {name} that was deleted and made anew"
        if marker.baseline < first:
            return f"folded from offset {marker.baseline} on, but {name}[{partition}] now begins at {first}"
        return None

    def _other_rules(self, copy: Copy) -> str:
        wanted = engine_config(self._settings, self._rules, "").rules
        differs = [
            f"{name}: found {copy.rules.get(name, 'nothing')}, wanted {wanted.get(name, 'nothing')}"
            for name in sorted(copy.rules.keys() | wanted.keys())
            if copy.rules.get(name) != wanted.get(name)
        ]
        return "; ".join(differs) or "not recorded which"

    async def _compare(self, partition: int, baseline: int, copies: Sequence[Copy]) -> list[Record] | None:
        """Folds from `baseline` on, once, and compares each copy at its marker.

        Returns the sessions that have left their rows by the last marker; None when that cannot be known.
        """
        settings, letters = self._settings, self._letters.of(partition)
        recount = Recount(partition, settings.partitions, settings.event_rules(), self._rules, letters)
        at = baseline
        topic = f"{settings.topic('events')}[{partition}]"
        for copy in sorted(copies, key=lambda copy: copy.marker.applied):
            end = copy.marker.applied + 1
            if end > at:
                try:
                    async for records in fold_up_to(recount, self._source.records(partition, at, end)):
                        self._progress(records, topic)
                except RuleRaised as error:
                    self.report.unknown.append(str(error))
                    return None
                except OffsetOutOfRangeError:
                    self.report.unknown.append(f"{topic}: retention removed events while they were being read")
                    return None
                at = end
            self._compare_copy(copy, recount)
        self.report.events += recount.events
        self.report.duplicates += recount.counts.duplicates
        self.report.skipped += recount.skipped
        self.report.refused += len(recount.refused)
        self.report.add(self._letter_differences(partition, recount, at))
        return recount.left

    def _compare_copy(self, copy: Copy, recount: Recount) -> None:
        wanted = recount.rows.snapshot()
        self.report.add(compare_rows(copy.where, copy.rows, wanted))
        if copy.marker.applied >= 0 and copy.marker.stream_time_ms != recount.rows.stream_time_ms:
            found, want = str(copy.marker.stream_time_ms), str(recount.rows.stream_time_ms)
            self.report.add([Difference(copy.where, "marker", "stream_time_ms", found, want)])
        for key, raw in copy.rows.items():
            if key[:1] == POPULARITY.prefix:
                item = key[1:].decode()
                for found, want in recount.counts.problems(item, POPULARITY.decode(raw)):
                    self.report.add([Difference(copy.where, "popularity, counted", item, found, want)])
        for item in recount.counts.items.keys() - {key[1:].decode() for key in copy.rows if key[:1] == b"p"}:
            total = f"total {dict(recount.counts.items[item].total)}"
            self.report.add([Difference(copy.where, "popularity, counted", item, ABSENT, total)])
        self.report.rows += len(wanted)
        self.report.copies += 1

    def _letter_differences(self, partition: int, recount: Recount, end: int) -> Iterable[Difference]:
        """Yields refused records without a dead letter of that reason, and dead letters of records that were good."""
        where, topic = self._settings.topic("dead-letters"), self._settings.topic("events")
        for offset, reason in recount.refused.items():
            found = recount.letters.get(offset)
            if found != reason and not (found is None and self._letters.incomplete):
                yield Difference(where, "dead letter", f"{topic}/{partition}/{offset}", found or "none", reason)
        for offset, reason in recount.letters.items():
            if offset < end and reason != FOLD_FAILED and offset not in recount.refused:
                yield Difference(
                    where, "dead letter", f"{topic}/{partition}/{offset}", reason, "none, the event is good"
                )

    async def _published(self, partition: int, changelog: Copy, left: list[Record] | None) -> None:
        for name in ("item-stats", "sessions"):
            topic = self._settings.topic(name)
            where, faults = f"{topic}[{partition}]", list[Difference]()
            found = await last_values(self._reader.read_compacted(topic, partition), where, faults)
            rows: Iterable[Record] = changelog.rows.items()
            extra_allowed = False
            if name == "sessions":
                first, _ = await self._reader.bounds(topic, partition)
                if left is None or first > 0:
                    extra_allowed = True  # unknown, or by now ended by the topic's retention
                else:
                    rows = [*left, *rows]
            wanted = wanted_values(self._publication, rows, topic)
            self.report.add(faults)
            self.report.add(compare_published(where, found, wanted, extra_allowed=extra_allowed))
            self.report.published += len(wanted)

    def _progress(self, records: int, what: str) -> None:
        self._done += records
        if self._on_progress is not None:
            self._on_progress(self._done, max(self._total, self._done), what)
