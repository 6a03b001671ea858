"""Readiness hears of a Kafka that is silent, and of one that is back."""

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError

from reco_stream import kafka_watch
from reco_stream.kafka_watch import KafkaWatch


async def test_silence_is_told_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_watch, "_EVERY_S", 0.0)
    now, up = 100.0, True
    asked = asyncio.Event()

    async def ping() -> None:
        asked.set()
        if not up:
            raise KafkaConnectionError("away")

    async def ask() -> None:
        for _ in range(2):  # the second question begins after the first answer was noted
            asked.clear()
            await asked.wait()

    watch = KafkaWatch(ping, 2.0, lambda: now)
    asking = asyncio.create_task(watch.run())
    await ask()
    assert watch.not_ready() == []
    assert not watch.is_cut_off()
    up, now = False, 108.0
    await ask()
    assert watch.not_ready() == ["Kafka has not answered for 8 s"]
    assert watch.is_cut_off()
    up = True
    await ask()
    assert watch.not_ready() == ["Kafka was silent, and the consumer group has yet to say what is ours"]
    assert watch.is_cut_off()  # until a heartbeat has told what the group decided meanwhile
    now = 110.5
    assert watch.not_ready() == []
    assert not watch.is_cut_off()
    asking.cancel()


async def test_a_question_that_hangs_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_watch, "_EVERY_S", 0.0)
    monkeypatch.setattr(kafka_watch, "_ANSWER_WITHIN_S", 0.01)
    now, questions = 0.0, 0

    async def ping() -> None:
        nonlocal questions
        questions += 1
        await asyncio.Event().wait()

    watch = KafkaWatch(ping, 2.0, lambda: now)
    asking = asyncio.create_task(watch.run())
    while questions < 3:
        await asyncio.sleep(0.001)
    now = 6.0
    assert watch.not_ready() == ["Kafka has not answered for 6 s"]
    asking.cancel()
