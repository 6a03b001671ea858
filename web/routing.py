"""Who answers for a user: this worker when it runs the user's partition, else the owner, else nobody."""

from __future__ import annotations

from aiohttp import web

from web.errors import unavailable
from web.forward import Forwarder, Reply, was_forwarded
from web.services import Services


def require_read_models(services: Services) -> None:
    """Raises `ApiError` 503 while the read models are being read: until then an answer would leave items out."""
    if not services.state.read_models_ready:
        raise unavailable("not_ready", "this worker has not read the published items yet; ask another, or again later")


async def ask_owner(
    services: Services, forwarder: Forwarder, request: web.Request, user: str, waits_s: float = 0.0
) -> Reply | None:
    """Returns the owner's reply; None when there is nobody to ask, or the owner failed or is not ready (any 5xx).

    Call it only when the partition is not running here.
    """
    if was_forwarded(request):
        return None
    owner_url = services.state.owner_url(services.state.partition_of(user))
    if owner_url is None or owner_url == services.state.url:
        return None
    reply = await forwarder.forward(request, owner_url, waits_s)
    return None if reply is None or reply.status >= 500 else reply
