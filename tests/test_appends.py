"""What goes together, in which order, and what a retry carries: without a broker, and with one that loses answers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatch

from reco_stream import appends
from reco_stream.appends import Appends

NODE = 7
TIMED_OUT, NOT_LEADER, TOO_LARGE, OUT_OF_ORDER, FORBIDDEN = 7, 6, 10, 45, 29


class Sent(NamedTuple):
    partition: int
    values: list[bytes]
    producer: int
    sequence: int


class Broker:
    """Kafka as tests want it: `refuse` gives the error code of a batch, or raises for the whole request."""

    def __init__(self) -> None:
        self.cluster = self
        self.leader: int | None = NODE
        self.requests: list[list[Sent]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.refuse: Callable[[Sent], int] = lambda _: 0
        self.producers = 0
        self.refreshed = 0
        self.ends: dict[int, int] = {}

    def leader_for_partition(self, _: Any) -> int | None:
        return self.leader

    def add_topic(self, topic: str) -> None:
        assert topic == "t"

    async def force_metadata_update(self) -> None:
        self.refreshed += 1
        self.leader = NODE

    async def send(self, node: int, request: Any) -> Any:
        assert node == NODE
        if isinstance(request, InitProducerIdRequest):
            self.producers += 1
            return SimpleNamespace(error_code=0, producer_id=self.producers, producer_epoch=0)
        [(topic, batches)] = request._topics
        asked = [_read(partition, batch) for partition, batch in batches]
        self.requests.append(asked)
        await self.may_answer.wait()
        return SimpleNamespace(topics=[(topic, [self._answer(sent) for sent in asked])])

    def _answer(self, sent: Sent) -> tuple[int, int, int]:
        code = self.refuse(sent)
        if code:
            return sent.partition, code, -1
        offset = self.ends.get(sent.partition, 0)
        self.ends[sent.partition] = offset + len(sent.values)
        return sent.partition, 0, offset


def _read(partition: int, batch: bytes) -> Sent:
    read = DefaultRecordBatch(bytearray(batch))
    return Sent(partition, [record.value for record in read], read.producer_id, read.base_sequence)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    monkeypatch.setattr(appends, "_RETRY_PAUSE_S", 0.0)
    return Broker()


class Told(list[int | Exception]):
    """What became of the groups, in order."""

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self) < count:
                await asyncio.sleep(0)


def give(sender: Appends, told: Told, partition: int, *values: bytes) -> None:
    sender.append("t", partition, [(b"k", value) for value in values], told.append)


async def test_what_comes_while_the_broker_answers_goes_together_and_in_order(broker: Broker) -> None:
    sender, told = Appends(broker), Told()
    broker.may_answer.clear()
    give(sender, told, 1, b"a")
    while not broker.requests:
        await asyncio.sleep(0)
    give(sender, told, 1, b"b", b"c")
    give(sender, told, 2, b"d")
    give(sender, told, 1, b"e")
    broker.may_answer.set()
    await told.wait(4)
    assert broker.requests == [[Sent(1, [b"a"], 1, 0)], [Sent(2, [b"d"], 1, 0), Sent(1, [b"b", b"c", b"e"], 1, 1)]]
    assert told == [0, 0, 1, 3]
    await sender.stop()


@pytest.mark.parametrize("error", [kafka_errors.RequestTimedOutError(), kafka_errors.KafkaConnectionError()])
async def test_a_request_without_an_answer_is_sent_again_as_it_was(broker: Broker, error: Exception) -> None:
    sender, told, failures = Appends(broker), Told(), [error]

    def refuse(_: Sent) -> int:
        if failures:
            give(sender, told, 1, b"later")
            raise failures.pop()
        return 0

    broker.refuse = refuse
    give(sender, told, 1, b"a")
    await told.wait(2)
    assert broker.requests == [[Sent(1, [b"a"], 1, 0)], [Sent(1, [b"a"], 1, 0)], [Sent(1, [b"later"], 1, 1)]]
    assert told == [0, 1]
    assert broker.refreshed >= 1


@pytest.mark.parametrize("code", [TIMED_OUT, NOT_LEADER])
async def test_a_partition_that_is_refused_for_now_does_not_hold_up_others(broker: Broker, code: int) -> None:
    sender, told, codes = Appends(broker), Told(), [code]
    broker.refuse = lambda sent: codes.pop() if sent.partition == 1 and codes else 0
    give(sender, told, 1, b"a")
    give(sender, told, 2, b"b")
    await told.wait(2)
    assert broker.requests == [[Sent(1, [b"a"], 1, 0), Sent(2, [b"b"], 1, 0)], [Sent(1, [b"a"], 1, 0)]]


async def test_a_partition_without_a_leader_waits_for_one(broker: Broker) -> None:
    sender, told = Appends(broker), Told()
    broker.leader = None
    give(sender, told, 1, b"a")
    await told.wait(1)
    assert (told, broker.refreshed) == ([0], 1)


async def test_a_batch_refused_for_good_fails_and_the_next_has_its_sequence_number(broker: Broker) -> None:
    sender, told, codes = Appends(broker), Told(), [FORBIDDEN]
    broker.refuse = lambda _: codes.pop() if codes else 0
    give(sender, told, 1, b"a")
    await told.wait(1)
    give(sender, told, 1, b"b")
    await told.wait(2)
    assert isinstance(told[0], kafka_errors.TopicAuthorizationFailedError)
    assert broker.requests[1:] == [[Sent(1, [b"b"], 1, 0)]]


async def test_after_a_batch_of_unknown_fate_the_partition_has_another_producer_id(broker: Broker) -> None:
    sender, told, codes = Appends(broker), Told(), [FORBIDDEN, TIMED_OUT]
    broker.refuse = lambda sent: codes.pop() if sent.partition == 1 and codes else 0
    give(sender, told, 1, b"a")
    give(sender, told, 2, b"b")
    await told.wait(2)
    give(sender, told, 1, b"c")
    give(sender, told, 2, b"d")
    await told.wait(4)
    assert broker.requests[-1] == [Sent(1, [b"c"], 2, 0), Sent(2, [b"d"], 1, 1)]


async def test_a_forgotten_producer_id_is_replaced_and_nothing_is_lost(broker: Broker) -> None:
    sender, told, codes = Appends(broker), Told(), [OUT_OF_ORDER, 0]
    broker.refuse = lambda _: codes.pop() if codes else 0
    for count, value in enumerate((b"a", b"b"), 1):
        give(sender, told, 1, value)
        await told.wait(count)
    assert told == [0, 1]
    assert broker.requests[1:] == [[Sent(1, [b"b"], 1, 1)], [Sent(1, [b"b"], 2, 0)]]


async def test_a_batch_out_of_sequence_that_may_be_on_kafka_fails(broker: Broker) -> None:
    sender, told, codes = Appends(broker), Told(), [OUT_OF_ORDER, TIMED_OUT, 0]
    broker.refuse = lambda _: codes.pop() if codes else 0
    for count, value in enumerate((b"a", b"b", b"c"), 1):
        give(sender, told, 1, value)
        await told.wait(count)
    assert isinstance(told[1], kafka_errors.OutOfOrderSequenceNumber)
    assert told[2] == 1
    assert broker.requests[-1] == [Sent(1, [b"c"], 2, 0)]


async def test_a_batch_that_is_too_large_is_divided_down_to_the_group_that_is(broker: Broker) -> None:
    sender, told = Appends(broker), Told()
    broker.refuse = lambda sent: TOO_LARGE if len(sent.values) > 2 or b"huge" in sent.values else 0
    for value in (b"a", b"huge", b"b", b"c"):
        give(sender, told, 1, value)
    await told.wait(4)
    assert sorted(told[0:1] + told[2:]) == [0, 1, 2]  # type: ignore[type-var]
    assert isinstance(told[1], kafka_errors.MessageSizeTooLargeError)


async def test_large_batches_and_requests_are_divided(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appends, "_MOST_BYTES_A_REQUEST", 800_000)
    sender, told = Appends(broker), Told()
    for _ in range(3):
        for partition in (1, 2):
            give(sender, told, partition, bytes(200_000))
    await told.wait(6)
    assert [[(sent.partition, len(sent.values)) for sent in asked] for asked in broker.requests] == [
        [(1, 2)],
        [(2, 2), (1, 1)],
        [(2, 1)],
    ]


async def test_an_outage_that_lasts_too_long_fails_what_waits(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    sender, told = Appends(broker), Told()
    monkeypatch.setattr(appends, "_OUTAGE_BUDGET_S", -1.0)

    def refuse(_: Sent) -> int:
        give(sender, told, 1, b"b")
        raise kafka_errors.KafkaConnectionError

    broker.refuse = refuse
    give(sender, told, 1, b"a")
    await told.wait(2)
    assert [type(error) for error in told] == [kafka_errors.KafkaConnectionError] * 2
    broker.refuse = lambda _: 0
    give(sender, told, 1, b"c")
    await told.wait(3)
    assert broker.requests[-1] == [Sent(1, [b"c"], 2, 0)]


async def test_without_a_right_to_produce_everything_fails_at_once(broker: Broker) -> None:
    sender, told = Appends(broker), Told()

    async def refused(node: int, request: Any) -> Any:
        return SimpleNamespace(error_code=31)

    broker.send = refused  # type: ignore[method-assign]
    give(sender, told, 1, b"a")
    await told.wait(1)
    assert isinstance(told[0], kafka_errors.ClusterAuthorizationFailedError)


async def test_one_that_is_told_and_fails_does_not_keep_others_waiting(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    sender, told = Appends(broker), Told()
    sender.append("t", 1, [(b"k", b"a")], lambda _: 1 / 0)  # type: ignore[arg-type]
    give(sender, told, 1, b"b")
    await told.wait(1)
    assert told == [1]
    assert "could not be told" in caplog.text


async def test_stop_waits_for_the_answer_and_fails_what_has_none(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appends, "_STOPS_WITHIN_S", 0.01)
    sender, told = Appends(broker), Told()
    give(sender, told, 1, b"a")
    await sender.stop()
    assert told == [0]
    broker.may_answer.clear()
    give(sender, told, 1, b"b")
    await asyncio.sleep(0)
    give(sender, told, 1, b"c")
    await sender.stop()
    assert [type(outcome) for outcome in told[1:]] == [kafka_errors.ProducerClosed] * 2


PARTITIONS = 3


@pytest.fixture
async def topic(kafka: Any) -> str:
    name = f"appends-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    await admin.close()
    return name


async def records(kafka: Any, topic: str) -> dict[tuple[int, int], bytes]:
    """What the topic holds, by partition and offset."""
    found: dict[tuple[int, int], bytes] = {}
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap) as consumer:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        while len(found) < sum(ends.values()):
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                found |= {(record.partition, record.offset): record.value for record in batch}
    return found


class Losing:
    """A client that loses every third answer of Kafka, and every fifth request; answer `breaks` makes no sense."""

    def __init__(self, client: AIOKafkaClient, breaks: int = 0) -> None:
        self._client, self._breaks, self._produced = client, breaks, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node: int, request: Any) -> Any:
        if not isinstance(request, ProduceRequest):
            return await self._client.send(node, request)
        self._produced += 1
        if self._produced % 5 == 0:
            raise kafka_errors.KafkaConnectionError("the test lost a request")
        answer = await self._client.send(node, request)
        if self._produced == self._breaks:
            raise ValueError("the test broke an answer")
        if self._produced % 3 == 0:
            raise kafka_errors.KafkaConnectionError("the test lost an answer")
        return answer


@pytest.mark.kafka
async def test_lost_requests_and_answers_lose_and_double_nothing(
    kafka: Any, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appends, "_RETRY_PAUSE_S", 0.01)
    client = AIOKafkaClient(bootstrap_servers=kafka.bootstrap)
    await client.bootstrap()
    sender = Appends(Losing(client, breaks=16))
    told: dict[tuple[int, int], bytes] = {}
    failed: list[bytes] = []
    sent: dict[int, list[bytes]] = {number: [] for number in range(PARTITIONS)}
    for number in range(120):
        partition = number % PARTITIONS
        values = [b"%d-%d" % (number, at) for at in range(1 + number % 4)]
        sent[partition] += values

        def settled(outcome: int | Exception, partition: int = partition, values: list[bytes] = values) -> None:
            if isinstance(outcome, int):
                told.update({(partition, outcome + at): value for at, value in enumerate(values)})
            else:
                failed.extend(values)

        sender.append(topic, partition, [(b"k", value) for value in values], settled)
        await asyncio.sleep(0.005)
    await sender.stop()
    await client.close()
    # Kafka had what the broken answer was about; nobody could know.
    written = {(number, at): value for number, values in sent.items() for at, value in enumerate(values)}
    assert await records(kafka, topic) == written
    assert failed
    assert told == {place: value for place, value in written.items() if value not in failed}
