"""Shared Produce requests without a broker: what goes together, and whose answer is whose."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors as kafka_errors

from reco_stream.engine import produce_requests
from reco_stream.engine.produce_requests import ProduceRequests

NODE = 7


class Broker:
    """Answers when it is told to; a partition's code and offset as `answers` say, else 0 and its number."""

    def __init__(self, answers: Mapping[int, tuple[int, int]] | None = None) -> None:
        self.answers = dict(answers or {})
        self.asked: list[list[tuple[str, int, bytes]]] = []
        self.may_answer = asyncio.Event()
        self.error: Exception | None = None

    async def send(self, node: int, request: Any) -> Any:
        topics = request._topics
        self.asked.append([(topic, partition, batch) for topic, batches in topics for partition, batch in batches])
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return SimpleNamespace(
            topics=[(topic, [self._answer(partition) for partition, _ in batches]) for topic, batches in topics]
        )

    def _answer(self, partition: int) -> tuple[int, int, int]:
        code, offset = self.answers.get(partition, (0, partition))
        return partition, code, offset

    def places(self) -> list[list[tuple[str, int]]]:
        return [[(topic, partition) for topic, partition, _ in asked] for asked in self.asked]


def start(requests: ProduceRequests, *places: tuple[str, int], batch: bytes = b"x") -> list[asyncio.Task[int]]:
    return [asyncio.create_task(requests.append(NODE, topic, partition, batch)) for topic, partition in places]


async def asked(broker: Broker, count: int) -> None:
    async with asyncio.timeout(10):
        while len(broker.asked) < count:
            await asyncio.sleep(0)


async def test_what_is_ready_together_goes_together() -> None:
    broker = Broker()
    broker.may_answer.set()
    requests = ProduceRequests(broker.send, 1000)
    assert await asyncio.gather(*start(requests, ("a", 0), ("b", 1), ("a", 2))) == [0, 1, 2]
    assert broker.places() == [[("a", 0), ("a", 2), ("b", 1)]]


async def one_asked_and_two_waiting(broker: Broker) -> tuple[list[asyncio.Task[int]], list[asyncio.Task[int]]]:
    requests = ProduceRequests(broker.send, 1000)
    first = start(requests, ("a", 0))
    await asked(broker, 1)
    rest = start(requests, ("a", 1), ("a", 2))
    await asyncio.sleep(0)
    return first, rest


async def test_what_becomes_ready_meanwhile_goes_in_the_next() -> None:
    broker = Broker()
    first, rest = await one_asked_and_two_waiting(broker)
    assert broker.places() == [[("a", 0)]]
    broker.may_answer.set()
    assert await asyncio.gather(*first, *rest) == [0, 1, 2]
    assert broker.places() == [[("a", 0)], [("a", 1), ("a", 2)]]


async def test_refusal_of_one_partition_is_its_own() -> None:
    broker = Broker({1: (kafka_errors.InvalidProducerEpoch.errno, -1)})
    broker.may_answer.set()
    requests = ProduceRequests(broker.send, 1000)
    found = await asyncio.gather(*start(requests, ("a", 0), ("a", 1), ("b", 2)), return_exceptions=True)
    assert isinstance(found[1], kafka_errors.InvalidProducerEpoch)
    assert [found[0], found[2]] == [0, 2]


async def test_error_of_a_request_reaches_all_in_it_and_the_next_is_sent() -> None:
    broker = Broker()
    broker.error = kafka_errors.KafkaConnectionError("broken")
    broker.may_answer.set()
    requests = ProduceRequests(broker.send, 1000)
    found = await asyncio.gather(*start(requests, ("a", 0), ("a", 1)), return_exceptions=True)
    assert [type(error) for error in found] == [kafka_errors.KafkaConnectionError] * 2
    broker.error = None
    assert await asyncio.gather(*start(requests, ("a", 0))) == [0]


async def test_batches_of_one_partition_are_sent_one_after_the_other() -> None:
    broker = Broker()
    broker.may_answer.set()
    requests = ProduceRequests(broker.send, 1000)
    await asyncio.gather(*start(requests, ("a", 0), ("a", 0), ("a", 1)))
    assert broker.places() == [[("a", 0), ("a", 1)], [("a", 0)]]


async def test_cancelled_before_it_is_sent_is_not_sent() -> None:
    broker = Broker()
    first, rest = await one_asked_and_two_waiting(broker)
    rest[0].cancel()
    broker.may_answer.set()
    assert await asyncio.gather(*first, rest[1]) == [0, 2]
    assert broker.places() == [[("a", 0)], [("a", 2)]]


async def test_large_batches_go_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(produce_requests, "_MOST_BYTES", 10)
    broker = Broker()
    broker.may_answer.set()
    requests = ProduceRequests(broker.send, 1000)
    await asyncio.gather(*start(requests, ("a", 0), ("a", 1), ("a", 2), batch=b"12345"))
    await asyncio.gather(*start(requests, ("a", 0), batch=b"x" * 100))
    assert [len(places) for places in broker.places()] == [2, 1, 1]


async def test_stop_cancels_what_is_not_answered() -> None:
    broker = Broker()
    requests = ProduceRequests(broker.send, 1000)
    first = start(requests, ("a", 0))
    await asked(broker, 1)
    second = start(requests, ("a", 1))
    await asyncio.sleep(0)
    await requests.stop()
    found = await asyncio.gather(*first, *second, return_exceptions=True)
    assert [type(error) for error in found] == [asyncio.CancelledError] * 2
