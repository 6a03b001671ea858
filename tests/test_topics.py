import uuid

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError

from reco_stream.kafka_server import KafkaServer
from reco_stream.ports import free_ports
from reco_stream.settings import Settings
from reco_stream.topics import (
    Mismatch,
    NoSuchTopic,
    TopicError,
    check_topics,
    create_topics,
    partition_count,
    topic_specs,
)


@pytest.fixture
def settings(kafka: KafkaServer) -> Settings:
    return Settings(broker=kafka.bootstrap, app=f"topics-{uuid.uuid4().hex[:8]}", partitions=3)


async def create_by_hand(settings: Settings, name: str, partitions: int, config: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker)
    await admin.start()
    await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=config)])
    await admin.close()


def test_topics_of_one_partition_space_have_the_same_number_of_partitions() -> None:
    partitions = {spec.name: spec.partitions for spec in topic_specs(Settings(app="a", partitions=5))}
    assert partitions == {
        "a.events": 5,
        "a-state-changelog": 5,
        "a.item-stats": 5,
        "a.sessions": 5,
        "a.items": 5,
        "a.vectors": 5,
        "a.models": 5,
        "a.dead-letters": 1,
    }


def test_a_dead_letter_of_the_largest_event_fits() -> None:
    sizes = {spec.name: int(spec.config.get("max.message.bytes", 0)) for spec in topic_specs(Settings(app="a"))}
    assert sizes["a.dead-letters"] > sizes["a.events"] > 7_340_032  # the largest RECO_EVENT_MAX_BYTES


@pytest.mark.parametrize(("replication", "wanted"), [(1, None), (2, None), (3, "2"), (5, "2")])
def test_one_broker_that_dies_takes_no_acknowledged_record_with_it(replication: int, wanted: str | None) -> None:
    for spec in topic_specs(Settings(app="a", replication=replication)):
        assert spec.config.get("min.insync.replicas") == wanted


def test_a_mismatch_reads_as_a_sentence() -> None:
    assert str(Mismatch("t", "partitions", "3", "12")) == "topic t: partitions is 3; wanted: 12"


@pytest.mark.kafka
async def test_created_topics_pass_the_check_and_creating_again_changes_nothing(settings: Settings) -> None:
    names = [spec.name for spec in topic_specs(settings)]
    assert [str(mismatch) for mismatch in await check_topics(settings)] == [
        f"topic {name}: topic is missing; wanted: present (run: reco topics create)" for name in names
    ]
    assert sorted(await create_topics(settings)) == sorted(names)
    assert await create_topics(settings) == []
    assert await check_topics(settings) == []


@pytest.mark.kafka
async def test_every_difference_is_found(settings: Settings) -> None:
    events = settings.topic("events")
    await create_by_hand(settings, events, 2, {"max.message.bytes": "1000000"})
    stamped = {"message.timestamp.type": "LogAppendTime"}
    await create_by_hand(
        settings, settings.changelog_topic, 3, stamped | {"cleanup.policy": "compact", "max.message.bytes": "9000000"}
    )
    await create_by_hand(settings, settings.topic("sessions"), 3, stamped | {"cleanup.policy": "delete,compact"})
    created = await create_topics(settings)
    missing = ("dead-letters", "item-stats", "items", "models", "vectors")
    assert sorted(created) == [settings.topic(name) for name in missing]
    assert await check_topics(settings.model_copy(update={"replication": 2})) == [
        Mismatch(events, "partitions", "2", "3"),
        Mismatch(events, "replication.factor", "1", "2 or more"),
        Mismatch(events, "message.timestamp.type", "CreateTime", "LogAppendTime"),
        Mismatch(events, "max.message.bytes", "1000000", "8388608 or more"),
        *(
            Mismatch(name, "replication.factor", "1", "2 or more")
            for name in [
                settings.changelog_topic,
                *map(settings.topic, ("item-stats", "sessions", "items", "vectors", "models", "dead-letters")),
            ]
        ),
    ]


@pytest.mark.kafka
async def test_a_refused_topic_is_named_with_kafkas_reason(settings: Settings) -> None:
    with pytest.raises(TopicError, match=r"did not create topic topics-.*replication factor"):
        await create_topics(settings.model_copy(update={"replication": 2}))


@pytest.mark.kafka
async def test_partitions_are_counted_and_a_missing_topic_is_named(settings: Settings) -> None:
    await create_topics(settings)
    assert await partition_count(settings, settings.topic("events")) == 3
    with pytest.raises(NoSuchTopic, match=r"topic no-such does not exist; create it with: reco topics create"):
        await partition_count(settings, "no-such")


async def test_no_kafka_is_an_error() -> None:
    with pytest.raises(KafkaConnectionError):
        await check_topics(Settings(broker=f"127.0.0.1:{free_ports(1)[0]}"))
