"""One hop to another worker, at most: over pooled connections, with a short time limit, never an error of ours.

A worker that is asked for a user of another worker sends the request on, body and method included, and passes the
answer back. A request that came from a worker is never sent on again, so that two workers which disagree about an owner
during a rebalance cannot play ball with it.

A worker that is silent (frozen, or cut off) costs each question the whole time limit. So after two questions in a row
without an answer it is not asked any more, but for one question each half second that finds out whether it is back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from yarl import URL

from reco_stream import metrics

log = logging.getLogger(__name__)

HOPS_HEADER = "X-Reco-Hops"
TIMEOUT_S = 0.25
# Sent on as they are; everything else belongs to one connection (Host, Content-Length) or is nobody's business.
PASSED_HEADERS = ("Accept", "Content-Type", "X-Request-Id", "Traceparent")
CONNECTIONS_PER_WORKER = 100
WARN_EVERY_S = 1.0
SILENT_AFTER = 2  # questions in a row without an answer
PROBE_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Reply:
    """What the other worker answered."""

    status: int
    body: bytes
    content_type: str
    retry_after: str | None = None

    def response(self) -> web.Response:
        """Returns the answer to pass back."""
        headers = {"Retry-After": self.retry_after} if self.retry_after else None
        return web.Response(body=self.body, status=self.status, headers=headers, content_type=self.content_type)


@dataclass(slots=True)
class Circuit:
    """Whether a worker is asked. Refused connections do not count: they cost nothing, and end when it is back."""

    unanswered: int = 0
    asked_at: float = 0.0

    def lets_pass(self, now: float) -> bool:
        """Says whether to ask now; while the worker is silent, yes once in half a second."""
        if self.unanswered < SILENT_AFTER:
            return True
        if now - self.asked_at < PROBE_EVERY_S:
            return False
        self.asked_at = now
        return True

    def answered(self) -> None:
        self.unanswered = 0

    def timed_out(self, now: float) -> None:
        self.unanswered += 1
        self.asked_at = now


class Forwarder:
    """Asks other workers. Open as long as the process; `close` is called when the web server stops."""

    def __init__(self, timeout_s: float = TIMEOUT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._warned: dict[str, float] = {}
        self._circuits: dict[str, Circuit] = {}

    async def forward(self, request: web.Request, owner_url: str, waits_s: float = 0.0) -> Reply | None:
        """Sends `request` to the same path of the owner; None when the owner did not answer in time.

        `waits_s` is how much longer than usual the owner may take, because the request asks it to wait. A
        connection that cannot be made or breaks is tried a second time, because a pooled one may be as old as its
        worker's last life. What may have been received is sent again only if it is safe to repeat (by aiohttp).
        """
        headers = {name: request.headers[name] for name in PASSED_HEADERS if name in request.headers}
        body = await request.read() if request.can_read_body else None
        path_qs = request.rel_url.raw_path_qs
        return await self.ask(request.method, owner_url, path_qs, headers, body, self._timeout_s + waits_s)

    async def ask(
        self,
        method: str,
        worker_url: str,
        path_qs: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float | None = None,
    ) -> Reply | None:
        """Asks the worker for an (encoded) path; None when it did not answer in time, whatever the reason."""
        url = URL(worker_url.rstrip("/") + path_qs, encoded=True)
        sent = {**(headers or {}), HOPS_HEADER: "1"}
        circuit = self._circuits.setdefault(worker_url, Circuit())
        if not circuit.lets_pass(self._clock()):
            metrics.forwards.labels("not_asked").inc()
            return None
        try:
            async with asyncio.timeout(timeout_s or self._timeout_s):
                reply = await self._twice(method, url, sent, body)
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                circuit.timed_out(self._clock())
            metrics.forwards.labels("failed").inc()
            self._warn(worker_url, error)
            return None
        circuit.answered()
        metrics.forwards.labels("answered").inc()
        return reply

    async def _twice(self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None) -> Reply:
        try:
            return await self._once(method, url, headers, body)
        except aiohttp.ClientConnectorError:  # nothing was sent
            metrics.forwards.labels("retried").inc()
            return await self._once(method, url, headers, body)

    async def _once(self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None) -> Reply:
        async with self._open().request(method, url, headers=headers, data=body, allow_redirects=False) as response:
            return Reply(
                response.status,
                await response.read(),
                response.content_type,
                response.headers.get("Retry-After"),
            )

    def _warn(self, worker_url: str, error: Exception) -> None:
        """Logs a failure, for each worker at most once a second: a dead one would fill the log."""
        now = self._clock()
        if now - self._warned.get(worker_url, -WARN_EVERY_S) >= WARN_EVERY_S:
            self._warned[worker_url] = now
            log.warning("%s did not answer: %r", worker_url, error)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_WORKER)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    async def close(self) -> None:
        """Closes the pool; a second call does nothing."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def was_forwarded(request: web.Request) -> bool:
    """Says whether another worker sent this request; such a request is answered here or not at all."""
    return HOPS_HEADER in request.headers
