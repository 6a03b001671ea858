"""An HTTP client that costs little, and two ways to use it: as fast as answers come, or by a schedule of its own.

The open loop takes the time of each request from the schedule, not from when a connection was free: a server that
stops for a second is late for all that should have been asked in it (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Request = bytes  # whole: head and body
_LENGTH = b"content-length: "


def get(path: str) -> Request:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def post(path: str, body: bytes) -> Request:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Result:
    """Seconds that each request took, and how often each status came (0: the connection broke)."""

    wall_s: float = 0.0
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def per_s(self) -> float:
        return len(self.seconds) / self.wall_s

    def quantile_ms(self, share: float) -> float:
        ascending = sorted(self.seconds)
        return ascending[min(len(ascending) - 1, int(len(ascending) * share))] * 1000


class Connection:
    """One connection that is opened again when it breaks."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Request) -> int:
        """Returns the status; 0 when the connection broke."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port)
            reader, writer = self._streams
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            at = head.lower().index(_LENGTH) + len(_LENGTH)
            await reader.readexactly(int(head[at : head.index(b"\r", at)]))
            return int(head[9:12])
        except (OSError, EOFError, ValueError):
            self.close()
            return 0

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def closed_loop(url: str, requests: Callable[[], Request], connections: int, seconds: float) -> Result:
    """Each connection asks again as soon as it is answered."""
    result, began = Result(), time.perf_counter()

    async def one() -> None:
        connection = Connection(url)
        while (asked := time.perf_counter()) - began < seconds:
            result.statuses[await connection.ask(requests())] += 1
            result.seconds.append(time.perf_counter() - asked)
        connection.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    result.wall_s = time.perf_counter() - began
    return result


async def open_loop(
    url: str, requests: Callable[[], Request], per_second: float, seconds: float, connections: int = 64
) -> Result:
    """Asks at fixed times; a request whose time has come waits for a free connection, and that counts."""
    result, began = Result(), time.perf_counter()
    turns = iter(range(int(per_second * seconds)))

    async def one() -> None:
        connection = Connection(url)
        for turn in turns:
            due = began + turn / per_second
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            result.statuses[await connection.ask(requests())] += 1
            result.seconds.append(time.perf_counter() - due)
        connection.close()

    with suppress(asyncio.CancelledError):
        await asyncio.gather(*(one() for _ in range(connections)))
    result.wall_s = time.perf_counter() - began
    return result


def in_turn(requests: list[Request]) -> Callable[[], Request]:
    """Returns a function that gives the requests one after the other, again and again."""
    turns: Iterator[Request] = itertools.cycle(requests)
    return lambda: next(turns)
