"""The engine's exactness argument as a state machine small enough to search whole.

One source partition, its changelog partition, what readers of the published topic hold, and two owners that may both
believe that the partition is theirs. An owner's steps are the engine's: claim, fence, recover (in chunks), seek, prove,
fold, send, write, commit, take, publish. Between any two steps anybody else may move, and an owner may crash with its
disk kept or lost; one that is not told of its successor goes on as a zombie. What a process sent before it died may
arrive long after, when it has been started again. Compaction may remove every superseded
record at any time, sooner than min.compaction.lag.ms would let it.

A row is the tuple of the source offsets folded into it, so a lost, repeated or reordered event shows.
"""

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

LOG = ("x", "y", "x")  # key of each event of the source partition; an event also changes the row that all share
SHARED = "all"

Row = tuple[int, ...]
Rows = tuple[tuple[str, Row], ...]  # sorted by key


class Marker(NamedTuple):
    applied: int = -1
    version: int = 0
    floor: int = 0


class Record(NamedTuple):
    offset: int
    key: str
    value: Row | Marker | None


Batch = tuple[tuple[str, Row | Marker | None], ...]  # what the broker takes whole or not at all


class Disk(NamedTuple):
    rows: Rows = ()
    marker: Marker = Marker()
    position: int = -1


class Part(NamedTuple):
    """What a fold left in memory: the changed rows and the marker that goes with them."""

    rows: Rows
    marker: Marker


class Step(Enum):
    DOWN = "down"
    CLAIMED = "claimed"
    RECOVERING = "recovering"
    RECOVERED = "recovered"
    RUNNING = "running"
    FOLDED = "folded"
    SENT = "sent"  # the changelog has the part, the store not yet


class Owner(NamedTuple):
    step: Step = Step.DOWN
    epoch: int = 0
    recover_to: int = -1
    disk: Disk = Disk()
    seek: int = 0
    part: Part | None = None
    first: int = 0  # changelog offset at or after which the running part lies
    unsent: int = 0  # mutants only: how many batches of the part are out
    pending: tuple[tuple[str, int], ...] = ()  # rows that await publication, and since which changelog offset
    flying: tuple[tuple[str, int], ...] = ()


class World(NamedTuple):
    changelog: tuple[Record, ...] = ()
    end: int = 0
    epoch: int = 0  # newest claim handed out
    written: int = 0  # newest epoch that has appended: older ones are refused
    committed: int = 0
    published: tuple[tuple[str, tuple[int, int, Row]], ...] = ()  # key -> version, applied, row
    owners: tuple[Owner, Owner] = (Owner(), Owner())
    claims: int = 3  # how many more of each the search allows
    crashes: int = 2
    compactions: int = 1
    commits: int = 0
    late: tuple[int, Batch] | None = None  # epoch and batch that a dead process sent and the broker has not seen yet


class Mutant(Enum):
    """One step deliberately wrong; each must be caught."""

    MARKER_BEFORE_ROWS = "the marker is appended before the rows that it speaks of"
    STORE_BEFORE_CHANGELOG = "the store is written before the changelog"
    COMMIT_BEFORE_SEND = "the group's offset is committed before the changelog has the part"
    COMMIT_INSTEAD_OF_MARKER = "the group's committed offset says where to go on"
    NO_FENCE = "nothing is appended between the claim and the recovery"
    RECOVERY_TO_LAST_SEEN = "recovery ends at the last record seen before the fence"
    NO_PROOF = "an owner serves what it recovered without appending once more as the newest owner"
    MARKER_GOES_BACK = "a part that was applied before is written again, marker and all"
    TWO_BATCHES = "one part is spread over two batches"
    FLOOR_BEFORE_PUBLISH = "the publication floor moves before the values are published"
    LAST_WRITER_WINS = "readers keep the newest record instead of the newest version"


def fold(events: int) -> Rows:
    """Rows after the first `events` events of the log."""
    rows: dict[str, Row] = {}
    for offset in range(events):
        for key in (LOG[offset], SHARED):
            rows[key] = (*rows.get(key, ()), offset)
    return tuple(sorted(rows.items()))


