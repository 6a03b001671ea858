"""The `next` token: which items were shown already, so that more of the same can leave them out. No state is kept.

6 bytes an item: with 500 items shown, one item in 6e11 is left out by mistake.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from web.errors import ApiError

MAX_SHOWN: Final = 500
_BYTES: Final = 6


@lru_cache(maxsize=20_000)  # lists name the same items again and again: 3 MB
def mark(item: str) -> bytes:
    """Returns what the token holds of an item."""
    return blake2b(item.encode(), digest_size=_BYTES).digest()


def write_token(shown: frozenset[bytes], items: Iterable[str]) -> str | None:
    """Returns the token after `items` were shown too; None when it would become too long.

    >>> write_token(frozenset(), ["a"]) == write_token(read_token(write_token(frozenset(), ["a"])), [])
    True
    """
    marks = sorted(shown.union(map(mark, items)))
    if len(marks) > MAX_SHOWN:
        return None
    return base64.urlsafe_b64encode(b"".join(marks)).decode().rstrip("=")


def read_token(token: str | None) -> frozenset[bytes]:
    """Returns the marks of what was shown. Raises `ApiError` 400 for what is no token."""
    if token is None:
        return frozenset()
    try:
        found = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        found = b"?"
    if len(found) % _BYTES or len(found) > MAX_SHOWN * _BYTES:
        raise ApiError(400, "bad_parameter", "next is no token, wanted: `next` of an answer, as it came", "next")
    return frozenset(found[at : at + _BYTES] for at in range(0, len(found), _BYTES))
