"""What the demo shows of the catalogue: a filter on prices, and a new item that is found by its content."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from reco_stream.worker_api import ApiError, get, post, quoted

NEW_ITEM = "new-1"
FOUND_WITHIN_S = 15.0
POLL_S = 0.1


def catalogue_lines(url: str, user: str, token: str | None) -> Iterator[str]:
    """One request with a filter, then an item that is added and recommended; `token` is RECO_ADMIN_TOKEN.

    Raises ApiError.
    """
    recent = get(url, f"/users/{quoted(user)}/recent")["items"]
    model = get(url, f"/items/{quoted(recent[0]['item_id'])}")
    below = _cheap(model)
    answer = get(url, "/recommendations", user_id=user, count=3, exclude_seen="true", price_max=below)
    yield f"Recommended to {user} below {below:g}"
    for item in answer["recommendations"]:
        yield f"      {described(get(url, '/items/' + quoted(item['item_id'])))}"
    new = {"item_id": NEW_ITEM, "title": f"New: {model['title']}", "categories": model["categories"], "price": below}
    began = time.monotonic()
    post(url, "/items", msgspec.json.encode(new), token)
    found = _reason(url, user, began + FOUND_WITHIN_S)
    took = time.monotonic() - began
    yield f"Added     {described(new)}"
    if found is None:
        yield f"          not recommended within {FOUND_WITHIN_S:g} s: five others fit better, or it is not read yet"
    else:
        yield f"          recommended to {user} {took:.1f} s later without any event: {found}"


def described(item: Mapping[str, Any]) -> str:
    """An item in a line.

    >>> described({"item_id": "i1", "title": "Blue lamp", "price": 9.5, "categories": ["light", "home"]})
    'Blue lamp, 9.50 (light, home)'
    """
    price = f", {item['price']:.2f}" if item.get("price") is not None else ""
    categories = f" ({', '.join(item['categories'])})" if item.get("categories") else ""
    return f"{item.get('title') or item['item_id']}{price}{categories}"


def _cheap(item: Mapping[str, Any]) -> float:
    return float(item.get("price") or 20.0)


def _reason(url: str, user: str, deadline: float) -> str | None:
    """Returns why the new item is recommended, once it is; None when it is not in time."""
    while time.monotonic() < deadline:
        try:
            answer = get(url, "/recommendations", user_id=user, count=5, exclude_seen="true")
        except ApiError:
            return None
        for item in answer["recommendations"]:
            if item["item_id"] == NEW_ITEM:
                return str(item["reason"])
        time.sleep(POLL_S)
    return None
