"""What one client may ask of a worker: time to send a body, and a place in the queue.

Overload is noticed by how long a request waited before its handler ran: the loop serves requests in the order of their
arrival, so that wait is the queue. A request that waited too long is answered with 503, which costs a fifth of an
answer, so the queue shrinks; whoever comes then is served in time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from reco_stream import metrics
from web.errors import ApiError, unavailable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Twice the longest stretch that ingestion and a full micro-batch of every partition hold the loop for.
MAX_WAIT_S: Final = 0.25
# Requests that wait for other workers or for Kafka, each some 20 kB.
MAX_IN_FLIGHT: Final = 2_000
BODY_TIMEOUT_S: Final = 10.0
# They tell an operator about the overload.
ALWAYS_ANSWERED: Final = frozenset({"/livez", "/readyz", "/health", "/metrics"})


class Limits:
    """The limits of one web server; `middleware` enforces them for what goes through a view."""

    def __init__(
        self,
        max_wait_s: float = MAX_WAIT_S,
        max_in_flight: int = MAX_IN_FLIGHT,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self.max_wait_s = max_wait_s
        self.max_in_flight = max_in_flight
        self.body_timeout_s = body_timeout_s
        self._in_flight = 0

    def middleware(self) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        """Returns the middleware; it belongs inside of the one that turns `ApiError` into answers."""

        @web.middleware
        async def bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._check_queue(request)
            self.enter()
            timer = self._limit_body(request) if request.can_read_body else None
            try:
                return await handler(request)
            except web.RequestPayloadError as error:
                raise ApiError(400, "bad_request", f"the body cannot be read: {error}") from None
            finally:
                self.leave()
                if timer is not None:
                    timer.cancel()

        return bounded

    @property
    def is_full(self) -> bool:
        """Whether there is no place for one more request in flight."""
        return self._in_flight >= self.max_in_flight

    def enter(self) -> None:
        """Counts a request in; `leave` counts it out."""
        self._in_flight += 1

    def leave(self) -> None:
        """Counts a request out."""
        self._in_flight -= 1

    def _check_queue(self, request: web.Request) -> None:
        """Raises `ApiError` 503 for a request that waited too long, or when too many are waiting for others."""
        if request.path in ALWAYS_ANSWERED:
            return
        arrived_at = getattr(request.protocol, "arrived_at", None)
        waited_s = time.perf_counter() - arrived_at if arrived_at is not None else 0.0
        if waited_s > self.max_wait_s or self.is_full:
            metrics.http_shed.inc()
            raise unavailable("overloaded", "this worker has more requests than it can answer in time; try again later")

    def _limit_body(self, request: web.Request) -> asyncio.TimerHandle:
        """Makes reading the body fail when it is not there in time."""

        def cut_off() -> None:
            if not request.content.is_eof():
                message = f"the body did not arrive within {self.body_timeout_s:g} s"
                request.content.set_exception(ApiError(408, "too_slow", message, headers={"Connection": "close"}))

        return asyncio.get_running_loop().call_later(self.body_timeout_s, cut_off)
