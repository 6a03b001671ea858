"""GET /metrics: the figures of this worker for Prometheus."""

from __future__ import annotations

from typing import ClassVar

from aiohttp import web

from reco_stream import metrics
from reco_stream.engine.turns import Slices
from web.view import JsonView, Operation


class Metrics(JsonView):
    """Prometheus metrics."""

    view_path = "/metrics"
    operations: ClassVar = {
        "GET": Operation(
            "Show the metrics of this worker",
            {200: "text/plain"},
            description="Figures of this worker only, in the Prometheus text format; let it scrape every worker.",
        )
    }

    def __post_init__(self) -> None:
        self._shown: frozenset[int] = frozenset()

    async def get(self, request: web.Request) -> web.Response:
        # Lag and offsets are read when they are asked for: right to the millisecond and free while nobody looks.
        owned = self.services.state.owned()
        for partition in self._shown - owned:
            metrics.partition_lost(partition)
        self._shown = owned
        for partition in owned:
            lag = self.services.state.lag(partition)
            metrics.lag_measured(partition, lag.end_offset, lag.applied, lag.records, lag.seconds)
        families: list[bytes] = []
        slices = Slices()
        for family in metrics.exposition():
            families.append(family)
            if slices.is_over:
                await slices.next()
        return web.Response(body=b"".join(families), headers={"Content-Type": metrics.CONTENT_TYPE})
