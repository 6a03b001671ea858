"""POST /events: events onto Kafka, one answer an event."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from aiohttp import web
from msgspec import Meta

from reco_stream.events import RawEvent
from web.encoding import json_response
from web.errors import RETRY_AFTER_S
from web.ingest import MAX_EVENTS, Ingest, split
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
        answer = await self._ingest.submit(split(await request.read()))
        return response_of(answer)


def response_of(answer: EventsAnswer) -> web.Response:
    """Returns 202 when anything was accepted, else 503 when Kafka is to blame, else 422."""
    if answer.accepted:
        return json_response(answer, 202)
    if answer.unknown:
        error = ErrorDetail("kafka_unavailable", "Kafka took none of the events; send them again with their event_ids")
        return json_response(_refused(answer, error), 503, {"Retry-After": str(RETRY_AFTER_S)})
    first: Any = answer.results[0].error
    many = f"all {answer.rejected} events are bad, the first: " if answer.rejected > 1 else ""
    error = ErrorDetail("bad_events", f"{many}{first.message}", first.field)
    return json_response(_refused(answer, error), 422)


def _refused(answer: EventsAnswer, error: ErrorDetail) -> EventsRefused:
    return EventsRefused(error, answer.accepted, answer.rejected, answer.unknown, answer.results)
