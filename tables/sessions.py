"""sessions: what a user touched together, and which session a late event belongs to.

An event joins the kept session of the same `session` field (events without one share None) that covers its time with
a gap to either side; the one opened last wins. Else it opens a session when none kept has events later than it. Else
it is too late: it belongs to a session that is no longer kept.

A session holds one entry an item: time of the newest event, and weight and type of the heaviest one.
"""

import zlib
from collections.abc import Iterable

import msgspec

from reco_stream.engine.table import Table
from reco_stream.events import Event
from tables.rules import TableRules


class Visit(msgspec.Struct, array_like=True, gc=False):
    """An item in a session. A struct that the garbage collector need not look at: there are ten thousands of them."""

    time_ms: int  # of the newest event on the item
    weight: float  # of the heaviest event
    type: str  # of the heaviest event


class Session(msgspec.Struct, array_like=True, gc=False):
    """Events of one user that lie together. `items` runs from the oldest visit to the newest.

    `opened_ms` is the time of the event that opened the session and never changes, whereas a late event may lower
    `start_ms`. `events` counts all events, those on items that no longer fit included. `shared`: whether the other
    workers learn of it.
    """

    id: str | None
    opened_ms: int
    start_ms: int
    last_ms: int
    events: int = 0
    items: dict[str, Visit] = msgspec.field(default_factory=dict)
    shared: bool = False


class SessionsRow(msgspec.Struct, array_like=True, gc=False):
    """A user's kept sessions in the order in which they were opened."""

    sessions: list[Session] = msgspec.field(default_factory=list)


# A session that left its user's row, and whose it was.
Ended = tuple[str, Session]

SESSIONS: Table[SessionsRow] = Table(
    name="sessions",
    prefix=b"s",
    encode=msgspec.msgpack.Encoder().encode,
    decode=msgspec.msgpack.Decoder(SessionsRow).decode,
    version=2,
)


def left_rows(ended: Iterable[Ended]) -> list[tuple[bytes, bytes]]:
    """Return (key, row) of what each user's row has lost: rows of the sessions that are in none any more."""
    sessions: dict[str, list[Session]] = {}
    for user, session in ended:
        sessions.setdefault(user, []).append(session)
    return [(SESSIONS.prefix + user.encode(), SESSIONS.encode(SessionsRow(left))) for user, left in sessions.items()]


def join(row: SessionsRow, event: Event, rules: TableRules, ended: list[Ended]) -> Session | None:
    """Return the session that the event belongs to, opened in `row` when it is a new one; None when it is too
    late. A session that a new one pushes out is added to `ended`."""
    time_ms, name = event.time_ms, event.session
    gap_ms = rules.session_gap_ms
    kept = row.sessions
    newest_ms = -1
    for session in reversed(kept):
        last_ms = session.last_ms
        if session.start_ms - gap_ms <= time_ms <= last_ms + gap_ms and session.id == name:
            return session
        if last_ms > newest_ms:
            newest_ms = last_ms
    if newest_ms > time_ms:
        return None
    session = Session(name, time_ms, time_ms, time_ms, 0, {})
    kept.append(session)
    if len(kept) > rules.sessions_kept:
        oldest = min(range(len(kept)), key=lambda at: kept[at].last_ms)
        ended.append((event.user, kept.pop(oldest)))
    return session


def visit(session: Session, event: Event, rules: TableRules) -> bool:
    """Put the event into its session and say whether its item is new there.

    Beyond `session_items` items the one not visited for longest goes; when it comes back it is new again.
    """
    items = session.items
    item, time_ms = event.item, event.time_ms
    session.events += 1
    weight, kind = event.weight + 0.0, event.type  # + 0.0: a float, or the bytes would differ once decoded
    known = items.pop(item, None)
    if known is None:
        items[item] = Visit(time_ms, weight, kind)
    else:
        if weight > known.weight:
            known.weight, known.type = weight, kind
        if time_ms > known.time_ms:
            known.time_ms = time_ms
        items[item] = known
    if time_ms >= session.last_ms:
        session.last_ms = time_ms
    else:
        session.start_ms = min(session.start_ms, time_ms)
        session.items = items = dict(sorted(items.items(), key=lambda pair: pair[1].time_ms))  # stable
    if len(items) > rules.session_items:
        del items[next(iter(items))]
    return known is None


def share(session: Session, user: str, events: int, rules: TableRules) -> None:
    """Let the other workers learn of the session, for an item with `events` events in this partition and hour so far.

    They rank by the newest 500 sessions of an item, and taking one in costs every worker as much as half a fold. So
    while an item has up to `sessions_shared` events an hour, each of its sessions is shared; after that as many as
    keep their number at about that many. A session is shared as soon as one of its items asks for it, and stays so.
    """
    if not session.shared:
        limit = rules.sessions_shared
        session.shared = events <= limit or _draw(user, session) * events < limit


def _draw(user: str, session: Session) -> float:
    """The same number from 0 to 1 for all events of a session, on every machine."""
    return zlib.crc32(f"{user}/{session.opened_ms}/{session.id}".encode()) / (1 << 32)
