"""Why an item is recommended: the evidence as data, and in words.

The evidence of an item is the context item that most of the sessions behind it share with the context, how many
sessions those are, how far back they reach, and whether the item came after it ("then") or also before ("also").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reco_stream.domain.neighbourhood import Events, Floats, Ints

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
        name = "" if self.anchor is None else title_of(self.anchor) or self.anchor
        if self.kind == "sessions":
            verb = VERBS.get(self.anchor_type or "", "chose")
            order = "then" if self.then else "also"
            count = "1 session" if self.sessions == 1 else f"{self.sessions} sessions"
            return f"people who {verb} {name} {order} viewed this: {count} in {span_words(self.span_s)}"
        if self.kind == "transitive":
            return f"near what people who chose {name} viewed" if name else "near what similar people viewed"
        if self.kind == "repeat":
            return "you looked at it a moment ago"
        if self.kind == "history":
            return "you chose it before"
        return "popular now"


def span_words(seconds: float) -> str:
    """Return a time span rounded up to whole minutes, hours or days.

    >>> [span_words(seconds) for seconds in (20, 3_500, 7_300, 600_000)]
    ['1 minute', '59 minutes', '3 hours', '7 days']
    """
    minutes = max(1, -int(-seconds // 60))
    unit, count = "minute", minutes
    if minutes >= 60:
        unit, count = "hour", -(-minutes // 60)
    if count >= 48 and unit == "hour":
        unit, count = "day", -(-count // 24)
    return f"1 {unit}" if count == 1 else f"{count} {unit}s"


@dataclass(slots=True)
class Evidence:
    """Counts for some candidates: rank of the anchor (-1: no session), sessions, how many of them after, oldest age."""

    anchor: Ints
    sessions: Ints
    after: Ints
    age_s: Floats


def evidence(events: Events, age_s: Floats, distance: Ints, wanted: Ints) -> Evidence:
    """Return the evidence of `wanted` candidates (positions in `events.candidates`); `age_s` and events of one choice.

    The anchor is the newest shared item of most of the sessions that hold the candidate, the newer among equals.
    """
    place = np.full(len(events.candidates), -1)
    place[wanted] = np.arange(len(wanted))
    placed = place[events.candidate]
    where = np.flatnonzero(placed >= 0)
    item, session = placed[where], events.session[where]
    # One entry a (candidate, session): the last event of the candidate in the session is written last.
    key = item * events.sessions + session
    entries = np.arange(len(key))
    last = np.zeros(len(wanted) * events.sessions, np.int64)
    last[key] = entries
    kept = np.flatnonzero(last[key] == entries)
    session, item, after = session[kept], item[kept], distance[where[kept]] > 0
    rank = events.best[session]
    ranks = int(rank.max(initial=0)) + 1
    counts = np.bincount(item * ranks + rank, minlength=len(wanted) * ranks).reshape(len(wanted), ranks)
    anchor = counts.argmax(axis=1)
    mine = np.flatnonzero(rank == anchor[item])
    item, session = item[mine], session[mine]
    span = np.zeros(len(wanted))
    span[item[::-1]] = age_s[session[::-1]]  # sessions are oldest first: the oldest is written last
    sessions = counts.max(axis=1)
    behind = np.bincount(item, weights=after[mine], minlength=len(wanted)).astype(np.int64)
    return Evidence(np.where(sessions > 0, anchor, -1), sessions, behind, span)
