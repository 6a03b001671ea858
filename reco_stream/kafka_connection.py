"""What aiokafka's connections lack: an error that says so when one breaks on uvloop, and an end when nobody has one.

asyncio's transport says nothing or raises OSError when it is written to after the broker has closed it. uvloop's
raises RuntimeError, which aiokafka 0.14 does not expect: the task that coordinates a consumer with its group dies of
it, and the worker never joins again.

A client asks for its first metadata over a connection that it keeps nowhere (aiokafka/client.py:190 `bootstrap`).
When its start is cancelled meanwhile, as a rebalance does with a recovery, nobody can close that connection: it stays
open until the garbage collector finds it, with "Unclosed AIOKafkaConnection" in the log (like aiokafka's issue 715).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send = AIOKafkaConnection.send


def _send_or_close(self: Any, request: Any, expect_response: bool = True) -> Any:
    """Extends aiokafka/conn.py:408 `AIOKafkaConnection.send`."""
    try:
        sent = _send(self, request, expect_response)
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error
    # Nobody wants to hear of the end of a connection that is in no client's hands.
    return sent if self._on_close_cb is not None else _closed_when_cancelled(self, sent)


async def _closed_when_cancelled(connection: Any, sent: Awaitable[Any]) -> Any:
    try:
        return await sent
    except asyncio.CancelledError:
        connection.close()
        raise


def mend_connections() -> None:
    """Makes every aiokafka connection of this process behave so; a second call changes nothing."""
    AIOKafkaConnection.send = _send_or_close
