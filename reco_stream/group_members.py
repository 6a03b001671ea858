"""Membership of the consumer group that outlives a process (KIP-345), and how it is ended.

A worker joins under a `group.instance.id`. It says nothing when it stops: Kafka keeps its partitions for it until the
session timeout, and a worker that starts under the same id in time gets them back without a rebalance. Who takes a
worker away for good says so, with `remove_member`.
"""

from __future__ import annotations

import re
import socket

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Schema, String

from reco_stream.kafka_clients import client_kwargs
from reco_stream.settings import Settings

# Kafka's error codes that aiokafka 0.14 does not name alike: nobody is a member under that name.
_UNKNOWN_MEMBER_ID = 25
_LONGEST = 249


def instance_id(settings: Settings) -> str:
    """Returns this worker's name in the group: RECO_INSTANCE_ID, else its host and port, as Kafka takes it."""
    name = settings.instance_id or f"{socket.gethostname()}-{settings.web_port}"
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)[-_LONGEST:]


class _LeaveResponse(Response):  # type: ignore[misc]
    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")), ("error_code", Int16)),
        ),
    )


class _LeaveRequestV3(RequestStruct):  # type: ignore[misc]
    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = _LeaveResponse
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("members", Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")))),
    )


class _LeaveRequest(Request[_LeaveRequestV3]):  # type: ignore[misc]
    """LeaveGroup by instance id; aiokafka's own knows versions 0 and 1, which want a member id."""

    API_KEY = 13

    def __init__(self, group: str, name: str) -> None:
        self._group = group
        self._name = name

    def build(self, request_struct_class: type[_LeaveRequestV3]) -> _LeaveRequestV3:
        return request_struct_class(self._group, [("", self._name)])


async def remove_member(settings: Settings, name: str) -> bool:
    """Removes the member, so that its partitions move at once; False when there was none of that name.

    Raises KafkaError when Kafka refuses or does not answer.
    """
    client = AIOKafkaClient(**client_kwargs(settings))
    try:
        await client.bootstrap()
        node = await client.coordinator_lookup(CoordinationType.GROUP, settings.state_name)
        answer = await client.send(node, _LeaveRequest(settings.state_name, name))
    finally:
        await client.close()
    code = answer.error_code or (answer.members[0][2] if answer.members else 0)
    if code not in (0, _UNKNOWN_MEMBER_ID):
        raise KafkaError(f"group {settings.state_name}: member {name} cannot be removed: error code {code}")
    return code == 0
