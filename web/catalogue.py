"""The catalogue over HTTP: POST /items, GET /items, and GET, PATCH, DELETE of one."""

from __future__ import annotations

from typing import Annotated, ClassVar

from aiohttp import web
from msgspec import Meta

from reco_stream.catalogue.incoming import BadItem, ItemFields, NewItem
from reco_stream.catalogue.writer import WritesUnavailable
from web.auth import require_admin
from web.encoding import json_response, rfc3339
from web.errors import ApiError, unavailable
from web.item_schemas import Deleted, ItemBody, ItemPage, ItemsAnswer, ItemsRefused, body_of
from web.item_writes import MAX_BODY_BYTES, MAX_ITEMS, read_change, split_items, submit
from web.params import CATEGORY, ITEM_ID, IntParam, TextParam, check_id
from web.schemas import ErrorBody, ErrorDetail
from web.services import Services
from web.view import JsonView, Operation

LIMIT = IntParam("limit", 100, 1, 1000, "how many items")
CURSOR = TextParam("cursor", "where the page before ended")
_DURABLE = "A change is honoured by every worker within a second."
EXAMPLE = """curl -s localhost:6066/items -d '{"item_id": "i1", "title": "Blue lamp", "price": 19.5, "stock": 3}'"""


class Items(JsonView):
    """All items."""

    view_path = "/items"
    operations: ClassVar = {
        "GET": Operation(
            "List the catalogue",
            {200: ItemPage},
            query=(CATEGORY, CURSOR, LIMIT),
            description="By item_id; send the `cursor` of an answer for the page after it. From the worker's own copy.",
            examples=("curl -s 'localhost:6066/items?category=garden&limit=10'",),
        ),
        "POST": Operation(
            "Add or replace one item, or an array of up to 1,000",
            {200: ItemsAnswer, 401: ErrorBody, 422: ItemsRefused, 503: ErrorBody},
            body=NewItem | Annotated[list[NewItem], Meta(min_length=1, max_length=MAX_ITEMS)],
            description=f"Every item replaces the one with its id as a whole; bad ones are told, the rest goes "
            f"through. 200 when at least one was accepted, 422 when none was. {_DURABLE}",
            examples=(EXAMPLE,),
        ),
    }

    async def get(self, request: web.Request) -> web.Response:
        query = request.query
        category, limit = CATEGORY.read(query), LIMIT.read(query)
        found = await self.services.item_writer.page(CURSOR.read(query) or "", category, limit)
        cursor = found[-1].item_id if len(found) == limit else None
        return json_response(ItemPage([body_of(item) for item in found], cursor))

    async def post(self, request: web.Request) -> web.Response:
        require_admin(self.services, request)
        texts = split_items(await request.clone(client_max_size=MAX_BODY_BYTES).read())
        try:
            answer = await submit(self.services.item_writer, texts, updated_at(self.services))
        except WritesUnavailable as error:
            raise unavailable(error.code, str(error)) from error
        if answer.accepted:
            return json_response(answer, 200)
        return json_response(_refused(answer), 422)


class OneItem(JsonView):
    """One item."""

    view_path = "/items/{item_id}"
    operations: ClassVar = {
        "GET": Operation(
            "Show an item of the catalogue",
            {200: ItemBody, 404: ErrorBody},
            path=(ITEM_ID,),
            description="As it was last written. While the database is away, as this worker last heard of it.",
            examples=("curl -s localhost:6066/items/i1",),
        ),
        "PATCH": Operation(
            "Change some fields of an item",
            {200: ItemBody, 401: ErrorBody, 404: ErrorBody, 503: ErrorBody},
            path=(ITEM_ID,),
            body=ItemFields,
            description=f"Fields that are not named stay; null empties one. {_DURABLE}",
            examples=("""curl -s localhost:6066/items/i1 -X PATCH -d '{"stock": 0}'""",),
        ),
        "DELETE": Operation(
            "Remove an item from the catalogue",
            {200: Deleted, 401: ErrorBody, 404: ErrorBody, 503: ErrorBody},
            path=(ITEM_ID,),
            description=f"It is not recommended any more. {_DURABLE}",
            examples=("curl -s localhost:6066/items/i1 -X DELETE",),
        ),
    }

    async def get(self, request: web.Request, item_id: str) -> web.Response:
        item = await self.services.item_writer.get(_checked(item_id))
        if item is None:
            raise _unknown(item_id)
        return json_response(body_of(item))

    async def patch(self, request: web.Request, item_id: str) -> web.Response:
        require_admin(self.services, request)
        change = read_change(await request.read())
        try:
            item = await self.services.item_writer.patch(_checked(item_id), change, updated_at(self.services))
        except BadItem as error:
            raise ApiError(422, "bad_item", str(error), error.field) from None
        except WritesUnavailable as error:
            raise unavailable(error.code, str(error)) from error
        if item is None:
            raise _unknown(item_id)
        return json_response(body_of(item))

    async def delete(self, request: web.Request, item_id: str) -> web.Response:
        require_admin(self.services, request)
        try:
            gone = await self.services.item_writer.delete(_checked(item_id))
        except WritesUnavailable as error:
            raise unavailable(error.code, str(error)) from error
        if not gone:
            raise _unknown(item_id)
        return json_response(Deleted(item_id, "deleted"))


def updated_at(services: Services) -> str:
    """Returns the time of a change: of the worker's clock, whatever queries take for now."""
    return rfc3339(services.clock())


def _checked(item_id: str) -> str:
    found = check_id("item_id", item_id)
    if "\0" in found:
        raise ApiError(400, "bad_parameter", "item_id holds a NUL character, wanted: none", "item_id")
    return found


def _unknown(item_id: str) -> ApiError:
    return ApiError(404, "unknown_item", f"item_id {item_id!a} is not in the catalogue", "item_id")


def _refused(answer: ItemsAnswer) -> ItemsRefused:
    first = answer.results[0].error
    assert isinstance(first, ErrorDetail)
    many = f"all {answer.rejected} items are bad, the first: " if answer.rejected > 1 else ""
    error = ErrorDetail("bad_items", f"{many}{first.message}", first.field)
    return ItemsRefused(error, 0, answer.rejected, answer.results)
