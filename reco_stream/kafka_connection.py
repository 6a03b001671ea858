"""aiokafka's connection on uvloop: writing to a connection that the broker has just closed is a broken connection.

asyncio's transport then says nothing or raises OSError. uvloop's raises RuntimeError, which aiokafka 0.14 does not
expect: the task that coordinates a consumer with its group dies of it, and the worker never joins again.
"""

from __future__ import annotations

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send = AIOKafkaConnection.send


def _send_or_close(self: Any, request: Any, expect_response: bool = True) -> Any:
    """Extends aiokafka/conn.py:408 `AIOKafkaConnection.send`."""
    try:
        return _send(self, request, expect_response)
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error


def mend_connections() -> None:
    """Makes every aiokafka connection of this process say so when it is broken; a second call changes nothing."""
    AIOKafkaConnection.send = _send_or_close
