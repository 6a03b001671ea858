"""What the demo prints."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

TITLE_WIDTH = 28


def recent_lines(answer: Mapping[str, Any], now: datetime, count: int = 5) -> list[str]:
    """The newest items of GET /users/{user_id}/recent, one line each."""
    lines = [f"{answer['user_id']} looked at lately"]
    for item in answer["items"][:count]:
        when = ago((now - datetime.fromisoformat(item["at"])).total_seconds())
        lines.append(f"  {when:>12}  {item['event_type']:<9} {_name(item)}")
    return lines


def recommendation_lines(answer: Mapping[str, Any]) -> list[str]:
    """The items of GET /recommendations, one line each, with scores and reasons."""
    took = f"{answer['took_ms']:.1f} ms, {answer['source']}, model {answer['model']}"
    lines = [f"Recommended to {answer['user_id']} ({took})"]
    for rank, item in enumerate(answer["recommendations"], start=1):
        lines.append(f"  {rank:>2}. {_name(item):<{TITLE_WIDTH}} {item['score']:.3f}  {item['reason']}")
    lines += [f"  ({note})" for note in answer.get("notes", ())]
    return lines


def url_lines(urls: Sequence[str], user: str, logs: Iterable[object]) -> list[str]:
    """Where to go on from here."""
    first = urls[0]
    return [
        "Try",
        f"  curl -s '{first}/recommendations?user_id={user}&count=5&explain=true'",
        f"  curl -s '{first}/popular?window=24h&count=5'",
        f'  curl -s {first}/events -d \'{{"user_id": "{user}", "item_id": "i0001", "event_type": "cart"}}\'',
        f"API       {first}/docs",
        *(f"Worker    {url}/health  {url}/metrics" for url in urls),
        *(f"Log       {log}" for log in logs),
    ]


def ago(seconds: float) -> str:
    """How long ago, for people.

    >>> ago(0.2), ago(59), ago(3 * 60), ago(7200), ago(200_000)
    ('now', '59 s ago', '3 min ago', '2 h ago', '2 d ago')
    """
    if seconds < 1:
        return "now"
    for unit, length, limit in (("s", 1, 60), ("min", 60, 60), ("h", 3600, 48)):
        if seconds < length * limit:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds / 86_400:.0f} d ago"


def utc_now() -> datetime:
    """The time that `recent_lines` counts from."""
    return datetime.now(UTC)


def _name(item: Mapping[str, Any]) -> str:
    return str(item.get("title") or item["item_id"])
