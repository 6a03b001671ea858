"""The real engine on fakes, one step at a time: a scheduler decides who moves next and what goes wrong.

Each request to the broker stops twice, before it takes effect and before its answer arrives; each delivery of source
records stops once. Between any two steps a worker may crash with its disk kept or lost, another may take over while the
first does not know, the group may move the partition in good order, and the changelog may be compacted. A crash inside
a synchronous step is raised at the engine's own crash points.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from reco_stream.engine.errors import ChangelogCorrupt, Fenced
from reco_stream.engine.marker import MARKER_KEY, Marker, decode_marker
from reco_stream.engine.published import unseal
from tests.engine.fakes import FakeBroker, FakeDisk
from tests.model.events import BAD, LOG, POISON, PREFIXES, SESSIONS, TOTALS, fold, sessions
from tests.model.virtual_loop import VirtualLoop
from tests.model.worker import CHANGELOG, STATS, VISITS, Append, Broken, Worker, WorkerSource, current_worker

FOLDS = [fold(events) for events in range(len(LOG) + 1)]


Move = tuple[str, Callable[[], object]]
# Where a crash falls between two things that happen without a wait in between.
POINTS = ("checkpoint.left", "checkpoint.sent", "checkpoint.written", "checkpoint.published", "recovery.partly")


class Killed(BaseException):
    """Raised where a killed process would simply have ended."""


class Simulation:
    """Two workers, one partition, and the steps that may come next."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.loop.set_task_factory(self._new_task)
        self.broker = FakeBroker()
        self.dead_letters: set[int] = set()
        self.late: list[Append] = []
        self.deaths: list[tuple[str, BaseException]] = []
        self.steps: list[str] = []
        self.faults = 0
        self._deaf: set[Worker] = set()
        self._joined_late = False
        self._forgotten = False
        self._rebalancing: asyncio.Task[None] | None = None
        self.workers = [Worker(self, name, FakeDisk()) for name in "AB"]
        self.owner = 0
        self.do("rebalance to A", lambda: self._rebalance(0))

    def _new_task(self, loop: Any, work: Any, context: Any = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, context=context)
        owner = context.get(current_worker) if context is not None else current_worker.get(None)
        if owner is not None:
            owner.tasks.append(task)
        return task

    def close(self) -> None:
        """Ends every task; a simulation that is not closed says so when it is collected."""
        for worker in self.workers:
            worker.alive = False
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.settle()
        self.loop.close()

    # -- what may come next ------------------------------------------------------------------------------------------

    def do(self, name: str, step: Callable[[], object]) -> None:
        """Takes one step, lets everybody go as far as they can, and checks the invariant."""
        self.steps.append(name)
        step()
        self.loop.settle()
        self.check()

    def moves(self) -> Iterator[Move]:
        """Steps that are no faults."""
        for worker in self.workers:
            for held in worker.first_held():
                yield f"{worker.name}: {held.name}", partial(held.future.set_result, None)
            if worker.fetching:
                yield f"{worker.name}: take 1", partial(worker.deliver, 1)
                yield f"{worker.name}: take 4", partial(worker.deliver, 4)
            if self._may_flush(worker):
                yield f"{worker.name}: publish", worker.flush
        for append in self.late:
            yield f"late append to {append[0]}", partial(self._arrive, append)

    def _arrive(self, append: Append) -> None:
        """What a process sent before it was killed reaches the broker now."""
        self.late.remove(append)
        with suppress(Fenced):
            self.broker.append(*append)

    def _may_flush(self, worker: Worker) -> bool:
        if not worker.running or (worker.flushing is not None and not worker.flushing.done()):
            return False
        publisher = worker.engine.partitions[0].publisher
        return publisher is not None and bool(publisher._pending)

    def fault_moves(self) -> dict[str, list[Move]]:
        """Crashes, rebalances, zombies, compaction and time, by kind."""
        found: dict[str, list[Move]] = {
            "compaction": [("compact", self.broker.logs[CHANGELOG, 0].compact)],
            "time": [("time passes", self.loop.advance)],
        }
        alive = [(number, worker) for number, worker in enumerate(self.workers) if worker.alive]
        if alive:
            found["crash"] = [
                *((f"kill {w.name}", partial(self._restart, n, wiped=False)) for n, w in alive),
                *((f"kill {w.name}, lose its disk", partial(self._restart, n, wiped=True)) for n, w in alive),
            ]
            found["crash point"] = [
                (f"kill {w.name} at {point}", partial(setattr, w, "armed", point)) for _, w in alive for point in POINTS
            ]
        if self._may_forget():
            found["forgetting"] = [("the broker forgets the producer id", self._forget)]
        if self._rebalancing is None or self._rebalancing.done():
            found["rebalance"] = [(f"rebalance to {w.name}", partial(self._rebalance, n)) for n, w in alive]
            new, old = self.workers[1 - self.owner], self.workers[self.owner]
            name = f"{new.name} takes over, {old.name} does not know"
            found["zombie"] = [(name, partial(self._take_over, 1 - self.owner))]
        return {kind: moves for kind, moves in found.items() if moves}

    def _may_forget(self) -> bool:
        """Once, and not between a claim and the first marker: an owner would have to be frozen there for a week."""
        marker = self.newest_marker()
        newest = max((writer.epoch for writer in self.broker.logs[CHANGELOG, 0].writers.values()), default=-1)
        return not self._forgotten and marker.producer_id >= 0 and marker.version & 0xFFFF == newest

    def _forget(self) -> None:
        self._forgotten = True
        self.broker.forget("app-0")

    def crash_point(self, name: str) -> None:
        """Takes the place of the engine's: ends the running process if it was armed for `name`."""
        worker = current_worker.get()
        if worker.alive and worker.armed == name:
            self.end(worker)
            raise Killed

    def end(self, worker: Worker) -> None:
        """Ends a process at once, in the middle of whatever it does; it is started again."""
        worker.kill()
        self.loop.call_soon(self._restart, self.workers.index(worker), False)

    def _restart(self, number: int, wiped: bool) -> None:
        """The process is gone; another begins on what is left of its disk, and joins the group."""
        worker = self.workers[number]
        if worker.alive:
            worker.kill()
        self._deaf.discard(worker)
        self.workers[number] = Worker(self, worker.name, FakeDisk() if wiped else worker.disk.copy())
        self.rejoin()

    def rejoin(self) -> None:
        """Somebody joins the group, for the first time or again: it moves once more, at once or after this time."""
        if self._rebalancing is None or self._rebalancing.done():
            self._rebalance(self.owner)
        else:
            self._joined_late = True

    def _rebalance(self, owner: int) -> None:
        """In good order: everybody who listens gives everything back, then the new owner gets the partition."""
        self.owner = owner
        self._deaf.clear()
        self._joined_late = False
        self._rebalancing = self.loop.create_task(self._revoke_and_assign(owner))

    def _take_over(self, owner: int) -> None:
        self._deaf = {self.workers[1 - owner]}
        self.owner = owner
        self._rebalancing = self.loop.create_task(self._revoke_and_assign(owner))

    async def _revoke_and_assign(self, owner: int) -> None:
        listening = [worker for worker in self.workers if worker.alive and worker not in self._deaf]
        for worker in listening:
            revoking = worker.start(worker.engine.revoke())
            await asyncio.wait([revoking, worker.died], return_when=asyncio.FIRST_COMPLETED)
        for worker in listening:
            if worker.alive:
                wanted = {0} if worker is self.workers[owner] else set()
                worker.start(self._assign(worker, wanted))
        if self._joined_late:
            self._rebalance(self.owner)

    async def _assign(self, worker: Worker, wanted: set[int]) -> None:
        engine = worker.engine
        await engine.guarded(engine.assign(wanted, (), WorkerSource(worker), engine.revocations), "assignment")

    # -- what must hold ----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raises Broken unless everything that can be seen from outside is the fold of a prefix of the log."""
        for name, error in self.deaths:
            # A forgotten owner may learn of the new one by the offset of a batch that came before its own fence.
            overtaken = self._forgotten and isinstance(error, ChangelogCorrupt)
            if not overtaken:
                self._broken(f"{name} died of {error!r}")
        for worker in self.workers:
            if worker.running:
                store = worker.engine.partitions[0].store
                rows = {key: value for prefix in PREFIXES for key, value in store.scan(prefix)}
                self._compare(f"what {worker.name} serves", rows, store.marker().applied)
        last, applied = self.broker.logs[CHANGELOG, 0].last_values(), self.newest_marker().applied
        rows = {key: value for key, value in last.items() if key[:1] in PREFIXES}
        self._compare("the changelog alone", rows, applied)
        if lost := [o for o, v in enumerate(LOG[: applied + 1]) if v in (BAD, POISON) and o not in self.dead_letters]:
            self._broken(f"the events {lost} were refused and are not among the dead letters")
        for key, (_, applied, row) in self.published().items():
            if FOLDS[applied + 1].get(key, b"") != row:
                self._broken(f"the published value of {key!r} is not the row as of offset {applied}")

    def _compare(self, what: str, rows: dict[bytes, bytes], applied: int) -> None:
        if rows != FOLDS[applied + 1]:
            self._broken(f"{what} is not the fold up to {applied}:\n  {rows}\n  {FOLDS[applied + 1]}")

    def _broken(self, what: str) -> None:
        raise Broken("\n  ".join([what, *self.steps]))

    def newest_marker(self) -> Marker:
        raw = self.broker.logs[CHANGELOG, 0].last_values().get(MARKER_KEY)
        return Marker() if raw is None else decode_marker(raw)

    def published(self) -> dict[bytes, tuple[int, int, bytes]]:
        """What readers keep: of each key the value with the highest (version, applied)."""
        readers: dict[bytes, tuple[int, int, bytes]] = {}
        for record in self.broker.logs[STATS, 0].records:
            assert record.value is not None
            stamp, row = unseal(record.value)
            if (stamp.version, stamp.applied) >= readers.get(record.key, (0, -1, b""))[:2]:
                readers[record.key] = stamp.version, stamp.applied, row
        return readers

    def finish(self) -> None:
        """No more faults: the group settles, and everything must be applied and published."""
        self.steps.append("no more faults")
        for worker in self.workers:
            worker.armed = None
        self._let_go(lambda: self._rebalancing is None or self._rebalancing.done())
        self.do("rebalance", lambda: self._rebalance(self.owner))
        self._let_go(lambda: self._applied_all())
        worker = self.workers[self.owner]
        self.do("publish everything", lambda: worker.flush(everything=True))
        self._let_go(lambda: worker.flushing is not None and worker.flushing.done())
        values = {key: row for key, (_, _, row) in self.published().items() if row}
        wanted = {key: row for key, row in FOLDS[len(LOG)].items() if key[:1] != SESSIONS.prefix}
        if values != wanted:
            self._broken(f"published in the end:\n  {values}\n  {wanted}")
        found = [
            msgspec.msgpack.decode(unseal(value)[1]) for value in self.broker.logs[VISITS, 0].last_values().values()
        ]
        if sorted(found) != (all_sessions := sessions(TOTALS.decode(wanted[b"tall"]))):
            self._broken(f"published sessions in the end:\n  {found}\n  {all_sessions}")

    def _applied_all(self) -> bool:
        worker = self.workers[self.owner]
        return worker.running and worker.engine.partitions[0].store.marker().applied == len(LOG) - 1

    def _let_go(self, until: Callable[[], bool]) -> None:
        for _ in range(500):
            if until():
                return
            moves = list(self.moves())
            if moves:
                self.do(*moves[0])
            elif not self.loop.advance():
                break
        self._broken("nothing goes on any more")
