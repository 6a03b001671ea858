"""Health: is the process alive, is it ready for queries, and does everything that it needs answer."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from aiohttp import web

from web.encoding import json_response
from web.errors import unavailable
from web.schemas import Alive, CatalogueHealth, ContentHealth, Dependency, ErrorBody, Health, PartitionHealth, Ready
from web.services import ContentLike, Probe, Services
from web.view import JsonView, Operation

PROBE_TIMEOUT_S = 1.0


class Livez(JsonView):
    """Liveness."""

    view_path = "/livez"
    operations: ClassVar = {
        "GET": Operation(
            "Say that the process answers",
            {200: Alive},
            description="Restart a worker that does not; it needs nothing else.",
        )
    }

    async def get(self, request: web.Request) -> web.Response:
        return json_response(Alive("alive"))


class Readyz(JsonView):
    """Readiness."""

    view_path = "/readyz"
    operations: ClassVar = {
        "GET": Operation(
            "Say whether the worker is restored and caught up",
            {200: Ready, 503: ErrorBody},
            description="200 once every partition of this worker has applied what was on Kafka when it was assigned, "
            "and the read models have caught up in the same sense.",
        )
    }

    async def get(self, request: web.Request) -> web.Response:
        waiting = self.services.waiting_for()
        if waiting:
            raise unavailable("not_ready", "; ".join(waiting))
        return json_response(Ready("ready", sorted(self.services.state.owned())))


class HealthReport(JsonView):
    """Everything about this worker's health."""

    view_path = "/health"
    operations: ClassVar = {
        "GET": Operation(
            "Report dependencies with their latency, partitions and what is not ready",
            {200: Health, 503: Health},
            description="503 when a dependency failed or did not answer within a second.",
        )
    }

    def __post_init__(self) -> None:
        self._started = time.monotonic()

    async def get(self, request: web.Request) -> web.Response:
        report = await health(self.services, time.monotonic() - self._started)
        return json_response(report, 200 if report.status == "ok" else 503)


async def health(services: Services, uptime_s: float) -> Health:
    """Returns the report; all dependencies are asked at once."""
    names = list(services.probes)
    answers = await asyncio.gather(*(_probe(services.probes[name]) for name in names))
    state = services.state
    return Health(
        status="ok" if all(answer.status == "ok" for answer in answers) else "failed",
        url=state.url,
        app=services.settings.app,
        uptime_s=round(uptime_s, 1),
        not_ready=services.waiting_for(),
        dependencies=dict(zip(names, answers, strict=True)),
        partitions=[_partition(services, partition) for partition in sorted(state.owned())],
        read_model_items=len(services.items),
        catalogue=CatalogueHealth(
            writes=services.item_writer.kind,
            items=len(services.catalogue) if services.catalogue is not None else 0,
            content=content_health(services.content) if services.content is not None else None,
        ),
    )


def content_health(content: ContentLike) -> ContentHealth:
    """Returns how the upkeep of the content goes."""
    return ContentHealth(
        stage=content.stage,
        model=content.model,
        vectors=content.known,
        waiting=content.waiting,
        indexed=content.indexed,
        recall=None if content.recall is None else round(content.recall, 4),
    )


async def _probe(probe: Probe) -> Dependency:
    started = time.perf_counter()
    error = None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await probe()
    except TimeoutError:
        error = f"no answer within {PROBE_TIMEOUT_S:g} s"
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
    latency_ms = round((time.perf_counter() - started) * 1000, 3)
    return Dependency("ok", latency_ms) if error is None else Dependency("failed", latency_ms, error)


def _partition(services: Services, partition: int) -> PartitionHealth:
    lag = services.state.lag(partition)
    return PartitionHealth(
        partition=partition,
        running=services.state.is_running(partition),
        applied=lag.applied,
        end_offset=lag.end_offset,
        lag_records=lag.records,
        lag_seconds=round(lag.seconds, 3),
    )
