"""What happens around every request: it is timed and counted by route template, and every error takes our form."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from reco_stream import metrics
from web.errors import ApiError, from_http_exception

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
UNMATCHED = "unmatched"


@web.middleware
async def measured(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Counts and times the request under its route template; paths that no route matches share one label."""
    started = time.perf_counter()
    status = 500
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        metrics.http_answered(request.method, route_template(request), status, time.perf_counter() - started)


@web.middleware
async def errors_in_our_form(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns refusals and defects into `{"error": ...}`; a defect is logged with its trace and told without it."""
    try:
        return await handler(request)
    except ApiError as error:
        return error.response()
    except web.HTTPException as error:
        return from_http_exception(error, request).response()
    except Exception:
        log.exception("%s %s failed", request.method, route_template(request))
        return ApiError(500, "internal", "the worker failed to answer; its log says why").response()


def route_template(request: web.Request) -> str:
    """Returns the path as it was declared, such as /items/{item_id}/stats."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else UNMATCHED
