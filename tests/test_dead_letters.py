from dataclasses import dataclass, field, replace

import pytest

from reco_stream.dead_letters import (
    APPENDED,
    EXCEPTION,
    KEY,
    MESSAGE,
    OFFSET,
    PARTITION,
    REASON,
    REPLAY_SOURCE,
    STACKTRACE,
    TOPIC,
    Headers,
    Ledger,
    Position,
    State,
    dead_letter_record,
    done_marker,
    resend,
    started_marker,
)
from reco_stream.domain.partitioner import partition_of
from reco_stream.events import BadEvent
from reco_stream.settings import Settings

RULES = Settings().event_rules()
NOW_MS = 1_700_000_000_000
GOOD = b'{"user_id":"u1","item_id":"i1","event_type":"view"}'


@dataclass(frozen=True)
class FakeRecord:
    topic: str = "reco.events"
    partition: int = 3
    offset: int = 42
    timestamp: int = 1_600_000_000_000
    key: bytes | None = b"u1"
    value: bytes | None = b"\xff\0"
    headers: Headers = field(default_factory=list)


def letter(record: FakeRecord, error: BadEvent, offset: int = 0) -> FakeRecord:
    """The dead letter of `record` as it is read back."""
    key, value, headers = dead_letter_record(record, error)
    return FakeRecord("reco.dead-letters", 0, offset, NOW_MS, key, value, headers)


def marker(source: str, headers: Headers, offset: int) -> FakeRecord:
    return FakeRecord("reco.dead-letters", 0, offset, NOW_MS, source.encode(), None, headers)


def test_a_dead_letter_has_the_original_bytes_and_says_why() -> None:
    key, value, headers = dead_letter_record(FakeRecord(headers=[("trace", b"t1")]), BadEvent("not_utf8", "byte 0"))
    assert (key, value) == (b"reco.events/3/42", b"\xff\0")
    assert headers == [
        ("trace", b"t1"),
        (EXCEPTION, b"reco_stream.events.BadEvent"),
        (MESSAGE, b"byte 0"),
        (TOPIC, b"reco.events"),
        (PARTITION, b"3"),
        (OFFSET, b"42"),
        (REASON, b"not_utf8"),
        (APPENDED, b"1600000000000"),
        (KEY, b"u1"),
    ]


def test_headers_are_named_as_in_kip_1034() -> None:
    assert {EXCEPTION, MESSAGE, STACKTRACE, TOPIC, PARTITION, OFFSET} == {
        f"__streams.errors.{name}" for name in ("exception", "message", "stacktrace", "topic", "partition", "offset")
    }


def test_a_null_key_and_a_null_value_stay_null() -> None:
    _, value, headers = dead_letter_record(FakeRecord(key=None, value=None), BadEvent("null_key", "no key"))
    assert value is None
    assert KEY not in dict(headers)


def test_the_cause_is_reported_with_its_stack_trace() -> None:
    try:
        raise ZeroDivisionError("boom" * 5000)
    except ZeroDivisionError as cause:
        error = BadEvent("fold_failed", "a rule raised")
        error.__cause__ = cause
    headers = dict(dead_letter_record(FakeRecord(), error)[2])
    assert headers[EXCEPTION] == b"builtins.ZeroDivisionError"
    assert headers[STACKTRACE].endswith(b"boom\n")
    assert len(headers[STACKTRACE]) <= 8000


def test_a_record_that_fails_again_after_a_replay_does_not_collect_headers() -> None:
    first = letter(FakeRecord(headers=[("trace", b"t1")]), BadEvent("not_json", "first"))
    again = replace(first, topic="reco.events", offset=77)
    names = [name for name, _value in dead_letter_record(again, BadEvent("not_json", "second"))[2]]
    assert len(names) == len(set(names))
    assert names[0] == "trace"


def test_the_ledger_has_one_entry_a_source_record() -> None:
    ledger = Ledger()
    error = BadEvent("wrong_partition", "elsewhere")
    ledger.add(letter(FakeRecord(offset=1), error, offset=0))
    ledger.add(letter(FakeRecord(offset=2, value=None), error, offset=1))
    ledger.add(letter(FakeRecord(offset=1), error, offset=2))
    first, second = ledger.entries.values()
    assert (first.source, first.offset, first.copies, first.size) == ("reco.events/3/1", 0, 2, 2)
    assert (first.reason, first.message, first.time_ms) == ("wrong_partition", "elsewhere", NOW_MS)
    assert (second.source, second.copies, second.size) == ("reco.events/3/2", 1, None)


def test_the_ledger_follows_the_markers_of_a_replay() -> None:
    ledger = Ledger()
    source = "reco.events/3/42"
    ledger.add(letter(FakeRecord(), BadEvent("not_json", "")))
    entry = ledger.entries[source]
    assert (entry.state, entry.position) == (State.OPEN, None)
    ledger.add(marker(source, started_marker(Position(5, 100)), 1))
    assert (entry.state, entry.position) == (State.STARTED, Position(5, 100))
    ledger.add(marker(source, done_marker(Position(5, 103)), 2))
    ledger.add(letter(FakeRecord(), BadEvent("not_json", ""), 3))
    ledger.add(marker(source, started_marker(Position(5, 200)), 4))
    assert (entry.state, entry.position, entry.copies) == (State.REPLAYED, Position(5, 103), 2)


def test_records_of_others_are_counted() -> None:
    ledger = Ledger()
    ledger.add(FakeRecord(key=None))
    ledger.add(FakeRecord(key=b"\xff"))
    ledger.add(marker("reco.events/0/0", done_marker(Position(0, 0)), 0))
    assert (ledger.entries, ledger.foreign) == ({}, 2)


def test_a_record_from_the_wrong_partition_goes_to_the_right_one() -> None:
    bad = letter(FakeRecord(value=GOOD, headers=[("trace", b"t1")]), BadEvent("wrong_partition", ""))
    record = resend(bad, 12, NOW_MS, RULES, rekey=False)
    assert (record.source, record.key, record.value) == ("reco.events/3/42", b"u1", GOOD)
    assert record.partition == partition_of("u1", 12)
    assert record.headers == [("trace", b"t1"), (REPLAY_SOURCE, b"reco.events/3/42")]


@pytest.mark.parametrize("rekey", [False, True])
def test_a_record_that_is_still_bad_is_refused(rekey: bool) -> None:
    for value, reason in ((None, "null_value"), (b"{", "not_json")):
        bad = letter(FakeRecord(value=value), BadEvent("not_json", ""))
        with pytest.raises(BadEvent) as caught:
            resend(bad, 12, NOW_MS, RULES, rekey=rekey)
        assert caught.value.reason == reason


@pytest.mark.parametrize("key", [None, b"someone"])
def test_a_bad_key_is_replaced_only_on_demand(key: bytes | None) -> None:
    bad = letter(FakeRecord(key=key, value=GOOD), BadEvent("null_key", ""))
    with pytest.raises(BadEvent, match=r"null_key|key_mismatch"):
        resend(bad, 12, NOW_MS, RULES, rekey=False)
    assert resend(bad, 12, NOW_MS, RULES, rekey=True).key == b"u1"
