"""Topic ids on a real broker: the same name made anew is another topic."""

import asyncio
from typing import Any

import pytest
from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient

from reco_stream.engine.topic_ids import fetch_topic_id

pytestmark = pytest.mark.kafka


async def test_a_topic_keeps_its_id_and_its_successor_has_another(kafka: Any, topic: str) -> None:
    client = AIOKafkaClient(bootstrap_servers=kafka.bootstrap)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.bootstrap()
    await admin.start()
    first = await fetch_topic_id(client, topic)
    assert len(bytes.fromhex(first)) == 16
    assert await fetch_topic_id(client, topic) == first
    await admin.delete_topics([topic])
    async with asyncio.timeout(30):
        while topic in await admin.list_topics():
            await asyncio.sleep(0.05)
    with pytest.raises(kafka_errors.UnknownTopicOrPartitionError):
        await fetch_topic_id(client, topic)
    await admin.create_topics([NewTopic(topic, 2, 1)])
    async with asyncio.timeout(30):
        while topic not in await admin.list_topics():
            await asyncio.sleep(0.05)
    assert await fetch_topic_id(client, topic) not in (first, bytes(16).hex())
    await admin.close()
    await client.close()
