"""What can be wrong with settings of which each alone is right."""

from collections.abc import Iterator
from dataclasses import dataclass

from reco_stream.settings import Settings


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the variable's name, the value found (masked when secret), what is wanted instead."""

    name: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.name} is {self.found}; wanted: {self.wanted}"


def cross_checks(settings: Settings) -> Iterator[Problem]:
    """What is wrong although each setting alone is right."""
    yield from _security_checks(settings)
    if settings.heartbeat_s * 3 > settings.session_timeout_s:
        limit = f"at most {settings.session_timeout_s / 3:g} s, a third of RECO_SESSION_TIMEOUT_S"
        yield Problem("RECO_HEARTBEAT_S", f"{settings.heartbeat_s:g}", limit)
    if both := sorted(settings.negative_types & settings.event_weights.keys()):
        wanted = "types that have no weight in RECO_EVENT_WEIGHTS"
        yield Problem("RECO_NEGATIVE_TYPES", f"with {', '.join(both)}", wanted)
    for scenario, weights in settings.fusion_weights.items():
        from reco_stream.domain.fusion import BadWeights, weights_of  # imports numpy: 0.1 s that few commands need

        try:
            weights_of(scenario, weights)
        except BadWeights as error:
            yield Problem("RECO_FUSION_WEIGHTS", f"for {scenario!r} {weights}", str(error))
    if settings.crash_at is not None and not settings.testing:
        yield Problem("RECO_CRASH_AT", repr(settings.crash_at), "not set, unless RECO_TESTING=true")


def _security_checks(settings: Settings) -> Iterator[Problem]:
    protocol = settings.kafka_security_protocol
    for field in ("kafka_sasl_username", "kafka_sasl_password"):
        is_set = getattr(settings, field) is not None
        if protocol.startswith("SASL") and not is_set:
            yield Problem(f"RECO_{field.upper()}", "not set", f"a value, for RECO_KAFKA_SECURITY_PROTOCOL={protocol}")
        if is_set and not protocol.startswith("SASL"):
            yield Problem(f"RECO_{field.upper()}", "set", f"not set, for RECO_KAFKA_SECURITY_PROTOCOL={protocol}")
    for field in ("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile"):
        if getattr(settings, field) is not None and not protocol.endswith("SSL"):
            yield Problem(f"RECO_{field.upper()}", "set", f"not set, for RECO_KAFKA_SECURITY_PROTOCOL={protocol}")
    if settings.kafka_ssl_keyfile is not None and settings.kafka_ssl_certfile is None:
        yield Problem("RECO_KAFKA_SSL_CERTFILE", "not set", "the certificate of RECO_KAFKA_SSL_KEYFILE")
