"""The HTTP server under the views: aiohttp's, with time limits for slow clients and our form for what is no HTTP.

A question that needs nobody else is answered as soon as its bytes are there (`AnswerNow`), and a few events go to Kafka
as soon (`TakeNow`): a task, a request, a route, middlewares and a response object for each cost more than the rest.

Limits: 8,190 bytes for the request line (the URL in it) and for each header, 128 headers, 1 MiB of body; 10 s for the
head of a request and 10 s for its body, 75 s for a connection without a request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler

from web.encoding import Answer
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

TakeNow = Callable[[bytes, Callable[[Answer], None]], bool]
"""Takes the body of a POST and gives the answer later; False leaves the request to its view."""


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

    __slots__ = ("_answers", "_head_timeout_s", "_head_timer", "_round", "_takes", "arrived_at")

    def __init__(
        self,
        *args: Any,
        head_timeout_s: float = HEAD_TIMEOUT_S,
        answers: Mapping[str, AnswerNow],
        takes: Mapping[str, TakeNow],
        socket_round: Round,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._head_timeout_s = head_timeout_s
        self._head_timer: asyncio.TimerHandle | None = None
        self._answers, self._takes = answers, takes
        self._round = socket_round
        self.arrived_at = 0.0

    def data_received(self, data: bytes) -> None:
        """Extends aiohttp/web_protocol.py:438 `RequestHandler.data_received`: a head must be whole in time.

        `_waiter` is what aiohttp/web_protocol.py:610 `RequestHandler.start` waits for when the connection is idle. It
        is woken only for requests that are not dealt with at once.
        """
        self.arrived_at = self._round.began_at()
        idle, self._waiter = self._waiter, None
        try:
            super().data_received(data)
        finally:
            self._waiter = idle
        whole = self._go_on()
        if whole or self._messages or self._request_in_progress:
            self._stop_timer()
        elif self._head_timer is None and not self._force_close:
            self._head_timer = self._loop.call_later(self._head_timeout_s, self._cut_off)

    def _go_on(self) -> bool:
        """Deals with the request that is there, or wakes whoever does, unless one is under way.

        Returns whether one was dealt with: the time for its head is over then, and that of an idle connection begins
        (aiohttp/web_protocol.py:550 `_process_keepalive`).
        """
        idle = self._waiter
        if idle is None or idle.done() or not self._messages or self._request_in_progress:
            return False
        message, payload = self._messages[0]
        if isinstance(message, RawRequestMessage) and self._is_plain(message):
            path = message.path.partition("?")[0]
            if message.method == hdrs.METH_GET and path in self._answers:
                if payload is EMPTY_PAYLOAD and self._answered(self._answers[path], message):
                    return True
            elif message.method == hdrs.METH_POST and path in self._takes and self._taken(self._takes[path], payload):
                return True
        idle.set_result(None)
        return False

    def _is_plain(self, message: RawRequestMessage) -> bool:
        """Says whether this is the only request that is there, and its answer needs nothing but a body."""
        if len(self._messages) > 1 or self._paused or self.transport is None or self._parser is None:
            return False
        if message.should_close or message.upgrade or message.compression or hdrs.EXPECT in message.headers:
            return False
        return time.perf_counter() - self.arrived_at <= MAX_WAIT_S

    def _answered(self, answer: AnswerNow, message: RawRequestMessage) -> bool:
        """Answers a question, if that can be done now."""
        body = answer(message.url.query)
        if body is None:
            return False
        self._messages.popleft()
        self._consumed()
        self._write(Answer(200, body))
        return True

    def _taken(self, take: TakeNow, payload: Any) -> bool:
        """Gives away a body that is there as a whole; the connection is busy until `_reply` is called.

        `_request_in_progress` keeps aiohttp/web_protocol.py:307 `RequestHandler.shutdown` waiting for the answer.
        """
        if payload is EMPTY_PAYLOAD or not payload.is_eof() or payload.exception() is not None or self._reading_paused:
            return False
        request = self._messages.popleft()
        self._request_in_progress = True
        # aiohttp/streams.py:284 `StreamReader.feed_data`, read without taking it out: the view needs what is not taken.
        if not take(b"".join(payload._buffer), self._reply):
            self._messages.appendleft(request)
            self._request_in_progress = False
            return False
        self._consumed()
        return True

    def _consumed(self) -> None:
        if self._parser is not None and self._manager is not None:
            self._parser.message_consumed()
            self._manager.requests_count += 1
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def _reply(self, answer: Answer) -> None:
        self._request_in_progress = False
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        self._write(answer)
        if self._handler_waiter is not None:
            if not self._handler_waiter.done():
                self._handler_waiter.set_result(None)
        else:
            self._go_on()

    def _write(self, answer: Answer) -> None:
        if self.transport is not None:
            self.transport.write(_head(answer) + answer.body)

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


def _head(answer: Answer) -> bytes:
    """The head of an answer as aiohttp writes it."""
    more = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items()) if answer.headers else ""
    return (
        f"{_begin(answer.status)}{more}Content-Length: {len(answer.body)}\r\nDate: {rfc822_formatted_time()}\r\n"
        f"Server: {SERVER_SOFTWARE}\r\n\r\n"
    ).encode()


@cache
def _begin(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"


class _Server(web.Server):
    """Makes our connections."""

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Serves an application with these limits; `limits` go to each `Connection`.

    `answers` and `takes`: what may be answered at once, or taken at once, by path.
    """

    def __init__(
        self,
        app: web.Application,
        answers: Mapping[str, AnswerNow] | None = None,
        takes: Mapping[str, TakeNow] | None = None,
        **limits: Any,
    ) -> None:
        self.answers, self.takes = answers or {}, takes or {}
        super().__init__(
            app,
            answers=self.answers,
            takes=self.takes,
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
