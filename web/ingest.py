"""Events from HTTP to Kafka: each is checked like the consumer will check it, keyed, and sent to its user's partition.

An event without an `event_id` gets one here, so that a client whose request ended in `unknown` can send the same event
again and it counts once.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
from aiokafka.errors import MessageSizeTooLargeError

from reco_stream import metrics
from reco_stream.events import BadEvent, EventRules, decode_raw, encode_event, parse_event
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
SLICE_EVENTS = 200  # 2 ms of checking before others get their turn

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(slots=True)
class Prepared:
    """An event that is good enough to send."""

    index: int
    event_id: str
    event_type: str
    key: bytes
    value: bytes
    partition: int


def split(body: bytes) -> list[bytes]:
    """Returns the JSON text of each event of a request: one object, or an array of 1 to 1,000 of them.

    Raises `ApiError`: 400 when the body is not JSON, 422 when an array is empty or too long.
    """
    text = body.lstrip(b" \t\r\n")
    if not text.startswith(b"["):
        try:
            msgspec.json.decode(text, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _not_json(error) from None
        return [text]
    try:
        events = [bytes(raw) for raw in _ARRAY.decode(text)]
    except (msgspec.DecodeError, RecursionError) as error:
        raise _not_json(error) from None
    if not 1 <= len(events) <= MAX_EVENTS:
        raise ApiError(422, "bad_body", f"the array has {len(events)} events, wanted: 1 to {MAX_EVENTS}")
    return events


def _not_json(error: Exception) -> ApiError:
    return ApiError(400, "not_json", f"the body is not JSON: {error}; wanted: one event, or an array of events")


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

    async def submit(self, events: Sequence[bytes]) -> EventsAnswer:
        """Returns one result an event, in order, once Kafka acknowledged all of them or the time was up.

        Raises `ApiError` 503 when too many events are waiting for Kafka already.
        """
        if self._waiting + len(events) > self._max_waiting:
            raise unavailable("overloaded", f"{self._waiting} events wait for Kafka already; send these again later")
        results: list[EventResult] = []
        good: list[Prepared] = []
        for index, text in enumerate(events):
            prepared = self._prepare(index, text)
            if isinstance(prepared, EventResult):
                results.append(prepared)
                continue
            results.append(EventResult(index, prepared.event_id, "unknown"))
            good.append(prepared)
            if index % SLICE_EVENTS == SLICE_EVENTS - 1:
                await asyncio.sleep(0)  # 1,000 events take 10 ms, and others share this loop
        sent = self._send(good)
        if sent:
            # Not cancelled when the time is up: a record that Kafka has may not be taken back, only not waited for.
            await asyncio.wait([task for _, task in sent], timeout=self._ack_timeout_s)
        for places, task in sent:
            _settle([results[good[place].index] for place in places], [good[place] for place in places], task)
        _count(results, good)
        return _answer(results)

    def _prepare(self, index: int, text: bytes) -> Prepared | EventResult:
        rules: EventRules = self._services.event_rules
        event_id = None
        try:
            raw = decode_raw(text, rules.max_bytes)
            if raw.event_id is None:
                raw = msgspec.structs.replace(raw, event_id=os.urandom(16).hex())
            event_id = str(raw.event_id)
            event = parse_event(raw, self._services.clock(), rules)
            key, value = encode_event(raw)
        except BadEvent as error:
            detail = ErrorDetail(error.reason, error.detail, error.field)
            return EventResult(index, event_id, "rejected", error=detail)
        return Prepared(index, event_id, event.type, key, value, self._services.state.partition_of(event.user))

    def _send(self, events: Sequence[Prepared]) -> list[tuple[Sequence[int], asyncio.Future[list[int]]]]:
        if not events:
            return []
        records = [(event.key, event.value, event.partition) for event in events]
        sent = self._services.producer.send_many(self._topic, records)
        for places, task in sent:
            self._waiting += len(places)
            task.add_done_callback(partial(self._done, len(places)))
        return sent

    def _done(self, count: int, task: asyncio.Future[list[int]]) -> None:
        self._waiting -= count
        if not task.cancelled():
            task.exception()  # retrieved: a late failure was told as `unknown` already


def _settle(results: Sequence[EventResult], events: Sequence[Prepared], task: asyncio.Future[list[int]]) -> None:
    """Puts into the results what became of the events that one task sent."""
    detail: ErrorDetail
    if not task.done() or task.cancelled():
        detail = ErrorDetail("kafka_timeout", "Kafka did not answer in time; send it again with this event_id")
    elif (error := task.exception()) is None:
        for result, event, offset in zip(results, events, task.result(), strict=True):
            result.status, result.partition, result.offset = "accepted", event.partition, offset
        return
    elif isinstance(error, MessageSizeTooLargeError):
        for result in results:
            result.status = "rejected"
        detail = ErrorDetail("too_large", f"Kafka takes no record of this size: {error}")
    else:
        log.warning("Kafka did not take %d events: %r", len(results), error)
        detail = ErrorDetail("kafka_failed", f"{type(error).__name__}; send it again with this event_id")
    for result in results:
        result.error = detail


def _count(results: Sequence[EventResult], events: Sequence[Prepared]) -> None:
    for event_type, count in Counter(e.event_type for e in events if results[e.index].status == "accepted").items():
        metrics.events_ingested.labels(event_type).inc(count)


def _answer(results: list[EventResult]) -> EventsAnswer:
    counts = {"accepted": 0, "rejected": 0, "unknown": 0}
    for result in results:
        counts[result.status] += 1
    newest: Token = {}
    for result in results:
        if result.partition is not None and result.offset is not None:
            newest[result.partition] = max(result.offset, newest.get(result.partition, -1))
    return EventsAnswer(**counts, results=results, token=make_token(newest))
