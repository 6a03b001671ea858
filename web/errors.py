"""Errors of the HTTP interface: one form, `{"error": {"code", "message", "field"}}`, for everything that is refused.

ApiError
    codes of 400  bad_parameter, bad_rules, missing_parameter, not_json, bad_request
             401  unauthorized
             403  forbidden
             404  not_found, unknown_scenario, unknown_item, unknown_user
             405  method_not_allowed
             408  too_slow
             413  too_large
             422  bad_body, bad_events, bad_item, bad_items
             500  internal
             503  kafka_unavailable, database_unavailable, overloaded, owner_unavailable, not_ready
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from web.encoding import json_response
from web.schemas import ErrorBody, ErrorDetail

RETRY_AFTER_S = 1


class ApiError(Exception):
    """A request that is answered with an error: `message` says what was found and what is wanted."""

    def __init__(
        self, status: int, code: str, message: str, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """Returns the answer to send."""
        body = ErrorBody(ErrorDetail(self.code, self.message, self.field))
        return json_response(body, self.status, self.headers)


def unavailable(code: str, message: str) -> ApiError:
    """Returns a 503 that tells the client when to come back."""
    return ApiError(503, code, message, headers={"Retry-After": str(RETRY_AFTER_S)})


def from_http_exception(error: web.HTTPException, request: web.Request) -> ApiError:
    """Returns the server's own refusals (no such route, wrong method, body too large) in our form."""
    if error.status == 404:
        return ApiError(404, "not_found", f"there is nothing at {request.path}; /docs lists the routes")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"{request.method} is not allowed at {request.path}, wanted: {allowed}"
        return ApiError(405, "method_not_allowed", message, headers={"Allow": allowed})
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return ApiError(413, "too_large", f"the body is too large, wanted: at most {request.client_max_size} bytes")
    return ApiError(error.status, "http_error", error.reason or f"status {error.status}")
