"""GET /popular: the items with the highest score in a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from aiohttp import web
from msgspec import UNSET

from reco_stream.catalogue.selection import SMALL
from web.encoding import json_response
from web.errors import ApiError
from web.params import CATEGORY, COUNT, WINDOW
from web.routing import require_read_models
from web.schemas import ErrorBody, Popular, ScoredItem
from web.services import Services
from web.user_state import read_model_lag, time_text
from web.view import JsonView, Operation


class PopularItems(JsonView):
    """Popular items."""

    view_path = "/popular"
    operations: ClassVar = {
        "GET": Operation(
            "List popular items",
            {200: Popular, 404: ErrorBody, 503: ErrorBody},
            query=(CATEGORY, WINDOW, COUNT),
            description="Over all partitions, from the read model of the worker asked, about a second behind. The "
            "score is the sum of the weights of the events in the window. 404 for a category that no item of the "
            "catalogue has.",
            examples=("curl -s 'localhost:6066/popular?window=24h&count=5'",),
        )
    }

    async def get(self, request: web.Request) -> web.Response:
        query = request.query
        return json_response(
            popular(self.services, CATEGORY.read(query), WINDOW.read(query), COUNT.read(query)),
        )


def popular(services: Services, category: str | None, window: str, count: int) -> Popular:
    """Returns the top of the window; raises `ApiError` 404 for a category that no item has."""
    require_read_models(services)
    items = [
        ScoredItem(item, round(score, 6), services.title_of(item) or UNSET)
        for item, score in _listed(services, category, window, count)
    ]
    known_until = time_text(services.items.stream_time_ms)
    return Popular(window, category, items, known_until, read_model_lag(services))


def _listed(services: Services, category: str | None, window: str, count: int) -> Sequence[tuple[str, float]]:
    catalogue, now_ms, popular = services.catalogue, services.now_ms(), services.items.popular
    withheld = catalogue.withheld if catalogue is not None else frozenset()
    if category is None:
        # Withheld items may be many: to ask for so many more and leave them out would be slow.
        accept = (lambda item: item not in withheld) if withheld else None
        return popular(window, now_ms, count, frozenset(), accept)
    if catalogue is None or not catalogue.has_category(category):
        topic = services.settings.topic("items")
        message = f"category is {category!a}, wanted: one that an item of the topic {topic} has"
        raise ApiError(404, "unknown_category", message, "category")
    members = catalogue.members(category)
    if len(members) > SMALL:
        return popular(window, now_ms, count, frozenset(), lambda item: item in members and item not in withheld)
    return services.items.popular_among(members - withheld, window, now_ms, count)
