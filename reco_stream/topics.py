"""The application's topics: what each must be like, creating them, and comparing them with what Kafka has."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from reco_stream.kafka_clients import client_kwargs
from reco_stream.settings import Settings

MIB: Final = 1_048_576
DAY_MS: Final = 86_400_000

_IN_SYNC: Final = "min.insync.replicas"
_LEAST_VALUES: Final = frozenset({"max.message.bytes", _IN_SYNC})

_TOPIC_ALREADY_EXISTS: Final = 36
# A new topic is usable some 0.1 s after its creation was acknowledged; a loaded cluster may take seconds.
_CREATED_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.05
_RETRY_MS: Final = 10


@dataclass(frozen=True)
class TopicSpec:
    """What a topic must be like.

    `replication` is a least value. `config` is what the application relies on: `check_topics` compares it (sizes and
    replicas are least values). `initial` is given at creation too, but operators may change it.
    """

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]
    initial: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mismatch:
    """A topic whose `setting` is not as wanted; `str` is one line for a log."""

    topic: str
    setting: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"topic {self.topic}: {self.setting} is {self.found}; wanted: {self.wanted}"


class TopicError(Exception):
    """Kafka refused to create a topic."""


class NoSuchTopic(Exception):
    """A topic does not exist; the message says what to do."""


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """Return every topic of the application; those keyed by user or by source partition have `settings.partitions`."""
    size = "max.message.bytes"
    compaction = {
        # Rows are rewritten often: small segments and an early cleaner keep a restore short. The lag leaves a crashed
        # worker the last minute uncompacted.
        "segment.ms": "600000",
        "min.cleanable.dirty.ratio": "0.2",
        "min.compaction.lag.ms": "60000",
        "max.compaction.lag.ms": "3600000",
    }
    many, replication = settings.partitions, settings.replication
    # The broker's clock, everywhere: it refuses records from a clock that is an hour ahead of its own, and compaction
    # and retention go by these times.
    stamped = {"message.timestamp.type": "LogAppendTime"}
    if replication >= 3:
        # Kafka's default is 1: what one broker alone had acknowledged would be gone with it.
        stamped[_IN_SYNC] = "2"
    log = stamped | {"cleanup.policy": "delete", size: str(8 * MIB)}
    compacted = stamped | {"cleanup.policy": "compact"}
    month = {"retention.ms": str(30 * DAY_MS)}
    return [
        TopicSpec(settings.topic("events"), many, replication, log),
        TopicSpec(settings.changelog_topic, many, replication, compacted | {size: str(8 * MIB)}, compaction),
        TopicSpec(settings.topic("item-stats"), many, replication, compacted, compaction),
        TopicSpec(settings.topic("sessions"), many, replication, stamped | {"cleanup.policy": "compact,delete"}, month),
        TopicSpec(settings.topic("items"), many, replication, compacted, compaction),
        TopicSpec(settings.topic("vectors"), many, replication, compacted, compaction),
        TopicSpec(settings.topic("models"), many, replication, compacted, compaction),
        # Original bytes plus headers: larger than the largest event.
        TopicSpec(
            settings.topic("dead-letters"),
            1,
            replication,
            stamped | {"cleanup.policy": "delete", size: str(10 * MIB)},
            month,
        ),
    ]


async def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing, wait until all can be used, and return the names of the new ones.

    Existing topics stay as they are. Raises TopicError when Kafka refuses one, KafkaError when it does not answer.
    """
    specs = topic_specs(settings)
    async with _admin(settings) as admin:
        existing = await admin.list_topics()
        missing = [spec for spec in specs if spec.name not in existing]
        created = await _create(admin, missing) if missing else []
        await _wait_for_leaders(admin, {spec.name for spec in specs})
    if created:
        await _wait_until_led(settings, [spec for spec in specs if spec.name in created])
    return created


