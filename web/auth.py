"""Who may write: the bearer of RECO_ADMIN_TOKEN. Without a token nobody but the machine itself can reach the worker."""

from __future__ import annotations

import hmac

from aiohttp import web

from web.errors import ApiError
from web.services import Services

_SCHEME = "Bearer "


def require_admin(services: Services, request: web.Request) -> None:
    """Raises `ApiError` 401 without the token, 403 for a browser when there is no token to ask for.

    A page of any site can make a browser send a request to the loopback; such a request names its origin.
    """
    token = services.settings.admin_token
    if token is None:
        if "Origin" in request.headers:
            raise ApiError(403, "forbidden", "browsers may write only with a token; start the worker with one")
        return
    given = request.headers.get("Authorization", "")
    found = given[len(_SCHEME) :] if given.startswith(_SCHEME) else ""
    # Bytes, because compare_digest takes ASCII text only; in constant time, whatever the length of the common start.
    if not hmac.compare_digest(found.encode(errors="surrogateescape"), token.get_secret_value().encode()):
        message = "the token is missing or wrong, wanted: Authorization: Bearer and RECO_ADMIN_TOKEN of the worker"
        raise ApiError(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})
