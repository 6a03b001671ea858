"""POST /admin/reindex: the content index made anew, and how far that is."""

from __future__ import annotations

from typing import ClassVar

from aiohttp import web

from web.auth import require_admin
from web.encoding import json_response
from web.errors import ApiError
from web.health import content_health
from web.schemas import ContentHealth, ErrorBody
from web.services import ContentLike
from web.view import JsonView, Operation


class Reindex(JsonView):
    """The content index of this worker."""

    view_path = "/admin/reindex"
    operations: ClassVar = {
        "POST": Operation(
            "Fit the encoder and build the content index anew",
            {202: ContentHealth, 401: ErrorBody, 404: ErrorBody},
            description="On the worker asked; the old index serves until the new one is complete. 404 where "
            "RECO_CONTENT is off. The GET of the same path says how far it is.",
            examples=("curl -s localhost:6066/admin/reindex -X POST",),
        ),
        "GET": Operation(
            "Say how far the content index is",
            {200: ContentHealth, 401: ErrorBody, 404: ErrorBody},
            description="`stage` is waiting, fitting, encoding, indexing or idle.",
            examples=("curl -s localhost:6066/admin/reindex",),
        ),
    }

    async def post(self, request: web.Request) -> web.Response:
        require_admin(self.services, request)
        content = self._content()
        content.reindex()
        return json_response(content_health(content), 202)

    async def get(self, request: web.Request) -> web.Response:
        require_admin(self.services, request)
        return json_response(content_health(self._content()))

    def _content(self) -> ContentLike:
        if self.services.content is None:
            raise ApiError(404, "not_found", "this worker keeps no content, wanted: RECO_CONTENT=hashed or minilm")
        return self.services.content
