"""Whether Kafka answers: asked every second, so that readiness can say so before anything fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from aiokafka.errors import KafkaError

_EVERY_S: Final = 1.0
_ANSWER_WITHIN_S: Final = 2.0
# A moved leader or a restarted broker costs a question or two.
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

    def not_ready(self) -> list[str]:
        """What readiness waits for, in words; empty while Kafka answers."""
        silent_s = self._clock() - self._answered
        return [f"Kafka has not answered for {silent_s:.0f} s"] if silent_s > _SILENT_AFTER_S else []
