"""The HTTP server under the views: aiohttp's, with time limits for slow clients and our form for what is no HTTP.

A question that needs nobody else is answered as soon as its bytes are there (`AnswerNow`): a task, a request, a route,
middlewares and a response object for each cost more than the recommending.

Limits: 8,190 bytes for the request line (the URL in it) and for each header, 128 headers, 1 MiB of body; 10 s for the
head of a request and 10 s for its body, 75 s for a connection without a request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler

from web.errors import ApiError
from web.limits import MAX_WAIT_S

log = logging.getLogger(__name__)

HEAD_TIMEOUT_S: Final = 10.0
# Longer than the usual idle time of proxies (60 s): the side that reuses a connection should be the one that ends it.
KEEPALIVE_S: Final = 75.0
# Requests in flight at the end: the longest waits 5 s for Kafka (ingest.ACK_TIMEOUT_S).
DRAIN_S: Final = 6.0
_LINGERING_S: Final = 2.0
_SHOWN: Final = 200


AnswerNow = Callable[[Mapping[str, str]], bytes | None]
"""From the query of a GET to the JSON of its 200; None leaves the request to its view, as does everything refused."""


class Round:
    """When the loop began to take in what lies at its sockets: whoever is read last has waited since then."""

    def __init__(self) -> None:
        self._began_at = 0.0

    def began_at(self) -> float:
        """Returns that time on the clock of `time.perf_counter`; to be called by whoever is read."""
        if not self._began_at:
            self._began_at = time.perf_counter()
            asyncio.get_running_loop().call_soon(self._end)
        return self._began_at

    def _end(self) -> None:
        self._began_at = 0.0


class Connection(RequestHandler):
    """One client's connection. `arrived_at` is when its newest bytes came, on the clock of `time.perf_counter`."""

    __slots__ = ("_answers", "_head_timeout_s", "_head_timer", "_round", "arrived_at")

    def __init__(
        self,
        *args: Any,
        head_timeout_s: float = HEAD_TIMEOUT_S,
        answers: Mapping[str, AnswerNow],
        socket_round: Round,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._head_timeout_s = head_timeout_s
        self._head_timer: asyncio.TimerHandle | None = None
        self._answers = answers
        self._round = socket_round
        self.arrived_at = 0.0

    def data_received(self, data: bytes) -> None:
        """Extends aiohttp/web_protocol.py:438 `RequestHandler.data_received`: a head must be whole in time.

        `_waiter` is what aiohttp/web_protocol.py:610 `RequestHandler.start` waits for when the connection is idle. It
        is woken only for requests that were not answered at once.
        """
        self.arrived_at = self._round.began_at()
        idle, self._waiter = self._waiter, None
        try:
            super().data_received(data)
        finally:
            self._waiter = idle
        if idle is not None and self._messages and not idle.done() and not self._answered():
            idle.set_result(None)
        if self._messages or self._request_in_progress:
            self._stop_timer()
        elif self._head_timer is None and not self._force_close:
            self._head_timer = self._loop.call_later(self._head_timeout_s, self._cut_off)

    def _answered(self) -> bool:
        """Answers the one request that is there, if it can be answered now."""
        message, payload = self._messages[0]
        if len(self._messages) > 1 or self._paused or not isinstance(message, RawRequestMessage):
            return False
        answer = self._answers.get(message.path.partition("?")[0])
        if answer is None or message.method != hdrs.METH_GET or payload is not EMPTY_PAYLOAD:
            return False
        if message.should_close or message.upgrade or hdrs.EXPECT in message.headers:
            return False
        if time.perf_counter() - self.arrived_at > MAX_WAIT_S:
            return False
        body = answer(message.url.query)
        if body is None or self.transport is None or self._manager is None or self._parser is None:
            return False
        self._messages.popleft()
        self._parser.message_consumed()
        self._manager.requests_count += 1
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        self.transport.write(_head(len(body)) + body)
        return True

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
        """Replaces aiohttp/web_protocol.py:850 `RequestHandler.handle_error`, which logs every bad byte sent."""
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


def _head(length: int) -> bytes:
    """The head of a 200 as aiohttp writes it."""
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
        f"Date: {rfc822_formatted_time()}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"
    ).encode()


class _Server(web.Server):
    """Makes our connections."""

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Serves an application with these limits; `limits` go to each `Connection`.

    `answers`: what may be answered at once, by path.
    """

    def __init__(self, app: web.Application, answers: Mapping[str, AnswerNow] | None = None, **limits: Any) -> None:
        self.answers = answers or {}
        super().__init__(
            app,
            answers=self.answers,
            socket_round=Round(),
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=_LINGERING_S,
            shutdown_timeout=DRAIN_S,
            **limits,
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made.request_handler, request_factory=made.request_factory, loop=made._loop, **made._kwargs)
