"""Whether Kafka answers: asked every second, so that readiness and answers can say so before anything fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from aiokafka.errors import KafkaError

_EVERY_S: Final = 1.0
_ANSWER_WITHIN_S: Final = 2.0
# A moved leader or a restarted broker costs a question or two. Shorter than the shortest session timeout that Kafka
# allows by default (6 s): a worker that is cut off knows it before another can own its partitions.
_SILENT_AFTER_S: Final = 5.0


class KafkaWatch:
    """Asks Kafka by `ping`, which raises KafkaError when no broker answers."""

    def __init__(self, ping: Callable[[], Awaitable[None]], clock: Callable[[], float] = time.monotonic) -> None:
        self._ping = ping
        self._clock = clock
        self._answered = clock()

    async def run(self) -> None:
        """Asks until cancelled."""
        while True:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_ANSWER_WITHIN_S):
                    await self._ping()
                self._answered = self._clock()
            await asyncio.sleep(_EVERY_S)

    def is_silent(self) -> bool:
        """True when Kafka has not answered for so long that another worker may own our partitions soon."""
        return self._clock() - self._answered > _SILENT_AFTER_S

    def not_ready(self) -> list[str]:
        """What readiness waits for, in words; empty while Kafka answers."""
        return [f"Kafka has not answered for {self._clock() - self._answered:.0f} s"] if self.is_silent() else []
