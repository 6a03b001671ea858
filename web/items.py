"""Items: what is similar to one, and its exact figures."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import ClassVar

from aiohttp import web
from msgspec import UNSET

from reco_stream.domain.fusion import fuse_ranks
from reco_stream.domain.ranker import CoViewed
from web.encoding import json_response, rfc3339
from web.errors import ApiError
from web.item_stats import item_stats, local_shares
from web.params import AT_MS, COUNT, ITEM_ID, PARTIAL, PARTITIONS, check_id
from web.routing import require_read_models
from web.schemas import ErrorBody, ItemStats, PartitionStatsList, Similar, SimilarItem
from web.services import Services
from web.user_state import read_model_lag, time_text
from web.view import JsonView, Operation


class SimilarItems(JsonView):
    """Items seen in the same sessions."""

    view_path = "/items/{item_id}/similar"
    operations: ClassVar = {
        "GET": Operation(
            "List the items that people saw in the same sessions, and those like it in content",
            {200: Similar, 404: ErrorBody},
            query=(COUNT,),
            path=(ITEM_ID,),
            description="From the read model of the worker asked, a fraction of a second behind. An item without "
            "events has those of like content. 404 for one that has no events and is not in the catalogue.",
            examples=("curl -s 'localhost:6066/items/i1/similar?count=5'",),
        )
    }

    async def get(self, request: web.Request, item_id: str) -> web.Response:
        item = check_id("item_id", item_id)
        count = COUNT.read(request.query)
        require_read_models(self.services)
        answer = similar(self.services, item, count)
        answer.read_model_lag_seconds = read_model_lag(self.services)
        return json_response(answer)


def similar(services: Services, item: str, count: int) -> Similar:
    """Returns the items nearest by behaviour and content; raises `ApiError` 404 for an item that nobody knows."""
    near = services.items.neighbours(item, services.now_ms(), count)
    withheld = services.catalogue.withheld if services.catalogue is not None else frozenset()
    near = [n for n in near if n.item not in withheld]
    like = _alike(services, item, count, withheld)
    if not near and not like and not _is_known(services, item):
        wanted = "an item with events, or one of the catalogue"
        raise ApiError(404, "unknown_item", f"item_id {item!a} is unknown, wanted: {wanted}", "item_id")
    items = _fused(services, near, like)[:count] if like else _by_sessions(services, near)
    return Similar(item, items, time_text(services.items.stream_time_ms), services.title_of(item) or UNSET)


def _is_known(services: Services, item: str) -> bool:
    return services.items.popularity(item) is not None or item in (services.catalogue or ())


def _alike(services: Services, item: str, count: int, withheld: Set[str]) -> list[str]:
    """Returns the items whose content is nearest."""
    if services.content is None or not services.content.ready:
        return []
    found = services.content.near([(item, 1.0)], count, lambda other: other != item and other not in withheld)
    return [near.item for near in found]


def _by_sessions(services: Services, near: Sequence[CoViewed]) -> list[SimilarItem]:
    top = max((n.weight for n in near), default=0.0) or 1.0
    return [_similar_item(services, n.item, n.weight / top, n) for n in near]


def _fused(services: Services, near: Sequence[CoViewed], like: Sequence[str]) -> list[SimilarItem]:
    """Returns both lists as one, by reciprocal ranks; an item of both comes before one of either."""
    seen = {n.item: n for n in near}
    fused = fuse_ranks([list(seen), like])
    top = fused[0][1]
    found = []
    for other, score in fused:
        entry = _similar_item(services, other, score / top, seen.get(other))
        entry.source = "content" if other not in seen else "both" if other in like else "behaviour"
        found.append(entry)
    return found


def _similar_item(services: Services, item: str, score: float, seen: CoViewed | None) -> SimilarItem:
    return SimilarItem(
        item_id=item,
        score=round(score, 6),
        weight=round(seen.weight, 6) if seen is not None else 0.0,
        last_seen=rfc3339(seen.last_ms) if seen is not None else None,
        title=services.title_of(item) or UNSET,
    )


class Stats(JsonView):
    """Exact figures of an item over all partitions."""

    view_path = "/items/{item_id}/stats"
    operations: ClassVar = {
        "GET": Operation(
            "Count the events of an item, exactly",
            {200: ItemStats, 503: ErrorBody},
            query=(PARTIAL,),
            path=(ITEM_ID,),
            description="Asked from the owners of all partitions; `applied` says which offset of each the figures "
            "contain. An item without events has zeros. 503 when an owner does not answer, unless `partial`, which "
            "then names the missing partitions.",
            examples=("curl -s 'localhost:6066/items/i1/stats'",),
        )
    }

    async def get(self, request: web.Request, item_id: str) -> web.Response:
        item = check_id("item_id", item_id)
        partial = PARTIAL.read(request.query)
        return json_response(await item_stats(self.services, self.forwarder, item, partial))


class InternalStats(JsonView):
    """Shares of this worker's partitions, asked by other workers."""

    view_path = "/internal/items/{item_id}/stats"
    operations: ClassVar = {
        "GET": Operation(
            "Count the events of an item in partitions of this worker",
            {200: PartitionStatsList},
            query=(PARTITIONS, AT_MS),
            path=(ITEM_ID,),
            description="For other workers: what /items/{item_id}/stats adds up.",
            internal=True,
        )
    }

    async def get(self, request: web.Request, item_id: str) -> web.Response:
        item = check_id("item_id", item_id)
        partitions = PARTITIONS.read(request.query, self.services.state.partitions)
        at_ms = AT_MS.read(request.query) or self.services.now_ms()
        return json_response(local_shares(self.services, item, partitions, at_ms))
