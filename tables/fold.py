"""What one event does to the rows of its partition. Nothing else changes a table."""

from reco_stream.domain.buckets import DAY_MS
from reco_stream.domain.decay import growth, landmark_of
from reco_stream.engine.table import Rows
from reco_stream.events import Event
from tables import co_view, popularity, recent
from tables.co_view import CO_VIEW, Pair
from tables.dedupe import DEDUPE, DedupeRow
from tables.dedupe import add as add_id
from tables.expiry import sweep, touched
from tables.popularity import POPULARITY, PopularityRow
from tables.recent import RECENT
from tables.rules import TableRules
from tables.sessions import SESSIONS, Ended, Session, SessionsRow, join, share, visit


def fold_event(rows: Rows, event: Event, rules: TableRules) -> list[Ended]:
    """Apply one event: `rows` then equals the fold of the log up to and including it, whatever the batches were.

    Returns the sessions that are in no row any more.

    1. stream time moves on; 2. an event id seen before ends it; 3. the user's recent items, or exclusions when the
    event is negative, which ends it; 4. the session; 5. the item's popularity; 6. the pairs with the session's other
    items; 7. users who are due are forgotten. Reads no clock, and no row but those of the event's partition.
    """
    if event.time_ms > rows.stream_time_ms:
        rows.stream_time_ms = event.time_ms
    ended: list[Ended] = []
    if event.event_id is None or _first_time(rows, event.user, event.event_id, rules):
        row = touched(rows, event.user, rules, ended)
        if event.negative:
            rows.put(RECENT, event.user, recent.exclude(row, event, rules))
        else:
            new_user = row.newest_ms < 0
            rows.put(RECENT, event.user, recent.see(row, event, rules))
            sessions = _sessions_row(rows, event, new_user)
            session = join(sessions, event, rules, ended)
            new_in_session, pairs = _fold_session(session, event, rules)
            new_item, events = _fold_popularity(rows, event, new_in_session, rules)
            if session is not None:
                share(session, event.user, events, rules)
                rows.put(SESSIONS, event.user, sessions)
            if pairs:
                _fold_pairs(rows, event, pairs, new_item, rules)
    sweep(rows, ended)
    return ended


def _first_time(rows: Rows, user: str, event_id: str, rules: TableRules) -> bool:
    row = rows.get(DEDUPE, user) or DedupeRow()
    if not add_id(row, event_id, rows.stream_time_ms, rules):
        return False
    rows.put(DEDUPE, user, row)
    return True


def _sessions_row(rows: Rows, event: Event, new_user: bool) -> SessionsRow:
    # A user who has seen nothing has no sessions; half of all look-ups in the store are for rows that do not exist.
    row = None if new_user else rows.get(SESSIONS, event.user)
    return SessionsRow() if row is None else row


def _fold_session(session: Session | None, event: Event, rules: TableRules) -> tuple[bool, list[Pair]]:
    """Returns whether the event's item is new to its session, and the pairs that the event adds to."""
    if session is None:
        return False, []
    pairs = co_view.pairs(session.items, event.item, event.weight, rules.co_view_last)
    return visit(session, event, rules), pairs


def _fold_popularity(rows: Rows, event: Event, new_in_session: bool, rules: TableRules) -> tuple[bool, int]:
    """Returns whether this is the item's first event, and how many it has in its newest hour."""
    row = rows.get(POPULARITY, event.item)
    new_item = row is None
    if row is None:
        row = PopularityRow()
    if new_in_session:
        row.sessions += 1
    half_life_ms = rules.popularity_half_life_ms
    landmark = landmark_of(rows.stream_time_ms, half_life_ms)
    factor = growth(event.time_ms, landmark, half_life_ms)
    popularity.count(row, event.type, event.weight, event.time_ms, rows.stream_time_ms, landmark, factor)
    rows.put(POPULARITY, event.item, row)
    return new_item, sum([tally.count for tally in row.open.values()])


def _fold_pairs(rows: Rows, event: Event, pairs: list[Pair], new_item: bool, rules: TableRules) -> None:
    """Adds each pair to the rows of both items."""
    item, time_ms = event.item, event.time_ms
    half_life_ms, limit = rules.co_view_half_life_ms, rules.co_view_limit
    day = rows.stream_time_ms // DAY_MS
    landmark = landmark_of(rows.stream_time_ms, half_life_ms)
    factor = growth(time_ms, landmark, half_life_ms)
    row = co_view.new_row(landmark, day) if new_item else _co_view_row(rows, item, landmark, day, rules)
    for other, gain, first in pairs:
        weight = gain * factor
        co_view.add_pair(row, other, weight, first, time_ms, limit)
        mirror = _co_view_row(rows, other, landmark, day, rules)
        co_view.add_pair(mirror, item, weight, first, time_ms, limit)
        rows.put(CO_VIEW, other, mirror)
    rows.put(CO_VIEW, item, row)


def _co_view_row(rows: Rows, item: str, landmark: int, day: int, rules: TableRules) -> co_view.CoViewRow:
    row = rows.get(CO_VIEW, item)
    if row is None:
        return co_view.new_row(landmark, day)
    if row.landmark != landmark or row.aged_day != day:
        co_view.age(row, landmark, day, rules.co_view_window_ms)
    return row
