"""The same id counts once for a day and for a thousand ids."""

from hypothesis import given
from hypothesis import strategies as st

from tables import dedupe
from tables.dedupe import DEDUPE, DedupeRow, add, hash_id
from tables.rules import TableRules

RULES = TableRules(dedupe_window_ms=100, dedupe_limit=4)


def test_an_id_counts_once() -> None:
    row = DedupeRow()
    assert [add(row, event_id, 1000, RULES) for event_id in ("x", "x", "y", "x")] == [True, False, True, False]
    assert len(row) == 2


def test_a_duplicate_changes_nothing() -> None:
    row = DedupeRow()
    add(row, "x", 1000, RULES)
    before = DEDUPE.encode(row)
    add(row, "x", 1050, RULES)
    assert DEDUPE.encode(row) == before


def test_an_id_counts_again_a_window_later() -> None:
    row = DedupeRow()
    add(row, "x", 1000, RULES)
    assert not add(row, "x", 1099, RULES)
    assert add(row, "x", 1100, RULES)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 60)), max_size=60))
def test_it_is_the_last_ids_of_the_window(log: list[tuple[str, int]]) -> None:
    row = DedupeRow()
    now_ms = 0
    accepted: list[tuple[int, str]] = []
    for event_id, step_ms in log:
        now_ms += step_ms
        known = [known for at_ms, known in accepted if now_ms - at_ms < RULES.dedupe_window_ms][-RULES.dedupe_limit :]
        assert add(row, event_id, now_ms, RULES) == (event_id not in known)
        if event_id not in known:
            accepted.append((now_ms, event_id))
        assert len(row) <= RULES.dedupe_limit


def test_a_hash_across_two_entries_is_no_hit() -> None:
    # The end of one entry and the beginning of the next spell the hash of "x".
    hashed = hash_id("x")
    row = DedupeRow(b"\0" * 8 + b"\0" * 4 + hashed[:4] + hashed[4:] + b"\0" * 4 + b"\x7f" * 8)
    assert hashed in row.seen
    assert add(row, "x", 2**40, TableRules(dedupe_window_ms=2**41))
    assert not add(row, "x", 2**40, TableRules(dedupe_window_ms=2**41))


def test_ids_of_any_text() -> None:
    assert len({hash_id(event_id) for event_id in ("", "a", "ä", "a\0", "1" * 256)}) == 5
    assert all(len(hash_id(event_id)) == dedupe._HASH_BYTES for event_id in ("", "ä"))


def test_hot_user_stays_small() -> None:
    row = DedupeRow()
    for n in range(3_000):
        assert add(row, str(n), 1_700_000_000_000 + n, TableRules())
    assert len(row) == 1_000
    assert len(DEDUPE.encode(row)) < 16_100
    assert not add(row, "2000", 1_700_000_003_000, TableRules())
    assert add(row, "1999", 1_700_000_003_000, TableRules())