def merged(rows: Rows, changes: Rows) -> Rows:
    return tuple(sorted({**dict(rows), **dict(changes)}.items()))


def rebuilt(changelog: tuple[Record, ...]) -> tuple[Rows, Marker]:
    """What a reader of the changelog alone ends with."""
    last = {record.key: record.value for record in changelog}
    marker = last.pop("marker", Marker())
    last.pop("fence", None)
    assert isinstance(marker, Marker)
    return tuple(sorted((key, value) for key, value in last.items() if isinstance(value, tuple))), marker


class Machine:
    """The steps that may follow a state, under one mutant or none."""

    def __init__(self, mutant: Mutant | None = None) -> None:
        self._mutant = mutant

    def successors(self, world: World) -> Iterator[tuple[str, World]]:
        """Every state one step away, with the name of the step."""
        for number in (0, 1):
            for name, after in self.moves(world, number):
                yield f"{'AB'[number]} {name}", after
            if world.owners[number].step is not Step.DOWN and world.crashes:
                yield from self._crashes(world, number)
        if world.compactions:
            yield "compact", compacted(world)
        if world.late is not None:
            yield "a late batch arrives", arrived(world, *world.late)

    def moves(self, world: World, number: int) -> Iterator[tuple[str, World]]:
        """Steps of one owner, faults left out: one of its checkpoint, or one of its publication."""
        match world.owners[number].step:
            case Step.DOWN:
                if world.claims:
                    yield "claim", self._claim(world, number)
            case Step.CLAIMED:
                yield "fence", self._fence(world, number)
            case Step.RECOVERING:
                yield from self._recover(world, number)
            case Step.RECOVERED:
                yield "prove", self._prove(world, number)
            case Step.RUNNING:
                yield from self._fold(world, number)
                yield from self._commit(world, number)
                yield from self._publication(world, number)
            case Step.FOLDED:
                yield "send", self._send(world, number)
                if self._mutant is Mutant.COMMIT_BEFORE_SEND:
                    yield from self._commit(world, number)
                yield from self._publication(world, number)
            case Step.SENT:
                yield "write", self._write(world, number)
                yield from self._publication(world, number)

    def _crashes(self, world: World, number: int) -> Iterator[tuple[str, World]]:
        after = world._replace(crashes=world.crashes - 1)
        yield f"{'AB'[number]} crash", down(after, number)
        wiped = down(after, number).owners[number]._replace(disk=Disk())
        yield f"{'AB'[number]} crash and lose the disk", with_owner(after, number, wiped)
        owner = world.owners[number]
        if owner.step is Step.FOLDED and owner.part is not None:
            late = owner.epoch, self._batches(owner.part)[owner.unsent]
            yield f"{'AB'[number]} crash with a batch under way", down(after, number)._replace(late=late)

    # -- assignment --------------------------------------------------------------------------------------------------

    def _claim(self, world: World, number: int) -> World:
        epoch = world.epoch + 1
        owner = world.owners[number]._replace(step=Step.CLAIMED, epoch=epoch, recover_to=world.end - 1)
        return with_owner(world._replace(epoch=epoch, claims=world.claims - 1), number, owner)

    def _fence(self, world: World, number: int) -> World:
        owner = world.owners[number]
        if self._mutant is Mutant.NO_FENCE:
            return changed(world, number, step=Step.RECOVERING, recover_to=world.end - 1)
        if owner.epoch < world.written:
            return down(world, number)
        after = appended(world, owner.epoch, (("fence", None),))
        recover_to = owner.recover_to if self._mutant is Mutant.RECOVERY_TO_LAST_SEEN else after.end - 1
        return changed(after, number, step=Step.RECOVERING, recover_to=recover_to)

    def _recover(self, world: World, number: int) -> Iterator[tuple[str, World]]:
        owner = world.owners[number]
        disk = owner.disk
        if disk.position >= owner.recover_to:
            yield "seek", self._seek(world, number)
            return
        unread = [record for record in world.changelog if disk.position < record.offset <= owner.recover_to]
        for size in (1, 2):
            if size <= len(unread):
                yield f"recover {size}", changed(world, number, disk=copied(disk, unread[:size]))
        if not unread:
            yield "recover a gap", changed(world, number, disk=disk._replace(position=owner.recover_to))

    def _seek(self, world: World, number: int) -> World:
        owner = world.owners[number]
        marker = owner.disk.marker
        next_event = world.committed if self._mutant is Mutant.COMMIT_INSTEAD_OF_MARKER else marker.applied + 1
        unpublished = {
            record.key: marker.floor
            for record in world.changelog
            if marker.floor <= record.offset <= owner.recover_to and isinstance(record.value, tuple)
        }
        unpublished.pop("marker", None)
        step = Step.RUNNING if self._mutant is Mutant.NO_PROOF else Step.RECOVERED
        return changed(world, number, step=step, seek=next_event, pending=tuple(unpublished.items()))

    def _prove(self, world: World, number: int) -> World:
        """Appends the recovered marker: whoever is refused has recovered what a newer owner may have moved on."""
        owner = world.owners[number]
        if owner.epoch < world.written:
            return down(world, number)
        disk = owner.disk._replace(marker=owner.disk.marker._replace(version=owner.epoch), position=world.end)
        after = appended(world, owner.epoch, (("marker", disk.marker),))
        return changed(after, number, step=Step.RUNNING, disk=disk)

    # -- checkpoint --------------------------------------------------------------------------------------------------

    def _fold(self, world: World, number: int) -> Iterator[tuple[str, World]]:
        """One or two events, from where the source was sought to; or up to two applied ones once more."""
        owner = world.owners[number]
        for start in range(max(0, owner.seek - 2), owner.seek + 1):
            for stop in range(start + 1, min(start + 2, len(LOG)) + 1):
                part = self._part(owner, start, stop, world)
                if part is not None:
                    yield (
                        f"fold {start}..{stop - 1}",
                        changed(world, number, step=Step.FOLDED, part=part, first=owner.disk.position + 1),
                    )

    def _part(self, owner: Owner, start: int, stop: int, world: World) -> Part | None:
        marker = owner.disk.marker
        skips = self._mutant is not Mutant.COMMIT_INSTEAD_OF_MARKER
        if skips and stop - 1 <= marker.applied and self._mutant is not Mutant.MARKER_GOES_BACK:
            return None
        rows = dict(owner.disk.rows)
        touched: dict[str, Row] = {}
        for offset in range(start, stop):
            if skips and offset <= marker.applied:
                continue
            for key in (LOG[offset], SHARED):
                rows[key] = touched[key] = (*rows.get(key, ()), offset)
        return Part(tuple(sorted(touched.items())), Marker(stop - 1, owner.epoch, self._floor(owner)))

    def _floor(self, owner: Owner) -> int:
        flying = () if self._mutant is Mutant.FLOOR_BEFORE_PUBLISH else owner.flying
        return min([offset for _, offset in (*owner.pending, *flying)], default=owner.disk.position + 1)

    def _send(self, world: World, number: int) -> World:
        owner = world.owners[number]
        assert owner.part is not None
        if self._mutant is Mutant.STORE_BEFORE_CHANGELOG and not owner.unsent:
            disk = owner.disk
            written = Disk(merged(disk.rows, owner.part.rows), owner.part.marker, disk.position)
            return changed(world, number, disk=written, unsent=1)
        if owner.epoch < world.written:
            return down(world, number)
        batches = self._batches(owner.part)
        after = appended(world, owner.epoch, batches[owner.unsent])
        if owner.unsent + 1 < len(batches):
            return changed(after, number, unsent=owner.unsent + 1)
        return changed(after, number, step=Step.SENT, unsent=0)

    def _batches(self, part: Part) -> list[Batch]:
        marker: Batch = (("marker", part.marker),)
        if self._mutant is Mutant.MARKER_BEFORE_ROWS:
            return [marker, part.rows]
        if self._mutant is Mutant.TWO_BATCHES:
            return [part.rows[:1], (*part.rows[1:], *marker)]
        whole: Batch = (*part.rows, *marker)
        return [(), whole] if self._mutant is Mutant.STORE_BEFORE_CHANGELOG else [whole]

    def _write(self, world: World, number: int) -> World:
        owner = world.owners[number]
        assert owner.part is not None
        disk = owner.disk
        sent = sum(len(batch) for batch in self._batches(owner.part))
        disk = Disk(merged(disk.rows, owner.part.rows), owner.part.marker, disk.position + sent)
        pending = dict(owner.pending)
        for key, _ in owner.part.rows:
            pending.setdefault(key, owner.first)
        return changed(
            world,
            number,
            step=Step.RUNNING,
            disk=disk,
            seek=owner.part.marker.applied + 1,
            part=None,
            first=0,
            pending=tuple(pending.items()),
        )

    def _commit(self, world: World, number: int) -> Iterator[tuple[str, World]]:
        """Nothing but one mutant reads the committed offset, so a search allows few: they multiply the states."""
        owner = world.owners[number]
        ahead = self._mutant is Mutant.COMMIT_BEFORE_SEND and owner.part is not None
        applied = owner.part.marker.applied if ahead and owner.part is not None else owner.disk.marker.applied
        allowed = world.commits or self._mutant is Mutant.COMMIT_INSTEAD_OF_MARKER
        if allowed and world.committed <= applied:
            yield "commit", world._replace(committed=applied + 1, commits=max(0, world.commits - 1))

    # -- publication -------------------------------------------------------------------------------------------------

    def _publication(self, world: World, number: int) -> Iterator[tuple[str, World]]:
        owner = world.owners[number]
        if owner.flying:
            yield "publish", self._publish(world, number)
        elif owner.pending:
            yield "take", changed(world, number, pending=(), flying=owner.pending)

    def _publish(self, world: World, number: int) -> World:
        owner = world.owners[number]
        rows, marker = dict(owner.disk.rows), owner.disk.marker
        readers = dict(world.published)
        for key, _ in owner.flying:
            value = marker.version, marker.applied, rows.get(key, ())
            if self._mutant is Mutant.LAST_WRITER_WINS or value[:2] >= readers.get(key, (0, -1))[:2]:
                readers[key] = value
        return changed(world._replace(published=tuple(sorted(readers.items()))), number, flying=())


