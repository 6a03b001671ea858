"""Time travel: replay a log in time order and ask every system for an event just before it is applied.

Nothing that happens later can be known: a query sees what was applied before it, and what is applied follows the log's
order. What counts as known while a test session goes on is a choice:

    open      every event is applied at once (prequential: what a live stream gives)
    ended     a session is applied when it has ended
    frozen    nothing of the test part is applied, and no weights are learned from it

Both protocols are answered side by side: *unseen* (items of the session are excluded, and only events on unseen items
are asked for) and *repeats* (nothing is excluded, every event counts).
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

from reco_stream.domain.context import Context, Interaction
from reco_stream.domain.recommender import SAMPLE_ONE_IN, is_sampled
from reco_stream.evaluation.log import Logged
from reco_stream.evaluation.metrics import Answers
from reco_stream.evaluation.systems import World

Visibility = Literal["open", "ended", "frozen"]
PROTOCOLS = ("unseen", "repeats")
CONTEXT_EVENTS = 50
HISTORY_EVENTS = 50


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask: queries from position `test_from` on, a share of `sample` of them (by a hash), lists of `k`."""

    test_from: int
    visibility: Visibility = "open"
    sample: float = 1.0
    k: int = 20
    learn_one_in: int = SAMPLE_ONE_IN


@dataclass(slots=True)
class _Asked:
    """A query whose session still goes on: which of the coming items each list holds is counted as they come."""

    seen: Set[str]
    counted: set[str]
    lists: list[tuple[Answers, int, frozenset[str]]]  # unseen protocol and repeats protocol alike
    unseen: list[bool]


@dataclass(slots=True)
class TimeTravel:
    """One run over one log. `answers[protocol][system]` holds what was answered."""

    events: Sequence[Logged]
    world: World
    plan: Plan
    answers: dict[str, dict[str, Answers]] = field(default_factory=dict)
    queries: int = 0
    _sessions: dict[str, list[Logged]] = field(default_factory=dict)
    _history: dict[str, deque[tuple[str, Interaction]]] = field(default_factory=dict)
    _asked: dict[str, list[_Asked]] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    def run(self, progress: Callable[[int], None] = lambda done: None) -> dict[str, dict[str, Answers]]:
        """Replay the whole log; `progress` is told the number of events done, now and then."""
        self.answers = {protocol: {name: Answers() for name in self.world.systems} for protocol in PROTOCOLS}
        last = {event.session: position for position, event in enumerate(self.events)}
        for position, event in enumerate(self.events):
            self._step(position, event, ends=last[event.session] == position)
            if position % 1_000 == 0:
                progress(position)
        progress(len(self.events))
        return self.answers

    def _step(self, position: int, event: Logged, ends: bool) -> None:
        plan = self.plan
        testing = position >= plan.test_from
        session = self._sessions.setdefault(event.session, [])
        if session:
            key = f"{event.session}/{len(session)}"
            asked = testing and (plan.sample >= 1 or zlib.crc32(f"ask {key}".encode()) < plan.sample * 2**32)
            learns = is_sampled(key, plan.learn_one_in) and not (testing and plan.visibility == "frozen")
            if asked or learns:
                context = self._context(event, session)
                if asked:
                    self._ask(event, context)
                if learns:
                    self.world.recommender.observe(context, event.item)
        self._count_to_come(event)
        session.append(event)
        if event.user != event.session:
            happened = Interaction(event.item, event.type, event.time_ms)
            self._history.setdefault(event.user, deque(maxlen=HISTORY_EVENTS)).append((event.session, happened))
        self._apply(session, testing, ends)
        if ends:
            del self._sessions[event.session]
            self._asked.pop(event.session, None)

    def _apply(self, session: list[Logged], testing: bool, ends: bool) -> None:
        visibility = self.plan.visibility
        if visibility == "open":
            self.world.apply(session, len(session) - 1)
        elif ends and not (testing and visibility == "frozen"):
            # As a user of its own: to the user's rows its events would be late, behind those of later sessions.
            self.world.apply(session, 0, user=session[0].session)

    def _context(self, event: Logged, session: list[Logged]) -> Context:
        past = self._history.get(event.user, ())
        history = tuple(happened for key, happened in past if key != event.session)
        recent = tuple(Interaction(seen.item, seen.type, seen.time_ms) for seen in session[-CONTEXT_EVENTS:])
        return Context(recent, event.time_ms, history)

    def _ask(self, event: Logged, context: Context) -> None:
        self.queries += 1
        seen = frozenset(happened.item for happened in self._sessions[event.session])
        number = self._numbers.setdefault(event.session, len(self._numbers))
        asked = _Asked(seen, set(), [], [])
        length = len(self._sessions[event.session])
        for protocol in PROTOCOLS:
            unseen = protocol == "unseen"
            if unseen and event.item in seen:
                continue
            for name, rank in self.world.systems.items():
                began = time.perf_counter_ns()
                found = rank(context, self.plan.k, seen if unseen else frozenset())
                micros = (time.perf_counter_ns() - began) / 1_000
                answers = self.answers[protocol][name]
                place = found.index(event.item) + 1 if event.item in found else 0
                row = answers.add(place, number, length, micros)
                answers.shown.update(found)
                asked.lists.append((answers, row, frozenset(found)))
                asked.unseen.append(unseen)
        self._asked.setdefault(event.session, []).append(asked)

    def _count_to_come(self, event: Logged) -> None:
        for asked in self._asked.get(event.session, ()):
            if event.item in asked.counted:
                continue
            asked.counted.add(event.item)
            for (answers, row, found), unseen in zip(asked.lists, asked.unseen, strict=True):
                if unseen and event.item in asked.seen:
                    continue
                answers.to_come[row] += 1
                answers.found[row] += event.item in found
