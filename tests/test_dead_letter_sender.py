"""A dead letter is sent until Kafka has it, or the worker stops."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError, KafkaTimeoutError, RecordTooLargeError

from reco_stream import dead_letter_sender
from reco_stream.dead_letter_sender import send_dead_letters
from reco_stream.dead_letters import REASON
from reco_stream.engine.checkpoint import Rejection
from reco_stream.engine.errors import ChangelogUnavailable

RECORD = SimpleNamespace(topic="a.events", partition=2, offset=7, timestamp=5, key=b"u", value=b"{", headers=())


class Producer:
    """Raises the given errors first."""

    def __init__(self, *errors: KafkaError) -> None:
        self.errors = list(errors)
        self.sent: list[tuple[bytes, bytes | None, dict[str, bytes]]] = []

    async def send(
        self, topic: str, key: bytes, value: bytes | None, partition: int | None, headers: Any = None
    ) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append((key, value, dict(headers)))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_sender, "_PAUSE_S", 0.0)


async def test_sent_again_until_kafka_has_it() -> None:
    producer = Producer(KafkaTimeoutError(), KafkaTimeoutError())
    await send_dead_letters(producer, "a.dead-letters", [Rejection(RECORD, "not_json", "truncated")])
    ((key, value, headers),) = producer.sent
    assert (key, value, headers[REASON]) == (b"a.events/2/7", b"{", b"not_json")


async def test_gives_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_sender, "_OUTAGE_BUDGET_S", -1.0)
    with pytest.raises(ChangelogUnavailable, match=r"a\.dead-letters: cannot take a\.events/2/7"):
        await send_dead_letters(
            Producer(KafkaTimeoutError()), "a.dead-letters", [Rejection(RECORD, "not_json", "truncated")]
        )


async def test_too_large_stays_too_large() -> None:
    producer = Producer(RecordTooLargeError())
    with pytest.raises(ChangelogUnavailable):
        await send_dead_letters(producer, "a.dead-letters", [Rejection(RECORD, "not_json", "truncated")])
    assert producer.sent == []
