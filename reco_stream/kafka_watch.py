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
    """Asks Kafka by `ping`, which raises KafkaError when no broker answers.

    A worker that was frozen or cut off learns by a heartbeat what the group has decided meanwhile. So after a silence
    it takes `confirm_s` of answers, longer than from one heartbeat to the next, until nothing is doubtful any more.
    """

    def __init__(
        self, ping: Callable[[], Awaitable[None]], confirm_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ping = ping
        self._confirm_s = confirm_s
        self._clock = clock
        self._answered = clock()
        self._doubtful_until = 0.0

    async def run(self) -> None:
        """Asks until cancelled."""
        self._answered = self._clock()
        while True:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_ANSWER_WITHIN_S):
                    await self._ping()
                if self._silent_s() > _SILENT_AFTER_S:
                    self._doubtful_until = self._clock() + self._confirm_s
                self._answered = self._clock()
            await asyncio.sleep(_EVERY_S)

    def _silent_s(self) -> float:
        return self._clock() - self._answered

    def is_cut_off(self) -> bool:
        """True while another worker may own our partitions and we not know it."""
        return self._silent_s() > _SILENT_AFTER_S or self._clock() < self._doubtful_until

    def not_ready(self) -> list[str]:
        """What readiness waits for, in words; empty while Kafka answers."""
        if not self.is_cut_off():
            return []
        silent_s = self._silent_s()
        return [
            f"Kafka has not answered for {silent_s:.0f} s"
            if silent_s > _SILENT_AFTER_S
            else "Kafka was silent, and the consumer group has yet to say what is ours"
        ]
