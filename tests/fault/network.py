"""A network between a worker and its broker that can be cut, in one direction or both, and be slow.

A TCP proxy and no network namespace: it needs no rights, and delays where the kernel has no netem. What is under way
when the link is cut arrives when it is healed, as TCP's retransmissions would: that is the late write of a zombie.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal

from reco_stream.kafka_server import HOST
from reco_stream.ports import free_ports

Way = Literal["up", "down"]  # to the broker, from the broker
SEGMENT_BYTES: Final = 1_400
_CHUNK_BYTES: Final = 65_536
_CHUNKS_UNDER_WAY: Final = 500


@dataclass
class Weather:
    """How slow a link is: `delay_s` plus or minus `jitter_s` each way; a lost segment comes a round trip later."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    lost: float = 0.0

    def of(self, size: int, random: Random) -> float:
        """Seconds that `size` bytes take."""
        delay = self.delay_s + random.uniform(-self.jitter_s, self.jitter_s)
        arrives = (1 - self.lost) ** (1 + size // SEGMENT_BYTES)
        return delay + (2 * self.delay_s if random.random() > arrives else 0.0)


class Link:
    """A proxy on `port` of this machine; `connect` says where it leads. Threads may call everything but coroutines."""

    def __init__(self, seed: int) -> None:
        self.port = free_ports(1)[0]
        self.weather = Weather()
        self._target = 0
        self._random = Random(seed)
        self._loop = asyncio.new_event_loop()
        self._open: dict[Way, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._pumps: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.port}"

    def connect(self, target: int) -> None:
        """Begins to serve, towards port `target`."""
        self._target = target
        self._thread.start()
        self._call(self._serve())
        self.heal()

    def cut(self, *ways: Way) -> None:
        """From now on nothing arrives in these directions."""
        self._set(ways, arrives=False)

    def heal(self) -> None:
        """Everything arrives again, what was under way first."""
        self._set(("up", "down"), arrives=True)

    def close(self) -> None:
        if self._thread.is_alive():
            self._call(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10.0)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)

    def _set(self, ways: tuple[Way, ...], arrives: bool) -> None:
        async def change() -> None:
            for way in ways:
                self._open[way].set() if arrives else self._open[way].clear()

        self._call(change())

    async def _serve(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port)

    async def _end(self) -> None:
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        await asyncio.sleep(0.05)  # closed connections are let go a turn later

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.close()
            return
        for way, source, sink in (("up", reader, far_writer), ("down", far_reader, writer)):
            pump = asyncio.create_task(self._pump(way, source, sink))  # type: ignore[arg-type]
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_UNDER_WAY)
        delivery = asyncio.create_task(self._deliver(way, chunks, sink))
        due, data = 0.0, b"?"
        try:
            while data:
                try:
                    data = await source.read(_CHUNK_BYTES)
                except ConnectionError:
                    data = b""
                due = max(due, self._loop.time() + self.weather.of(len(data), self._random))
                await chunks.put((due, data))
            await delivery
        finally:
            delivery.cancel()
            sink.close()

    async def _deliver(self, way: Way, chunks: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                due, data = await chunks.get()
                await asyncio.sleep(due - self._loop.time())
                await self._open[way].wait()
                if not data:
                    return
                sink.write(data)
                await sink.drain()
