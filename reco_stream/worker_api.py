"""The HTTP API of workers on this machine, for commands that start or ask them."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

TIMEOUT_S = 10.0

# Without the proxies of the environment: workers are on this machine.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class ApiError(Exception):
    """A worker did not answer, or not with success. `status` is None when there was no answer at all."""

    def __init__(self, url: str, status: int | None, detail: str) -> None:
        super().__init__(f"{url}: {f'status {status}, ' if status else ''}{detail}")
        self.status = status


def get(base: str, path: str, **query: Any) -> Any:
    """The JSON that a GET answers. Raises ApiError.

    `path` must be quoted already; `query` is quoted here.
    """
    url = f"{base}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    return _ask(urllib.request.Request(url))


def post(base: str, path: str, body: bytes, token: str | None = None) -> Any:
    """The JSON that a POST of JSON answers; with the bearer `token` where there is one. Raises ApiError."""
    headers = {"Content-Type": "application/json"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    return _ask(urllib.request.Request(f"{base}{path}", data=body, headers=headers))


def quoted(text: str) -> str:
    """Text as one part of a path.

    >>> quoted("a/b c")
    'a%2Fb%20c'
    """
    return urllib.parse.quote(text, safe="")


def _ask(request: urllib.request.Request) -> Any:
    try:
        with _open(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise ApiError(request.full_url, error.code, error.read().decode(errors="replace")) from None
    except (OSError, ValueError) as error:
        raise ApiError(request.full_url, None, str(error)) from None
