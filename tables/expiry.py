"""expiry: on which stream day a user's rows are forgotten.

One key a user, the day and the user, so that the users who are due come first. It moves when the user's last stream
day does. After each event up to `SWEEP` due users are forgotten, which depends on the log alone, never on batches; a
user who comes back before the sweep got there starts anew all the same.
"""

from typing import Final

import msgspec

from reco_stream.domain.buckets import DAY_MS
from reco_stream.engine.table import Rows, Table
from tables.dedupe import DEDUPE
from tables.recent import RECENT, RecentRow, prune
from tables.rules import TableRules
from tables.sessions import SESSIONS, Ended

SWEEP: Final = 4  # due users looked at after an event: more than one, or the sweep could fall behind for ever
SWEPT_KEY: Final = "swept"  # holds the last stream day of which no user is left; sorts behind every day

EXPIRY: Table[int] = Table(
    name="expiry",
    prefix=b"x",
    encode=msgspec.msgpack.Encoder().encode,
    decode=msgspec.msgpack.Decoder(int).decode,
)


def due_key(due_day: int, user: str) -> str:
    """Return the key of a user who is due on `due_day`; days sort as numbers do until the year 4707."""
    return f"{due_day:06d}{user}"


def touched(rows: Rows, user: str, rules: TableRules, ended: list[Ended]) -> RecentRow:
    """Return the user's recent row, alive and indexed as active at stream time; the caller puts it. Sessions that
    are forgotten are added to `ended`."""
    now_ms = rows.stream_time_ms
    ttl_ms = rules.ttl_ms(user)
    due_day = (now_ms + ttl_ms) // DAY_MS + 1
    row = rows.get(RECENT, user)
    if row is None:
        row = RecentRow()
    elif row.due_day == due_day:
        return row
    else:
        rows.delete(EXPIRY, due_key(row.due_day, user))
        if row.due_day <= now_ms // DAY_MS:  # due, but the sweep has not come to it
            _forget_sessions(rows, user, ended)
            row = RecentRow()
        else:
            prune(row, now_ms - ttl_ms)
    row.due_day = due_day
    rows.put(EXPIRY, due_key(due_day, user), 0)
    return row


def sweep(rows: Rows, ended: list[Ended]) -> None:
    """Forget up to `SWEEP` users who are due at stream time; their sessions are added to `ended`."""
    today = rows.stream_time_ms // DAY_MS
    if rows.get(EXPIRY, SWEPT_KEY) == today:
        return
    due = rows.first_keys(EXPIRY, due_key(today + 1, ""), SWEEP)
    for key in due:
        user = key[6:]
        rows.delete(EXPIRY, key)
        _forget_sessions(rows, user, ended)
        for table in (RECENT, DEDUPE):
            rows.delete(table, user)
    if len(due) < SWEEP:
        rows.put(EXPIRY, SWEPT_KEY, today)


def _forget_sessions(rows: Rows, user: str, ended: list[Ended]) -> None:
    row = rows.get(SESSIONS, user)
    if row is not None:
        ended += [(user, session) for session in row.sessions]
    rows.delete(SESSIONS, user)