# -- one state from another ------------------------------------------------------------------------------------------


def with_owner(world: World, number: int, owner: Owner) -> World:
    first, second = world.owners
    return world._replace(owners=(owner, second) if number == 0 else (first, owner))


def changed(world: World, number: int, **fields: object) -> World:
    return with_owner(world, number, world.owners[number]._replace(**fields))  # type: ignore[arg-type]


def down(world: World, number: int) -> World:
    """The owner's memory is gone, its disk is not."""
    return with_owner(world, number, Owner(disk=world.owners[number].disk))


def appended(world: World, epoch: int, batch: Batch) -> World:
    """The broker takes the batch whole; from now on older epochs are refused."""
    records = tuple(Record(world.end + index, key, value) for index, (key, value) in enumerate(batch))
    return world._replace(changelog=world.changelog + records, end=world.end + len(batch), written=epoch)


def arrived(world: World, epoch: int, batch: Batch) -> World:
    """The broker takes a late batch, unless a newer owner has written."""
    after = world._replace(late=None)
    return after if epoch < world.written else appended(after, epoch, batch)


def copied(disk: Disk, records: list[Record]) -> Disk:
    """One chunk of recovery: rows and position in one write."""
    rows, marker = dict(disk.rows), disk.marker
    for record in records:
        if isinstance(record.value, Marker):
            marker = record.value
        elif isinstance(record.value, tuple):
            rows[record.key] = record.value
    return Disk(tuple(sorted(rows.items())), marker, records[-1].offset)


def compacted(world: World) -> World:
    """Only the last record of each key is left; offsets stay."""
    last = {record.key: record for record in world.changelog}
    kept = tuple(sorted(last.values(), key=lambda record: record.offset))
    return world._replace(changelog=kept, compactions=world.compactions - 1)
