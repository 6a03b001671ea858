"""POST /events: events onto Kafka, one answer an event."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from aiohttp import web
from msgspec import Meta

from reco_stream import metrics
from reco_stream.events import RawEvent
from web.encoding import Answer, encoded
from web.errors import RETRY_AFTER_S, ApiError
from web.ingest import FEW_BYTES, FEW_EVENTS, MAX_EVENTS, Ingest, Texts, split
from web.schemas import ErrorDetail, EventsAnswer, EventsRefused
from web.view import JsonView, Operation

EXAMPLE = """curl -s localhost:6066/events -d '{"user_id": "u1", "item_id": "i1", "event_type": "view"}'"""


class Events(JsonView):
    """Takes events."""

    view_path = "/events"
    operations: ClassVar = {
        "POST": Operation(
            "Send one event, or an array of up to 1,000",
            {202: EventsAnswer, 422: EventsRefused, 503: EventsRefused},
            body=RawEvent | Annotated[list[RawEvent], Meta(min_length=1, max_length=MAX_EVENTS)],
            description="202 when at least one event was accepted, which means that it is on Kafka with acks=all. "
            "422 when all are bad. 503 with Retry-After when Kafka takes none; send them again with the event_ids "
            "returned, they count once.",
            examples=(EXAMPLE,),
        )
    }

    def __post_init__(self) -> None:
        self._ingest = Ingest(self.services)

    async def post(self, request: web.Request) -> web.Response:
        return answer_of(await self._ingest.submit(self._split(await request.read()))).response()

    def take_now(self, body: bytes, reply: Callable[[Answer], None]) -> bool:
        """Does what `post` does with a few events, without waiting; everything refused is left to `post`."""
        started = time.perf_counter()
        limits = self.services.limits

        def answered(events: EventsAnswer) -> None:
            limits.leave()
            answer = answer_of(events)
            metrics.http_answered("POST", self.view_path, answer.status, time.perf_counter() - started)
            reply(answer)

        if limits.is_full or len(body) > FEW_BYTES:
            return False
        try:
            events = self._split(body)
            self._ingest.check_room(len(events))
        except ApiError:
            return False
        if len(events) > FEW_EVENTS:
            return False
        limits.enter()
        self._ingest.submit_now(events, answered)
        return True

    def _split(self, body: bytes) -> Texts:
        return split(body, self.services.event_rules.max_bytes)


def answer_of(answer: EventsAnswer) -> Answer:
    """Returns 202 when anything was accepted, else 503 when Kafka is to blame, else 422."""
    if answer.accepted:
        return Answer(202, encoded(answer))
    if answer.unknown:
        error = ErrorDetail("kafka_unavailable", "Kafka took none of the events; send them again with their event_ids")
        return Answer(503, encoded(_refused(answer, error)), {"Retry-After": str(RETRY_AFTER_S)})
    first: Any = answer.results[0].error
    many = f"all {answer.rejected} events are bad, the first: " if answer.rejected > 1 else ""
    error = ErrorDetail("bad_events", f"{many}{first.message}", first.field)
    return Answer(422, encoded(_refused(answer, error)))


def _refused(answer: EventsAnswer, error: ErrorDetail) -> EventsRefused:
    return EventsRefused(error, answer.accepted, answer.rejected, answer.unknown, answer.results)
