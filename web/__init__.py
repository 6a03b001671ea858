"""The HTTP interface: Faust web views over a worker's state and read model. One file a resource, views stay thin.

    recommendations, popular, items, users     queries            recommend_service, item_stats, user_state   answers
    events, ingest                             events to Kafka    routing, forward                            one hop
    health, metrics, docs, openapi             operation          params, errors, schemas, encoding           the form
    server, limits                             clients

`register` adds the routes to a Faust app, `application_options` goes into its settings before.
"""

from __future__ import annotations

from typing import Any

from web.admin import Reindex
from web.catalogue import Items, OneItem
from web.docs import Docs, Index, OpenApi
from web.events import Events
from web.forward import Forwarder
from web.health import HealthReport, Livez, Readyz
from web.items import InternalStats, SimilarItems, Stats
from web.metrics import Metrics
from web.middlewares import errors_in_our_form, measured
from web.models import RankingModels
from web.openapi import document
from web.popular import PopularItems
from web.recommendations import Recommend, RecommendationsForSession, RecommendationsForUser
from web.server import AnswerNow, Runner, TakeNow
from web.services import Services
from web.user_attributes import UserAttributesView
from web.users import Recent
from web.view import JsonView, bound

__all__ = ["VIEWS", "Services", "application_options", "register"]

MAX_BODY_BYTES = 1_048_576

VIEWS: tuple[type[JsonView], ...] = (
    Index,
    Events,
    RecommendationsForUser,
    Recommend,
    RecommendationsForSession,
    PopularItems,
    Items,
    OneItem,
    SimilarItems,
    Stats,
    InternalStats,
    Recent,
    UserAttributesView,
    RankingModels,
    Reindex,
    Livez,
    Readyz,
    HealthReport,
    Metrics,
    OpenApi,
    Docs,
)


def application_options(services: Services) -> dict[str, Any]:
    """Returns what Faust's `web_application_options` must hold: middlewares and the body limit.

    Bodies above 1 MiB get 413, unless the settings allow a single event to be larger than that.
    """
    limit = max(MAX_BODY_BYTES, services.settings.event_max_bytes)
    return {"middlewares": [measured, errors_in_our_form, services.limits.middleware()], "client_max_size": limit}


def register(app: Any, services: Services) -> None:
    """Adds every route to the Faust app; call it once, before the worker starts.

    Connections to other workers are closed when the app's web server stops.
    """
    forwarder = Forwarder()
    described = {"document": document(VIEWS)}
    answers: dict[str, AnswerNow] = {}
    takes: dict[str, TakeNow] = {}
    for view in VIEWS:
        owned = bound(view, services, forwarder)
        if issubclass(view, OpenApi | Docs):
            owned = type(view.__name__, (owned,), described)
        made = app.web.add_view(owned)
        if isinstance(made, RecommendationsForUser):
            answers[made.view_path] = made.answer_now
        elif isinstance(made, Events):
            takes[made.view_path] = made.take_now

    async def close(_: Any) -> None:
        await forwarder.close()

    app.web.web_app.on_cleanup.append(close)
    app.web._runner = Runner(app.web.web_app, answers, takes)
