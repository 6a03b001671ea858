"""Membership that outlives a process: its name, and how it is taken away."""

import uuid

import pytest
from aiokafka import AIOKafkaConsumer

from reco_stream.group_members import instance_id, remove_member
from reco_stream.kafka_server import KafkaServer
from reco_stream.settings import Settings
from reco_stream.topics import create_topics


def test_a_worker_is_named_by_its_host_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "höst é")
    assert instance_id(Settings(web_port=6067)) == "h-st---6067"
    assert instance_id(Settings(instance_id="reco-0")) == "reco-0"


@pytest.mark.kafka
async def test_a_member_that_stopped_is_removed_by_its_name(kafka: KafkaServer) -> None:
    settings = Settings(broker=kafka.bootstrap, app=f"members-{uuid.uuid4().hex[:8]}")
    await create_topics(settings)
    consumer = AIOKafkaConsumer(
        settings.topic("events"),
        bootstrap_servers=kafka.bootstrap,
        group_id=settings.state_name,
        group_instance_id="reco-0",
    )
    await consumer.start()
    await consumer.stop()  # a static member says nothing when it stops
    assert await remove_member(settings, "reco-0")
    assert not await remove_member(settings, "reco-0")
