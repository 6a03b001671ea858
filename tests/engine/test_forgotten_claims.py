"""What the broker does when it has forgotten a producer id, and how an owner that holds the old one is fenced then.

Shown on a broker of its own, which forgets after a second instead of 7 days.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from reco_stream.engine.changelog import LAST_EPOCH, Appender, BrokerLink, Claim
from reco_stream.engine.errors import Fenced
from reco_stream.kafka_server import KafkaServer

pytestmark = pytest.mark.kafka
FORGETS_FAST = {
    "transactional.id.expiration.ms": "1000",
    "transaction.remove.expired.transaction.cleanup.interval.ms": "200",
}


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[KafkaServer]:
    with KafkaServer(tmp_path / "kafka", settings=FORGETS_FAST, die_with_parent=True) as server:
        yield server


async def forgotten(link: BrokerLink, claim: Claim) -> Claim:
    """A claim that does not follow on `claim`; asking too early only makes the broker remember for longer."""
    async with asyncio.timeout(60):
        while True:
            await asyncio.sleep(3)
            newer = await link.claim("app-0")
            if newer.producer_id != claim.producer_id:
                return newer


async def test_forgotten_owner_writes_on_until_its_epochs_are_used_up(forgetful: KafkaServer) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=forgetful.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("t", 1, 1)])
    await admin.close()
    link = BrokerLink({"bootstrap_servers": forgetful.bootstrap}, ["t"])
    await link.start()
    old = Appender(link, "t", 0, await link.claim("app-0"))
    await old.append([(b"a", b"1")])

    new = Appender(link, "t", 0, await forgotten(link, old.claim))
    assert await new.append([(b"fence", b"new")]) == 1
    assert await old.append([(b"a", b"of a zombie")]) == 2, "then Kafka fences it by itself, and we need not"

    used_up = Claim(old.claim.producer_id, LAST_EPOCH)
    assert await Appender(link, "t", 0, used_up).append([(b"fence", b"new")]) == 3
    assert await Appender(link, "t", 0, used_up).append([(b"fence", b"new")]) == 3, "twice is once"
    with pytest.raises(Fenced):
        await old.append([(b"a", b"of a zombie")])
    assert await new.append([(b"a", b"2")]) == 4
    await link.stop()
