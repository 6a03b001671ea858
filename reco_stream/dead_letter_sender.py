"""Sending refused records to the dead letters: none is lost while Kafka is away, or the partition does not go on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

from aiokafka.errors import KafkaError, RecordTooLargeError

from reco_stream import metrics
from reco_stream.dead_letters import dead_letter_record
from reco_stream.engine.checkpoint import Rejection
from reco_stream.engine.errors import ChangelogUnavailable
from reco_stream.events import BadEvent

log = logging.getLogger(__name__)

# As long as an append to the changelog is tried; a producer by itself gives up after 40 s.
_OUTAGE_BUDGET_S: Final = 120.0
_PAUSE_S: Final = 0.5


class Sends(Protocol):
    """A producer."""

    async def send(
        self, topic: str, key: bytes, value: bytes | None, partition: int | None, headers: Any = None
    ) -> Any: ...


async def send_dead_letters(producer: Sends, topic: str, rejections: Sequence[Rejection]) -> None:
    """Returns once all refused records are on the dead-letter topic; a replay of the source may write them again.

    Raises ChangelogUnavailable when Kafka takes none for two minutes.
    """
    sends = []
    for rejection in rejections:
        record = rejection.record
        error = BadEvent(rejection.reason, rejection.detail)  # type: ignore[arg-type]  # a plain str to the engine
        error.__cause__ = rejection.cause
        sends.append(_send(producer, topic, *dead_letter_record(record, error)))
        metrics.dead_lettered(record.partition, rejection.reason)
        log.warning(
            "%s[%d]@%d: %s: %s", record.topic, record.partition, record.offset, rejection.reason, rejection.detail
        )
    await asyncio.gather(*sends)


async def _send(producer: Sends, topic: str, key: bytes, value: bytes | None, headers: Any) -> None:
    deadline = time.monotonic() + _OUTAGE_BUDGET_S
    while True:
        try:
            await producer.send(topic, key, value, None, headers)
            return
        except KafkaError as error:
            if isinstance(error, RecordTooLargeError) or time.monotonic() > deadline:
                raise ChangelogUnavailable(f"{topic}: cannot take {key.decode()}: {error!r}") from error
            log.warning("%s: %r; sending %s again", topic, error, key.decode())
        await asyncio.sleep(_PAUSE_S)
