"""Events from HTTP to Kafka: each is checked like the consumer will check it, keyed, and sent to its user's partition.

An event without an `event_id` gets one here, so that a client whose request ended in `unknown` can send the same event
again and it counts once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec
from aiokafka.errors import MessageSizeTooLargeError

from reco_stream import metrics
from reco_stream.engine.turns import take_turn
from reco_stream.events import (
    ANONYMOUS_PREFIX,
    BadEvent,
    EventRules,
    RawEvent,
    decode_array,
    decode_raw,
    encode_value,
    parse_event,
)
from tables.compiled_fold import EventReader
from web.after import Token, make_token
from web.errors import ApiError, unavailable
from web.schemas import ErrorDetail, EventResult, EventsAnswer
from web.services import Services

log = logging.getLogger(__name__)

MAX_EVENTS = 1000
# Kafka acknowledges in 5 to 50 ms; a broker that fails over needs a few seconds, a client rarely waits for more.
ACK_TIMEOUT_S = 5.0
# 20 full requests. Beyond that Kafka is not keeping up, and waiting longer would only make the queue longer.
MAX_WAITING = 20_000
# Half a millisecond of checking a turn: with 200 events a worker accepts twice what it applies, and falls behind.
SLICE_EVENTS = 100
FEW_EVENTS = 20  # so few need not wait for a turn
FEW_BYTES = 16_384  # a body of more than this has more events, or large ones
_ID_BYTES = 16

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])

Texts = Sequence[bytes | RawEvent]
"""Events of a request: their JSON, or what it says when all of them have the right shape."""


def split(body: bytes, max_bytes: int) -> Texts:
    """Returns each event of a request: one object, or an array of 1 to 1,000 of them.

    `max_bytes`: the largest event; in a body that is not larger than that, well-formed events are decoded in one go.
    Raises `ApiError`: 400 when the body is not JSON, 422 when an array is empty or too long.
    """
    text = body.lstrip(b" \t\r\n")
    if not text.startswith(b"["):
        with contextlib.suppress(BadEvent):
            return [decode_raw(text, max_bytes)]
        try:
            msgspec.json.decode(text, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _not_json(error) from None
        return [text]
    events: Texts | None = decode_array(text, max_bytes)
    if events is None:
        try:
            events = [bytes(raw) for raw in _ARRAY.decode(text)]
        except (msgspec.DecodeError, RecursionError) as error:
            raise _not_json(error) from None
    if not 1 <= len(events) <= MAX_EVENTS:
        raise ApiError(422, "bad_body", f"the array has {len(events)} events, wanted: 1 to {MAX_EVENTS}")
    return events


def _not_json(error: Exception) -> ApiError:
    return ApiError(400, "not_json", f"the body is not JSON: {error}; wanted: one event, or an array of events")


@dataclass(slots=True, eq=False)
class _Group:
    """The events of one request that go to one partition."""

    partition: int
    results: list[EventResult] = field(default_factory=list)
    records: list[tuple[bytes, bytes]] = field(default_factory=list)
    types: list[str] = field(default_factory=list)

    def failed(self, detail: ErrorDetail) -> None:
        for result in self.results:
            result.error = detail


@dataclass(slots=True, eq=False)
class Submission:
    """The events of one request; `answered` is called once, when Kafka has said of all what became of them."""

    answered: Callable[[EventsAnswer], None]
    results: list[EventResult] = field(default_factory=list)
    groups: dict[int, _Group] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None


class Ingest:
    """Sends events to Kafka and says what became of each."""

    def __init__(
        self, services: Services, ack_timeout_s: float = ACK_TIMEOUT_S, max_waiting: int = MAX_WAITING
    ) -> None:
        self._services = services
        self._topic = services.settings.topic("events")
        self._ack_timeout_s = ack_timeout_s
        self._max_waiting = max_waiting
        self._waiting = 0
        self._ids = _event_ids()
        rules: EventRules = services.event_rules
        self._reader = EventReader(rules.kinds(), rules.future_tolerance_ms, rules.max_bytes, 0, 1)

    async def submit(self, events: Texts) -> EventsAnswer:
        """Returns one result an event, in order, once Kafka acknowledged all of them or the time was up.

        Raises `ApiError` 503 when too many events are waiting for Kafka already.
        """
        self.check_room(len(events))
        answered = asyncio.get_running_loop().create_future()
        submission = Submission(partial(_set, answered))
        for first in range(0, len(events), SLICE_EVENTS):
            await take_turn()  # 1,000 events take 7 ms, and others share this loop
            self._take(submission, events[first : first + SLICE_EVENTS])
        self._send(submission)
        answer: EventsAnswer = await answered
        return answer

    def submit_now(self, events: Texts, answered: Callable[[EventsAnswer], None]) -> None:
        """Does what `submit` does, and calls `answered`: at once when no event is good. For few events, with room."""
        submission = Submission(answered)
        self._take(submission, events)
        self._send(submission)

    def check_room(self, count: int) -> None:
        """Raises `ApiError` 503 when so many more events are too many to wait for Kafka."""
        if self._waiting + count > self._max_waiting:
            raise unavailable("overloaded", f"{self._waiting} events wait for Kafka already; send these again later")

    def _take(self, submission: Submission, events: Texts) -> None:
        """Checks events; what is good goes to the group of its partition."""
        rules = self._services.event_rules
        partition_of, now_ms = self._services.state.partition_of, self._services.clock()
        type_of = self._reader.type_of
        results, groups = submission.results, submission.groups
        for found in events:
            event_id = None
            try:
                raw = decode_raw(found, rules.max_bytes) if isinstance(found, bytes) else found
                given = raw.event_id
                event_id = next(self._ids) if given is None else str(given)
                value = encode_value(raw, event_id if given is None else None)
                user = _plain_user(raw)
                key = user.encode()
                event_type = type_of(key, value, now_ms)
                if event_type is None:
                    event = parse_event(raw, now_ms, rules)
                    user, event_type = event.user, event.type
                    key = user.encode()
            except BadEvent as error:
                detail = ErrorDetail(error.reason, error.detail, error.field)
                results.append(EventResult(len(results), event_id, "rejected", error=detail))
                continue
            partition = partition_of(user)
            group = groups.get(partition)
            if group is None:
                group = groups[partition] = _Group(partition)
            result = EventResult(len(results), event_id, "unknown")
            results.append(result)
            group.results.append(result)
            group.records.append((key, value))
            group.types.append(event_type)

    def _send(self, submission: Submission) -> None:
        if not submission.groups:
            submission.answered(_answer(submission.results))
            return
        # Not cancelled when the time is up: a record that Kafka has may not be taken back, only not waited for.
        submission.timer = asyncio.get_running_loop().call_later(self._ack_timeout_s, self._late, submission)
        append = self._services.producer.append
        for group in list(submission.groups.values()):
            self._waiting += len(group.records)
            append(self._topic, group.partition, group.records, partial(self._settled, submission, group))

    def _settled(self, submission: Submission, group: _Group, outcome: int | Exception) -> None:
        self._waiting -= len(group.records)
        if submission.timer is None:
            return  # the time is up, and it was told as `unknown`
        _settle(group, outcome)
        del submission.groups[group.partition]
        if not submission.groups:
            self._finish(submission)

    def _late(self, submission: Submission) -> None:
        detail = ErrorDetail("kafka_timeout", "Kafka did not answer in time; send it again with this event_id")
        for group in submission.groups.values():
            group.failed(detail)
        self._finish(submission)

    def _finish(self, submission: Submission) -> None:
        if submission.timer is not None:
            submission.timer.cancel()
            submission.timer = None
        submission.answered(_answer(submission.results))


def _plain_user(raw: RawEvent) -> str:
    """Returns whose event it is if that is as usual, else nobody."""
    if type(raw.user_id) is str:
        return raw.user_id
    return f"{ANONYMOUS_PREFIX}{raw.session_id}" if raw.user_id is None and type(raw.session_id) is str else ""


def _event_ids() -> Iterator[str]:
    """Yields random ids; asking the system for each costs four times as much."""
    while True:
        drawn = os.urandom(256 * _ID_BYTES).hex()
        for at in range(0, len(drawn), 2 * _ID_BYTES):
            yield drawn[at : at + 2 * _ID_BYTES]


def _set(answered: asyncio.Future[EventsAnswer], answer: EventsAnswer) -> None:
    if not answered.done():
        answered.set_result(answer)


def _settle(group: _Group, outcome: int | Exception) -> None:
    """Puts into the results what became of the events of one group."""
    if isinstance(outcome, int):
        partition = group.partition
        for offset, result in enumerate(group.results, outcome):
            result.status, result.partition, result.offset = "accepted", partition, offset
        for event_type in set(group.types):
            metrics.event_ingested(event_type, group.types.count(event_type))
    elif isinstance(outcome, MessageSizeTooLargeError):
        for result in group.results:
            result.status = "rejected"
        group.failed(ErrorDetail("too_large", f"Kafka takes no record of this size: {outcome}"))
    else:
        log.warning("Kafka did not take %d events: %r", len(group.results), outcome)
        group.failed(ErrorDetail("kafka_failed", f"{type(outcome).__name__}; send it again with this event_id"))


def _answer(results: list[EventResult]) -> EventsAnswer:
    counts = {"accepted": 0, "rejected": 0, "unknown": 0}
    newest: Token = {}
    for result in results:
        counts[result.status] += 1
        if result.partition is not None and result.offset is not None:
            newest[result.partition] = max(result.offset, newest.get(result.partition, -1))
    return EventsAnswer(**counts, results=results, token=make_token(newest))
