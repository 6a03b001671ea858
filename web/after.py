"""Read your own write: wait until the state contains the events of a token, as POST /events returned it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from web.errors import ApiError
from web.params import shown
from web.services import Services

# An event is applied 10 to 60 ms after its 202; who waits longer meets a rebalance, and is told.
WAIT_S = 1.0
POLL_S = 0.005
_PART = r"[0-9]{1,9}:[0-9]{1,18}"
_TOKEN = re.compile(rf"{_PART}(,{_PART})*")

Token = dict[int, int]


@dataclass(frozen=True)
class TokenParam:
    """Where Kafka put events: partition:offset, several separated by commas."""

    name: str
    description: str
    required: bool = False

    def read(self, query: Mapping[str, str]) -> Token | None:
        """Returns the highest offset by partition, None when it is missing; raises `ApiError` for anything else."""
        found = query.get(self.name)
        if found is None:
            return None
        if not (found.isascii() and _TOKEN.fullmatch(found)):
            wanted = "a token of POST /events, such as 3:120"
            raise ApiError(400, "bad_parameter", f"{self.name} is {shown(found)}, wanted: {wanted}", self.name)
        token: Token = {}
        for part in found.split(","):
            partition, offset = map(int, part.split(":"))
            token[partition] = max(offset, token.get(partition, -1))
        return token

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_TOKEN.pattern}$"}


AFTER = TokenParam("after", f"wait up to {WAIT_S:g} s until the events of this token of POST /events are applied")


def make_token(positions: Token) -> str | None:
    """Returns the text of a token; None for no events at all.

    >>> make_token({3: 120, 0: 7})
    '0:7,3:120'
    """
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(positions.items())) or None


def is_applied(services: Services, partition: int, token: Token) -> bool:
    """Says whether what can be read here contains the token's events of this partition; True when it names none."""
    wanted = token.get(partition, -1)
    if wanted < 0:
        return True
    return services.state.is_readable(partition) and services.state.marker(partition).applied >= wanted


async def wait_applied(services: Services, partition: int, token: Token) -> None:
    """Returns when the events are applied here, or after `WAIT_S`, or when the partition moves away."""
    try:
        async with asyncio.timeout(WAIT_S):
            while services.state.is_running(partition) and not is_applied(services, partition, token):
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return
