"""Events, rows and rules for simulations: small, and made to notice any event lost, repeated, reordered or half undone.

Rows are lists of source offsets. Rules change them in place, write without reading, delete without reading, and raise
half-way, because a cache can be wrong about each of these.
"""

from typing import Any

import msgspec

from reco_stream.engine.checkpoint import Rejection
from reco_stream.engine.store import PartitionStore
from reco_stream.engine.table import Table
from tests.engine.python_rows import FoldsInRuns, PythonRows

Row = list[int]

USERS: Table[Row] = Table("users", b"u", msgspec.msgpack.encode, msgspec.msgpack.Decoder(Row).decode)
TOTALS: Table[Row] = Table("totals", b"t", msgspec.msgpack.encode, msgspec.msgpack.Decoder(Row).decode)
NEWEST: Table[Row] = Table("newest", b"n", msgspec.msgpack.encode, msgspec.msgpack.Decoder(Row).decode)
# The first three events are a session, then two make one; the row keeps the newest.
SESSIONS: Table[list[Row]] = Table("sessions", b"s", msgspec.msgpack.encode, msgspec.msgpack.Decoder(list[Row]).decode)
PREFIXES = (USERS.prefix, TOTALS.prefix, NEWEST.prefix, SESSIONS.prefix)

BAD, POISON, FORGET = b"bad", b"poison", b"forget x"
LOG = (b"x", b"y", b"x", POISON, FORGET, b"y", BAD, b"x", b"z", b"x", b"y", b"y", b"x")


class EventProcessor(FoldsInRuns):
    """The rules as the engine runs them."""

    def __init__(self, partition: int) -> None:
        self.partition = partition

    def rows_over(self, store: PartitionStore, budget_bytes: int) -> PythonRows:
        return PythonRows(store)

    def fold(self, rows: PythonRows, record: Any) -> Rejection | None:
        if record.value == BAD:
            return Rejection(record, "bad", "")
        if record.value == FORGET:
            rows.delete(USERS, "x")
            rows.delete(NEWEST, "x")
            return None
        key = "x" if record.value == POISON else record.value.decode()
        for table, name in ((TOTALS, "all"), (USERS, key)):
            row = rows.get(table, name) or []
            row.append(record.offset)
            if record.value == POISON and table is USERS:
                raise ValueError("this event cannot be folded")
            rows.put(table, name, row)
        rows.put(NEWEST, key, [record.offset])
        self._visit(rows, record.offset)
        rows.stream_time_ms = record.offset
        return None

    def _visit(self, rows: PythonRows, offset: int) -> None:
        sessions = rows.get(SESSIONS, "all") or []
        if sessions and len(sessions[-1]) < (3 if sessions[-1][0] == 0 else 2):
            sessions[-1].append(offset)
        else:
            sessions.append([offset])
        if len(sessions) > 1:
            left = [one for _, row in rows.left for one in SESSIONS.decode(row or b"")]
            rows.left = [(b"sall", SESSIONS.encode([*left, sessions.pop(0)]))]
        rows.put(SESSIONS, "all", sessions)

    def applied(self) -> None: ...

    def aborted(self) -> None: ...


def fold(events: int) -> dict[bytes, bytes]:
    """Stored rows after the first `events` events: the same rules, written anew."""
    users: dict[str, Row] = {}
    newest: dict[str, Row] = {}
    total: Row = []
    for offset, value in enumerate(LOG[:events]):
        if value == FORGET:
            users.pop("x", None)
            newest.pop("x", None)
        elif value not in (BAD, POISON):
            key = value.decode()
            total = [*total, offset]
            users[key] = [*users.get(key, []), offset]
            newest[key] = [offset]
    rows = {b"u" + key.encode(): row for key, row in users.items()}
    rows |= {b"n" + key.encode(): row for key, row in newest.items()}
    rows |= {b"tall": total} if total else {}
    encoded = {key: msgspec.msgpack.encode(row) for key, row in rows.items()}
    return encoded | ({b"sall": msgspec.msgpack.encode(sessions(total)[-1:])} if total else {})


def sessions(total: Row) -> list[Row]:
    """All sessions of the events that count."""
    return [total[:3], *(total[at : at + 2] for at in range(3, len(total), 2))]
