"""GET, PUT and DELETE /users/{user_id}/attributes: what is known of a user beside the events, kept in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from aiohttp import web

from reco_stream.catalogue.incoming import BadItem, checked_properties
from reco_stream.catalogue.writer import WritesUnavailable
from web.auth import require_admin
from web.encoding import json_response
from web.errors import ApiError, unavailable
from web.item_writes import read_change
from web.params import USER_ID, check_id
from web.schemas import ErrorBody, UserAttributesBody
from web.services import AttributesLike
from web.view import JsonView, Operation

_ANSWERS = {200: UserAttributesBody, 401: ErrorBody, 404: ErrorBody, 503: ErrorBody}


class UserAttributesView(JsonView):
    """Attributes of one user."""

    view_path = "/users/{user_id}/attributes"
    operations: ClassVar = {
        "GET": Operation(
            "Show the attributes of a user",
            _ANSWERS,
            path=(USER_ID,),
            description="Empty for a user that nobody told anything of. 404 where the worker has no database.",
            examples=("curl -s localhost:6066/users/u1/attributes",),
        ),
        "PUT": Operation(
            "Replace the attributes of a user",
            {**_ANSWERS, 422: ErrorBody},
            path=(USER_ID,),
            body=dict[str, Any],
            description="Any JSON object of up to 16 kB.",
            examples=("""curl -s localhost:6066/users/u1/attributes -X PUT -d '{"segment": "gold"}'""",),
        ),
        "DELETE": Operation(
            "Forget the attributes of a user",
            _ANSWERS,
            path=(USER_ID,),
            description="Events of the user are another matter: they stay.",
            examples=("curl -s localhost:6066/users/u1/attributes -X DELETE",),
        ),
    }

    async def get(self, request: web.Request, user_id: str) -> web.Response:
        async with self._store(request) as store:
            return json_response(UserAttributesBody(user_id, await store.get(_checked(user_id))))

    async def put(self, request: web.Request, user_id: str) -> web.Response:
        async with self._store(request) as store:
            try:
                attributes = checked_properties(read_change(await request.read()))
            except BadItem as error:
                raise ApiError(422, "bad_body", str(error)) from None
            await store.put(_checked(user_id), attributes)
            return json_response(UserAttributesBody(user_id, attributes))

    async def delete(self, request: web.Request, user_id: str) -> web.Response:
        async with self._store(request) as store:
            await store.delete(_checked(user_id))
            return json_response(UserAttributesBody(user_id, {}))

    @asynccontextmanager
    async def _store(self, request: web.Request) -> AsyncIterator[AttributesLike]:
        """The store, for those who may: all of this is about persons."""
        require_admin(self.services, request)
        if self.services.attributes is None:
            raise ApiError(404, "not_found", "this worker has no database, wanted: RECO_DATABASE_URL")
        try:
            yield self.services.attributes
        except WritesUnavailable as error:
            raise unavailable(error.code, str(error)) from error


def _checked(user_id: str) -> str:
    found = check_id("user_id", user_id)
    if "\0" in found:
        raise ApiError(400, "bad_parameter", "user_id holds a NUL character, wanted: none", "user_id")
    return found
