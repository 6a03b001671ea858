import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth, server_list
from faust.utils.urls import urllist

from reco_stream.kafka_clients import client_kwargs, faust_broker_url, faust_credentials, ssl_context
from reco_stream.kafka_server import KafkaServer
from reco_stream.settings import Settings
from reco_stream.settings_loader import SettingsError

TLS = Path(__file__).parent / "tls"  # a certificate for localhost that signs itself; its key is of no other use
SASL: dict[str, Any] = {"kafka_sasl_username": "me", "kafka_sasl_password": "secret"}


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(kafka_security_protocol="SASL_PLAINTEXT", kafka_sasl_mechanism="SCRAM-SHA-512", **SASL),
        Settings(kafka_security_protocol="SSL"),
        Settings(kafka_security_protocol="SASL_SSL", **SASL),
    ],
    ids=lambda settings: settings.kafka_security_protocol,
)
def test_fausts_clients_get_the_same_arguments_as_ours(settings: Settings) -> None:
    ours = client_kwargs(settings)
    assert ours.pop("bootstrap_servers") == ["localhost:9092"]
    fausts = dict(credentials_to_aiokafka_auth(faust_credentials(settings)))
    contexts = ours.pop("ssl_context", None), fausts.pop("ssl_context", None)
    assert [type(context) for context in contexts] == [type(contexts[0])] * 2
    assert (contexts[0] is not None) == settings.kafka_security_protocol.endswith("SSL")
    assert ours == fausts


def test_faust_connects_to_every_broker() -> None:
    url = faust_broker_url(Settings(broker="k1:9092,k2:9093"))
    urls = urllist(url)
    assert {part.scheme for part in urls} == {"batch"}
    assert server_list(urls, 9092) == ["k1:9092", "k2:9093"]


async def talk(settings: Settings) -> bytes:
    """What a TLS server with the certificate for localhost says to a client of these settings."""

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        certificate = writer.get_extra_info("peercert")
        writer.write(b"nobody" if not certificate else b"known")
        writer.close()

    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(TLS / "ca.pem"))
    server_context.load_cert_chain(TLS / "localhost.pem")
    server_context.verify_mode = ssl.CERT_OPTIONAL
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=ssl_context(settings), server_hostname="localhost"
        )
        answer = await reader.read()
        writer.close()
        return answer


async def test_tls_trusts_the_authorities_of_the_setting() -> None:
    assert await talk(Settings(kafka_security_protocol="SSL", kafka_ssl_cafile=TLS / "ca.pem")) == b"nobody"


async def test_tls_shows_the_clients_certificate() -> None:
    settings = Settings(
        kafka_security_protocol="SSL", kafka_ssl_cafile=TLS / "ca.pem", kafka_ssl_certfile=TLS / "localhost.pem"
    )
    assert await talk(settings) == b"known"


async def test_tls_trusts_no_stranger() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await talk(Settings(kafka_security_protocol="SSL"))


@pytest.mark.parametrize("field", ["kafka_ssl_cafile", "kafka_ssl_certfile"])
def test_an_unusable_certificate_is_named(tmp_path: Path, field: str) -> None:
    pem = tmp_path / "broken.pem"
    pem.write_text("no certificate")
    settings: dict[str, Any] = {"kafka_security_protocol": "SSL", field: pem}
    with pytest.raises(SettingsError, match=f"RECO_{field.upper()} is .*broken.pem.*; wanted: a PEM file"):
        ssl_context(Settings(**settings))


def sasl(kafka: KafkaServer, mechanism: str, password: str | None = None) -> Settings:
    user, right_password = next(iter(kafka.users.items()))
    arguments: dict[str, Any] = {
        "broker": kafka.sasl_bootstrap,
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": mechanism,
        "kafka_sasl_username": user,
        "kafka_sasl_password": password or right_password,
    }
    return Settings(**arguments)


@pytest.mark.kafka
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_every_kind_of_client_authenticates(kafka: KafkaServer, mechanism: str) -> None:
    arguments = client_kwargs(sasl(kafka, mechanism))
    admin = AIOKafkaAdminClient(**arguments)
    producer, consumer = AIOKafkaProducer(**arguments), AIOKafkaConsumer(**arguments)
    try:
        for client in (admin, producer, consumer):
            await client.start()
        assert isinstance(await consumer.topics(), set)
        assert isinstance(await admin.list_topics(), list)
    finally:
        await admin.close()
        await producer.stop()
        await consumer.stop()


@pytest.mark.kafka
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_a_wrong_password_is_refused(kafka: KafkaServer, mechanism: str) -> None:
    consumer = AIOKafkaConsumer(**client_kwargs(sasl(kafka, mechanism, password="wrong")))
    with pytest.raises(KafkaConnectionError):
        await consumer.start()
    await consumer.stop()
