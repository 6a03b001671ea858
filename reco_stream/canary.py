"""The canary: how long until an event is seen in answers, measured from outside, over HTTP, again and again.

A round takes two items that were not seen together before.

    other   a user views both in one session; until somebody who looks at the first is recommended the second
    own     then another user views the first; until that user is recommended the second
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from reco_stream import metrics
from reco_stream.domain.canary_ids import item_id, pair_of, user_id

log = logging.getLogger(__name__)

POLL_S = 0.005
GIVE_UP_S = 20.0
_COUNT = 50


class CanaryFailed(Exception):
    """A round could not be measured: a worker refused, or nothing was seen in time."""


@dataclass(frozen=True)
class Round:
    """Seconds from sending an event to seeing it in answers: those of another user, and those of its own."""

    other_s: float
    own_s: float


class Canary:
    """Measures one worker at `url`; `worker` is part of its ids, so that two workers never use the same ones."""

    def __init__(self, url: str, worker: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._worker = worker
        self._session = session

    async def round(self, number: int) -> Round:
        """Measures once. Raises CanaryFailed; rounds of the same number measure nothing new."""
        first, second = (item_id(self._worker, item) for item in pair_of(number))
        one, other = user_id(self._worker, 2 * number), user_id(self._worker, 2 * number + 1)
        visit = f"{number:x}"
        began = time.perf_counter()
        await self._send([_view(one, first, visit), _view(one, second, visit)])
        question = {"items": [first], "count": _COUNT, "ranker": "blend"}
        other_s = await self._until(second, "POST", "/recommendations/session", began, json=question)
        began = time.perf_counter()
        await self._send([_view(other, first, visit)])
        query = {"user_id": other, "count": str(_COUNT), "ranker": "blend", "exclude_seen": "1"}
        own_s = await self._until(second, "GET", "/recommendations", began, params=query)
        return Round(other_s, own_s)

    async def _send(self, events: list[Mapping[str, str]]) -> None:
        answer = await self._ask("POST", "/events", json=events)
        if answer.get("accepted") != len(events):
            raise CanaryFailed(f"{self._url} accepted {answer.get('accepted')} of {len(events)} events")

    async def _until(self, item: str, method: str, path: str, began: float, **request: Any) -> float:
        """Asks until `item` is recommended; returns the seconds since `began`."""
        while (passed_s := time.perf_counter() - began) < GIVE_UP_S:
            answer = await self._ask(method, path, **request)
            if any(found["item_id"] == item for found in answer["recommendations"]):
                return time.perf_counter() - began
            await asyncio.sleep(POLL_S)
        raise CanaryFailed(f"{self._url}{path}: {item} was not recommended within {passed_s:.1f} s")

    async def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            async with self._session.request(method, f"{self._url}{path}", **request) as answer:
                if answer.status >= 300:
                    raise CanaryFailed(f"{self._url}{path}: status {answer.status}: {await answer.text()}")
                body: dict[str, Any] = await answer.json()
                return body
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CanaryFailed(f"{self._url}{path}: {error!r}") from error


def _view(user: str, item: str, visit: str) -> Mapping[str, str]:
    return {"user_id": user, "item_id": item, "event_type": "view", "session_id": visit}


async def run_forever(url: str, worker: str, interval_s: float) -> None:
    """Measures every `interval_s` seconds into `reco_freshness_seconds`; what fails is logged and tried again."""
    timeout = aiohttp.ClientTimeout(total=5.0)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        canary = Canary(url, worker, session)
        while True:
            await asyncio.sleep(interval_s)
            try:
                found = await canary.round(int(time.time() // interval_s))
            except CanaryFailed as error:
                metrics.canary_failures.inc()
                log.warning("canary: %s", error)
                continue
            metrics.freshness.labels("other").observe(found.other_s)
            metrics.freshness.labels("own").observe(found.own_s)


async def measure(url: str, worker: str, rounds: int, pause_s: float) -> list[Round]:
    """Returns `rounds` rounds, one after the other. Raises CanaryFailed."""
    timeout = aiohttp.ClientTimeout(total=5.0)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        canary = Canary(url, worker, session)
        first = int(time.time())
        found: list[Round] = []
        for number in range(first, first + rounds):
            found.append(await canary.round(number))
            await asyncio.sleep(pause_s)
        return found
