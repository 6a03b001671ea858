"""What is read of encoded rows is what their tables would decode."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.engine.table import MemoryRows
from reco_stream.events import Event
from tables.co_view import CO_VIEW, PAIR, numbers_of
from tables.fold import fold_event
from tables.popularity import POPULARITY
from tables.published_rows import measure, values
from tables.rules import TableRules
from tables.sessions import SESSIONS, Session, SessionsRow, Visit

names = st.none() | st.text(max_size=40)
visits = st.dictionaries(st.text(max_size=40), st.builds(Visit, st.integers(0, 2**45), st.floats(0, 9), st.text("vé")))
times = st.integers(0, 2**45)
sessions = st.builds(Session, names, times, times, times, st.integers(0, 2**40), visits, st.booleans())


@given(st.binary(max_size=20), st.lists(sessions, max_size=20))
def test_shared_sessions_are_encoded_as_by_themselves(user: bytes, kept: list[Session]) -> None:
    assert values("items", "sessions", b"s" + user, SESSIONS.encode(SessionsRow(kept))) == [
        (
            "sessions",
            b"%b\0%d\0%b" % (user, session.opened_ms, (session.id or "").encode()),
            msgspec.msgpack.encode(session),
        )
        for session in kept
        if session.shared
    ]


def test_sizes_are_those_of_the_decoded_rows() -> None:
    rows, rules = MemoryRows(), TableRules()
    for number in range(300):
        event = Event(user=f"u{number % 7}", item=f"i{number % 31}", type="view", time_ms=number, weight=1 + number / 7)
        fold_event(rows, event, rules)
    seen = {}
    for key, row in rows.snapshot().items():
        if key[:1] == POPULARITY.prefix:
            assert measure(key, row) == (0, POPULARITY.decode(row).weighted)
        if key[:1] == CO_VIEW.prefix:
            decoded = CO_VIEW.decode(row)
            found = measure(key, row)
            assert found is not None
            seen[decoded.names], size = found
            assert size == pytest.approx(sum(numbers_of(decoded.pairs)[::PAIR]), rel=1e-12)
    assert len(set(seen.values())) == len(seen) > 20


def test_rows_of_items_are_published_as_they_are_and_other_tables_have_no_measure() -> None:
    assert values("items", "sessions", b"pa", b"any") == [("items", b"pa", b"any")]
    assert values("items", "sessions", b"ca", None) == [("items", b"ca", None)]
    assert values("items", "sessions", b"su", None) == []
    assert measure(b"su", b"any") is None


@pytest.mark.parametrize("row", [b"", b"\x90", b"\x9a\xc0", b"\x94\x00\x00\xa1a", b"\x91\x91\x97\xc0", b"\xff" * 9])
def test_anything_else_is_refused(row: bytes) -> None:
    for read in (
        lambda: measure(b"pa", row),
        lambda: measure(b"ca", row),
        lambda: values("items", "sessions", b"su", row),
    ):
        with pytest.raises(ValueError, match="not a row of"):
            read()
