"""How every Kafka client of the application connects: one place for brokers, TLS and SASL.

Faust's clients and ours (engine, read models, web producer, command line) get the same arguments, so a setting that
works for one works for all.
"""

import ssl
from typing import Any

from faust import SASLCredentials, SSLCredentials

from reco_stream.setting_checks import Problem
from reco_stream.settings import Settings, env_name
from reco_stream.settings_loader import SettingsError

# Faust chooses its transport by the scheme of the broker's URL; this one is the engine's batch delivery.
BROKER_SCHEME = "batch"


def client_kwargs(settings: Settings) -> dict[str, Any]:
    """Return the connection arguments that aiokafka's consumer, producer, admin client and plain client all take.

    Raises SettingsError when a certificate file cannot be used.
    """
    kwargs: dict[str, Any] = {
        "bootstrap_servers": settings.broker.split(","),
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        kwargs["ssl_context"] = ssl_context(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        kwargs["sasl_mechanism"] = settings.kafka_sasl_mechanism
        kwargs["sasl_plain_username"] = settings.kafka_sasl_username
        kwargs["sasl_plain_password"] = _password(settings)
    return kwargs


def faust_credentials(settings: Settings) -> SASLCredentials | SSLCredentials | None:
    """Return `broker_credentials` for the Faust app; None for PLAINTEXT. Raises like `client_kwargs`."""
    protocol = settings.kafka_security_protocol
    context = ssl_context(settings) if protocol.endswith("SSL") else None
    if protocol.startswith("SASL"):
        return SASLCredentials(
            username=settings.kafka_sasl_username,
            password=_password(settings),
            mechanism=settings.kafka_sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else SSLCredentials(context)


def faust_broker_url(settings: Settings) -> str:
    """Return the `broker` of the Faust app.

    >>> faust_broker_url(Settings(broker="k1:9092,k2:9092"))
    'batch://k1:9092;batch://k2:9092'
    """
    return ";".join(f"{BROKER_SCHEME}://{server}" for server in settings.broker.split(","))


def ssl_context(settings: Settings) -> ssl.SSLContext:
    """Return a context that verifies the brokers' certificates and host names, and shows the client's if there is one.

    Raises SettingsError when a certificate file cannot be used.
    """
    field = "kafka_ssl_cafile"
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ssl_cafile)
        field = "kafka_ssl_certfile"
        if settings.kafka_ssl_certfile is not None:
            # Without a password function OpenSSL would ask for an encrypted key's password on the terminal.
            context.load_cert_chain(settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile, password=lambda: b"")
    except OSError as error:  # ssl.SSLError is one
        wanted = "a PEM file that OpenSSL can use" + (" with its unencrypted key" if field.endswith("certfile") else "")
        found = f"{str(getattr(settings, field))!r} ({error})"
        raise SettingsError([Problem(env_name(field), found, wanted)]) from None
    return context


def _password(settings: Settings) -> str | None:
    secret = settings.kafka_sasl_password
    return None if secret is None else secret.get_secret_value()
