"""Responses are encoded by msgspec from the structs that the OpenAPI document is generated from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from aiohttp import web

_JSON = {"Content-Type": "application/json"}
_ENCODER = msgspec.json.Encoder()
_MAX_MS = 253_402_300_799_999  # the last millisecond of the year 9999, which is where RFC 3339 ends


class Answer(NamedTuple):
    """An answer with JSON in its body, before it becomes one of aiohttp's."""

    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})

    def response(self) -> web.Response:
        """Returns it as aiohttp wants it."""
        return web.Response(body=self.body, status=self.status, headers={**_JSON, **self.headers})


def encoded(body: msgspec.Struct) -> bytes:
    """Returns `body` as JSON."""
    return _ENCODER.encode(body)


def json_response(body: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Returns an answer with `body` as JSON."""
    return Answer(status, encoded(body), headers or {}).response()


@lru_cache(maxsize=256)  # every answer names the stream time of a partition
def rfc3339(time_ms: int) -> str:
    """Returns a time as text in UTC.

    >>> rfc3339(1_700_000_000_123)
    '2023-11-14T22:13:20.123Z'
    """
    seconds, ms = divmod(min(max(time_ms, 0), _MAX_MS), 1000)
    return f"{datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()}.{ms:03d}Z"
