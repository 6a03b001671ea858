"""Learning the fusion's weights from live events, and sharing what was learned.

A sample of the events that a worker folds is first put to the ranker as a question: what would each source have said
just before? The answers become decayed statistics of the event's partition, which are published like everything else:
absolute values on {app}.models, key = scenario. Every worker adds the partitions up and ranks by the sum.

The statistics depend on what had been published by then, so they are no function of the log: `reco verify` leaves
them out, and losing them costs some minutes of learning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from reco_stream import metrics
from reco_stream.domain.canary_ids import is_canary
from reco_stream.domain.context import Context
from reco_stream.domain.fusion import SCENARIOS
from reco_stream.domain.fusion_learning import LENGTHS, ScenarioLearner
from reco_stream.domain.recommender import SAMPLE_ONE_IN, Recommender, is_sampled
from reco_stream.engine.published import Stamp, seal, unseal
from reco_stream.engine.table import ReadableRows
from reco_stream.events import Event
from tables.recent import RECENT, newest_first

# At most 20 questions a second, and at most 2 % of the loop that also serves HTTP: while a backlog is folded a
# question takes 3 ms, when there is nothing else to do 1 ms.
_AT_MOST_EVERY_S = 0.05
_LEAST_PAUSE = 49  # times what the last questions took

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Learning:
    """The learned weights of this worker: fed by its own partitions, shared with all workers."""

    def __init__(self, recommender: Recommender, session_gap_ms: int, clock: Callable[[], float]) -> None:
        self.recommender = recommender
        self._session_gap_ms = session_gap_ms
        self._clock = clock
        self._next_at = 0.0
        self._partitions: dict[int, PartitionLearning] = {}
        # (partition, scenario) -> newest published statistics and their stamp
        self._rows: dict[tuple[int, str], tuple[tuple[int, int], Mapping[str, Any]]] = {}

    def partition(self, number: int) -> PartitionLearning:
        """Learning of one partition, from where its last owner had published it."""
        learners = {scenario: ScenarioLearner(scenario) for scenario in SCENARIOS}
        for scenario, learner in learners.items():
            if (number, scenario) in self._rows:
                learner.load([self._rows[number, scenario][1]])
        self._partitions[number] = PartitionLearning(self, learners)
        return self._partitions[number]

    def context(self, rows: ReadableRows, event: Event) -> Context | None:
        """What the ranker would have been asked just before a sampled `event`; None when nobody asks."""
        now = self._clock()
        if now < self._next_at or event.negative or not is_sampled(f"{event.user}/{event.time_ms}"):
            return None
        if is_canary(event.user):  # on a quiet site they would be most of what is learned from
            return None
        row = rows.get(RECENT, event.user)
        if row is None or not row.items:
            return None
        self._next_at = now + _AT_MOST_EVERY_S
        seen = ((entry.item, entry.type, entry.time_ms) for entry in newest_first(row))
        return Context.of(seen, event.time_ms, self._session_gap_ms)

    def sample(self) -> int:
        """One in so many events teaches (`is_sampled`), 0 while it is too soon for the next question."""
        return SAMPLE_ONE_IN if self._clock() >= self._next_at else 0

    def observe(self, asked: Iterable[tuple[Context, str]], learners: Mapping[str, ScenarioLearner]) -> None:
        """Puts (question, item that came) to every source; the next question waits the longer the longer that took."""
        began = self._clock()
        for context, item in asked:
            self.recommender.observe(context, item, learners)
        ended = self._clock()
        self._next_at = max(self._next_at, ended + _LEAST_PAUSE * (ended - began))

    def publishable(self, number: int, stamp: Stamp) -> list[tuple[bytes, bytes]]:
        """(key, value) of what partition `number` has learned since the last call."""
        learning = self._partitions.get(number)
        if learning is None or not learning.changed:
            return []
        learning.changed = False
        return [(name.encode(), seal(stamp, _encode(learner.row()))) for name, learner in learning.learners.items()]

    def take_in(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Takes in published statistics; older ones of a partition change nothing."""
        scenario = key.decode()
        if value is None or scenario not in SCENARIOS:
            return
        stamp, raw = unseal(value)
        version = (stamp.version, stamp.applied)
        known = self._rows.get((partition, scenario))
        if known is not None and known[0] > version:
            return
        self._rows[partition, scenario] = (version, _decode(raw))
        merged = self.recommender.learners[scenario]
        merged.load([row for (_, name), (_, row) in self._rows.items() if name == scenario])
        metrics.fusion_learned(scenario, self.recommender.weights(scenario), merged.samples)
        for place, length in enumerate(LENGTHS):
            for source, weight in self.recommender.weights(scenario, place).items():
                metrics.fusion_weight.labels(f"{scenario} {length}", source).set(weight)


class PartitionLearning:
    """Statistics of one partition, and the questions of a micro-batch that is not yet applied."""

    def __init__(self, shared: Learning, learners: dict[str, ScenarioLearner]) -> None:
        self.learners = learners
        self.changed = False
        self._shared = shared
        self._asked: list[tuple[Context, str]] = []

    def sample(self) -> int:
        """One in so many of the next events is to be shown to `before`; 0 when none is."""
        return self._shared.sample()

    def before(self, rows: ReadableRows, event: Event) -> None:
        """Call before an event of the sample is folded; what is not in it changes nothing."""
        context = self._shared.context(rows, event)
        if context is not None:
            self._asked.append((context, event.item))

    def applied(self) -> None:
        """The micro-batch is in the log; its events are not yet published, so the answers are those of before."""
        if self._asked:
            self._shared.observe(self._asked, self.learners)
            self.changed = True
            self._asked.clear()

    def aborted(self) -> None:
        self._asked.clear()
