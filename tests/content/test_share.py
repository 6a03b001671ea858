from __future__ import annotations

from typing import Any

import pytest

from reco_stream.content.share import Alone, NotPublished, TopicShare
from reco_stream.domain.partitioner import partition_of

ITEMS = [f"i{number}" for number in range(50)]


class Kafka:
    def __init__(self, takes: bool = True) -> None:
        self.takes = takes
        self.sent: list[tuple[str, bytes, bytes | None, int]] = []

    async def send(self, topic: str, key: bytes, value: bytes | None, partition: int) -> Any:
        if not self.takes:
            raise OSError("no Kafka")
        self.sent.append((topic, key, value, partition))


def test_every_item_is_the_share_of_one_worker_and_partition_0_leads() -> None:
    shares = [TopicShare(Kafka(), "t", 4, runs.__contains__) for runs in ({0, 3}, {1, 2})]
    assert [share.leads for share in shares] == [True, False]
    assert [share.owned for share in shares] == [{0, 3}, {1, 2}]
    for item in ITEMS:
        assert [share.is_mine(item) for share in shares].count(True) == 1
    assert all(Alone().is_mine(item) for item in ITEMS)


async def test_records_go_to_the_partition_of_their_key() -> None:
    kafka = Kafka()
    await TopicShare(kafka, "t", 4, bool).publish([("i1", b"v"), ("i2", None)])
    assert kafka.sent == [("t", b"i1", b"v", partition_of("i1", 4)), ("t", b"i2", None, partition_of("i2", 4))]


async def test_what_kafka_did_not_take_is_said() -> None:
    with pytest.raises(NotPublished, match="t: OSError: no Kafka"):
        await TopicShare(Kafka(takes=False), "t", 4, bool).publish([("i1", b"v")])
