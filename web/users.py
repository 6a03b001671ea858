"""GET /users/{user_id}/recent: what the owner of the user's partition knows."""

from __future__ import annotations

from typing import ClassVar

from aiohttp import web
from msgspec import UNSET

from tables.recent import newest_first
from web.encoding import json_response, rfc3339
from web.errors import unavailable
from web.params import USER_ID, check_id
from web.routing import ask_owner
from web.schemas import ErrorBody, RecentItems, TouchedItem
from web.services import Services
from web.user_state import as_of, freshness, recent_row
from web.view import JsonView, Operation


class Recent(JsonView):
    """Recent items of a user."""

    view_path = "/users/{user_id}/recent"
    operations: ClassVar = {
        "GET": Operation(
            "List what a user touched lately",
            {200: RecentItems, 503: ErrorBody},
            path=(USER_ID,),
            description="Newest first, one entry an item; a user without events has an empty list. Any worker "
            "answers, by asking the owner of the user's partition. When that one does not answer, a copy does "
            "(`stale`, source `standby`); 503 when there is none: an empty list would be wrong.",
            examples=("curl -s localhost:6066/users/u1/recent",),
        )
    }

    async def get(self, request: web.Request, user_id: str) -> web.Response:
        user = check_id("user_id", user_id)
        partition = self.services.state.partition_of(user)
        if self.services.state.is_running(partition):
            return json_response(recent(self.services, user))
        reply = await ask_owner(self.services, self.forwarder, request, user)
        if reply is not None:
            return reply.response()
        if not self.services.state.is_readable(partition):
            raise unavailable(
                "owner_unavailable",
                f"the owner of partition {partition}, where user_id {user!a} lives, did not answer; try again",
            )
        copied = recent(self.services, user)
        copied.source, copied.stale = "standby", True
        return json_response(copied)


def recent(services: Services, user: str) -> RecentItems:
    """Returns the user's items as last checkpointed; only for users of a partition that is running here."""
    row = recent_row(services, user)
    partition = services.state.partition_of(user)
    items = [
        TouchedItem(entry.item, entry.type, rfc3339(entry.time_ms), services.title_of(entry.item) or UNSET)
        for entry in (newest_first(row) if row is not None else ())
    ]
    hidden = sorted(row.excluded) if row is not None else []
    return RecentItems(user, items, hidden, as_of(services, partition), "owner", freshness(services, partition))
