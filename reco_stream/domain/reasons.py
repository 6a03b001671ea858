"""Why an item is recommended: the evidence as data, and in words.

The evidence of an item is the context item that most of the sessions behind it share with the context, how many
sessions those are, how far back they reach, and whether the item came after it ("then") or also before ("also").
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

VERBS = {
    "view": "viewed",
    "click": "clicked",
    "cart": "put in the cart",
    "purchase": "bought",
    "like": "liked",
    "rating": "rated",
    "complete": "finished",
    "bookmark": "saved",
    "share": "shared",
}
THEN_SHARE = 0.6  # of the sessions, in which the item comes after: below that the words say "also"


class SessionReason(NamedTuple):
    """Evidence for one item. `kind`: "sessions" with an anchor item, or "transitive", "history", "repeat", "trending".

    `anchor` is the context's item that led to it, `anchor_type` what the person did with it, `sessions` how many
    sessions hold both, `then` whether the item mostly came after, `span_s` how long ago the oldest of them ended.

    >>> SessionReason("sessions", "A", "view", 41, True, 6.5 * 86_400).words()
    'people who viewed A then viewed this: 41 sessions in 7 days'
    """

    kind: str
    anchor: str | None = None
    anchor_type: str | None = None
    sessions: int = 0
    then: bool = False
    span_s: float = 0.0

    def words(self, title_of: Callable[[str], str | None] = lambda _: None) -> str:
        """Return the reason as a person would say it; the anchor is named by its title where there is one."""
        kind, anchor, anchor_type, sessions, then, span_s = self
        name = "" if anchor is None else title_of(anchor) or anchor
        if kind == "sessions":
            verb = VERBS.get(anchor_type or "", "chose")
            order = "then" if then else "also"
            count = "1 session" if sessions == 1 else f"{sessions} sessions"
            return f"people who {verb} {name} {order} viewed this: {count} in {span_words(span_s)}"
        if kind == "transitive":
            return f"near what people who chose {name} viewed" if name else "near what similar people viewed"
        if kind == "repeat":
            return "you looked at it a moment ago"
        if kind == "history":
            return "you chose it before"
        return "popular now"


def span_words(seconds: float) -> str:
    """Return a time span rounded up to whole minutes, hours or days.

    >>> [span_words(seconds) for seconds in (20, 3_500, 7_300, 600_000)]
    ['1 minute', '59 minutes', '3 hours', '7 days']
    """
    return _minutes_words(max(1, -int(-seconds // 60)))


@lru_cache(maxsize=10_000)  # a week of them
def _minutes_words(minutes: int) -> str:
    unit, count = "minute", minutes
    if minutes >= 60:
        unit, count = "hour", -(-minutes // 60)
    if count >= 48 and unit == "hour":
        unit, count = "day", -(-count // 24)
    return f"1 {unit}" if count == 1 else f"{count} {unit}s"
