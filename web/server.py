"""The HTTP server under the views: aiohttp's, with time limits for slow clients and our form for what is no HTTP.

Limits: 8,190 bytes for the request line (the URL in it) and for each header, 128 headers, 1 MiB of body; 10 s for the
head of a request and 10 s for its body, 75 s for a connection without a request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from web.errors import ApiError

log = logging.getLogger(__name__)

HEAD_TIMEOUT_S: Final = 10.0
# Longer than the usual idle time of proxies (60 s): the side that reuses a connection should be the one that ends it.
KEEPALIVE_S: Final = 75.0
# Requests in flight at the end: the longest waits 5 s for Kafka (ingest.ACK_TIMEOUT_S).
DRAIN_S: Final = 6.0
_LINGERING_S: Final = 2.0
_SHOWN: Final = 200


class Connection(RequestHandler):
    """One client's connection. `arrived_at` is when its newest bytes came, on the clock of `time.perf_counter`."""

    __slots__ = ("_head_timeout_s", "_head_timer", "arrived_at")

    def __init__(self, *args: Any, head_timeout_s: float = HEAD_TIMEOUT_S, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timeout_s = head_timeout_s
        self._head_timer: asyncio.TimerHandle | None = None
        self.arrived_at = 0.0

    def data_received(self, data: bytes) -> None:
        """Extends aiohttp/web_protocol.py `RequestHandler.data_received`: a head must be whole in time."""
        self.arrived_at = time.perf_counter()
        super().data_received(data)
        if self._messages or self._request_in_progress:
            self._stop_timer()
        elif self._head_timer is None and not self._force_close:
            self._head_timer = self._loop.call_later(self._head_timeout_s, self._cut_off)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cut_off(self) -> None:
        self._head_timer = None
        if not (self._messages or self._request_in_progress):
            self.force_close()

    def handle_error(
        self, request: Any, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Replaces aiohttp/web_protocol.py `RequestHandler.handle_error`: it logs an error for every bad byte sent."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer has been sent already")
        if status >= 500:
            log.error("a request failed outside of the views", exc_info=exc)
            error = ApiError(500, "internal", "the worker failed to answer; its log says why")
        else:
            why = ascii(message or "")[1:-1][:_SHOWN]
            error = ApiError(400, "bad_request", f"this is not a request that HTTP/1.1 allows: {why}")
        response = error.response()
        response.force_close()
        return response


class _Server(web.Server):
    """Makes our connections."""

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Serves an application with these limits; `limits` go to each `Connection`."""

    def __init__(self, app: web.Application, **limits: Any) -> None:
        super().__init__(
            app,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=_LINGERING_S,
            shutdown_timeout=DRAIN_S,
            **limits,
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made.request_handler, request_factory=made.request_factory, loop=made._loop, **made._kwargs)