async def check_topics(settings: Settings) -> list[Mismatch]:
    """Return what differs from `topic_specs`, in their order; nothing when all is well. Raises KafkaError."""
    specs = topic_specs(settings)
    async with _admin(settings) as admin:
        found = {topic["topic"]: topic for topic in await admin.describe_topics()}
        existing = [spec for spec in specs if spec.name in found]
        configs = await _configs(admin, existing) if existing else {}
    mismatches: list[Mismatch] = []
    for spec in specs:
        if spec.name not in found:
            mismatches.append(Mismatch(spec.name, "topic", "missing", "present (run: reco topics create)"))
            continue
        mismatches += _compare(spec, found[spec.name]["partitions"], configs[spec.name])
    return mismatches


async def partition_count(settings: Settings, topic: str) -> int:
    """Return how many partitions `topic` has on Kafka, never creating it. Raises NoSuchTopic or KafkaError."""
    async with _admin(settings) as admin:
        for found in await admin.describe_topics():
            if found["topic"] == topic:
                return len(found["partitions"])
    raise NoSuchTopic(f"topic {topic} does not exist; create it with: reco topics create")


def _compare(spec: TopicSpec, partitions: list[dict[str, Any]], config: Mapping[str, str]) -> Iterable[Mismatch]:
    if len(partitions) != spec.partitions:
        yield Mismatch(spec.name, "partitions", str(len(partitions)), str(spec.partitions))
    replicas = min((len(partition["replicas"]) for partition in partitions), default=0)
    if replicas < spec.replication:
        yield Mismatch(spec.name, "replication.factor", str(replicas), f"{spec.replication} or more")
    for name, wanted in spec.config.items():
        found = config.get(name, "not set")
        if name in _LEAST_VALUES:
            if not found.isdecimal() or int(found) < int(wanted):
                yield Mismatch(spec.name, name, found, f"{wanted} or more")
        elif set(found.split(",")) != set(wanted.split(",")):
            yield Mismatch(spec.name, name, found, wanted)


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(client_id=f"{settings.app}-topics", **client_kwargs(settings))
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, specs: list[TopicSpec]) -> list[str]:
    topics = [
        NewTopic(spec.name, spec.partitions, spec.replication, topic_configs={**spec.config, **spec.initial})
        for spec in specs
    ]
    response = await admin.create_topics(topics)
    created = []
    for name, code, *message in response.topic_errors:
        if code == 0:
            created.append(name)
        elif code != _TOPIC_ALREADY_EXISTS:  # two workers may create at the same time
            reason = message[0] if message and message[0] else for_code(code).__name__
            raise TopicError(f"Kafka did not create topic {name}: {reason}")
    return created


async def _wait_for_leaders(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    async with asyncio.timeout(_CREATED_WITHIN_S):
        while True:
            ready = {
                topic["topic"]
                for topic in await admin.describe_topics()
                if topic["partitions"] and all(partition["leader"] >= 0 for partition in topic["partitions"])
            }
            if names <= ready:
                return
            await asyncio.sleep(_POLL_S)


async def _wait_until_led(settings: Settings, specs: list[TopicSpec]) -> None:
    """A leader is named some milliseconds before it leads; asking it for offsets is repeated until it answers."""
    # Waits so long for each topic that it hears of, one after the other; by default 100 ms.
    async with AIOKafkaConsumer(**client_kwargs(settings), retry_backoff_ms=_RETRY_MS) as consumer:
        await consumer.end_offsets(
            [TopicPartition(spec.name, number) for spec in specs for number in range(spec.partitions)]
        )


async def _configs(admin: AIOKafkaAdminClient, specs: list[TopicSpec]) -> dict[str, dict[str, str]]:
    """The effective configuration of each topic, broker defaults included."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, spec.name) for spec in specs]
    configs: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, message, _kind, name, entries, *_ in response.resources:
            if code:
                raise KafkaError(f"Kafka did not tell the configuration of topic {name}: {message}")
            configs[name] = {key: value for key, value, *_ in entries}
    return configs
