import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_stream import events
from reco_stream.events import (
    MAX_DEPTH,
    REASONS,
    BadEvent,
    Event,
    EventRules,
    RawEvent,
    decode_event,
    encode_event,
    parse_event,
)

NOW_MS = 1_700_000_000_000
RULES = EventRules(
    weights={"view": 1.0, "purchase": 10.0, "rating": 4.0, "quiz_score": 4.0},
    negative=frozenset({"dislike", "hide"}),
    future_tolerance_ms=60_000,
    max_bytes=1_048_576,
)


def body(**fields: Any) -> bytes:
    """A valid event's JSON with `fields` changed or, given as ..., left out."""
    event = {"user_id": "u1", "item_id": "i1", "event_type": "view", "timestamp": NOW_MS} | fields
    return json.dumps({name: value for name, value in event.items() if value is not ...}).encode()


def decode(**fields: Any) -> Event:
    return decode_event(b"u1", body(**fields), NOW_MS, RULES)


def refusal(key: bytes | None, value: bytes | None) -> BadEvent:
    with pytest.raises(BadEvent) as caught:
        decode_event(key, value, NOW_MS, RULES)
    return caught.value


def test_a_full_event_is_normalised() -> None:
    event = decode(
        event_id=7,
        session_id="s1",
        item_id=42,
        event_type="Purchase",
        value=3,
        recommendation_id="r1",
        metadata={"a": 1},
    )
    assert event == Event(
        user="u1",
        item="42",
        type="purchase",
        time_ms=NOW_MS,
        weight=10.0,
        session="s1",
        event_id="7",
        value=3.0,
    )


def test_a_visitor_without_user_is_keyed_by_session() -> None:
    event = decode_event(b"~s1", body(user_id=None, session_id="s1"), NOW_MS, RULES)
    assert (event.user, event.session) == ("~s1", "s1")


@pytest.mark.parametrize("kind", ["dislike", "HIDE"])
def test_a_negative_type_weighs_nothing(kind: str) -> None:
    event = decode(event_type=kind)
    assert (event.type, event.weight, event.negative) == (kind.lower(), 0.0, True)


@pytest.mark.parametrize(
    ("kind", "value", "weight"),
    [
        ("rating", 5, 4.0),
        ("rating", 2.5, 2.0),
        ("rating", 9, 4.0),
        ("rating", -1, 0.0),
        ("rating", None, 4.0),
        ("quiz_score", 25, 1.0),
        ("view", 0, 1.0),
    ],
)
def test_a_mark_scales_the_weight(kind: str, value: float | None, weight: float) -> None:
    assert decode(event_type=kind, value=value).weight == weight


@pytest.mark.parametrize(
    ("timestamp", "time_ms"),
    [
        (..., NOW_MS),
        (None, NOW_MS),
        (0, 0),
        (1_500_000_000, 1_500_000_000_000),
        (1_500_000_000.1239, 1_500_000_000_124),
        (1_500_000_000_123, 1_500_000_000_123),
        (1_500_000_000_123.0, 1_500_000_000_123),
        (100_000_000_000, 100_000_000_000),
        ("2017-07-14T02:40:00Z", 1_500_000_000_000),
        ("2017-07-14T04:40:00.123+02:00", 1_500_000_000_123),
        (NOW_MS + 60_000, NOW_MS + 60_000),
    ],
)
def test_a_timestamp_becomes_milliseconds(timestamp: Any, time_ms: int) -> None:
    assert decode(timestamp=timestamp).time_ms == time_ms


@pytest.mark.parametrize("item", ["x", "x" * 256, "ü" * 128, "a b/c", "\u202e", "\u20ac" * 85, 10**200])
def test_an_id_of_1_to_256_bytes_is_taken(item: str | int) -> None:
    assert decode(item_id=item).item == str(item)


BAD_BODIES: list[tuple[str, dict[str, Any], str | None]] = [
    ("missing_field", {"item_id": ...}, "item_id"),
    ("missing_field", {"event_type": ...}, "event_type"),
    ("missing_user", {"user_id": ...}, "user_id"),
    ("wrong_type", {"item_id": None}, "item_id"),
    ("wrong_type", {"item_id": 1.5}, "item_id"),
    ("wrong_type", {"item_id": True}, "item_id"),
    ("wrong_type", {"user_id": ["u1"]}, "user_id"),
    ("wrong_type", {"event_type": 3}, "event_type"),
    ("wrong_type", {"value": "5"}, "value"),
    ("wrong_type", {"value": 10**400}, "value"),
    ("wrong_type", {"metadata": [1]}, "metadata"),
    ("wrong_type", {"timestamp": {}}, "timestamp"),
    ("bad_timestamp", {"timestamp": 10**4299}, "timestamp"),
    ("bad_id", {"item_id": ""}, "item_id"),
    ("bad_id", {"item_id": "x" * 257}, "item_id"),
    ("bad_id", {"item_id": "ü" * 129}, "item_id"),
    ("bad_id", {"item_id": 10**256}, "item_id"),
    ("bad_id", {"item_id": "a\0b"}, "item_id"),
    ("bad_id", {"item_id": "a\nb"}, "item_id"),
    ("bad_id", {"event_id": ""}, "event_id"),
    ("bad_id", {"session_id": "s\x1f"}, "session_id"),
    ("bad_id", {"recommendation_id": ""}, "recommendation_id"),
    ("bad_id", {"user_id": "~s1"}, "user_id"),
    ("unknown_type", {"event_type": "glance"}, "event_type"),
    ("unknown_type", {"event_type": ""}, "event_type"),
    ("reserved_type", {"event_type": "$erase"}, "event_type"),
    ("bad_timestamp", {"timestamp": -1}, "timestamp"),
    ("bad_timestamp", {"timestamp": -1e308}, "timestamp"),
    ("bad_timestamp", {"timestamp": 1e308}, "timestamp"),
    ("bad_timestamp", {"timestamp": NOW_MS * 1000}, "timestamp"),
    ("bad_timestamp", {"timestamp": 10**30}, "timestamp"),
    ("bad_timestamp", {"timestamp": "1969-12-31T23:59:59Z"}, "timestamp"),
    ("bad_timestamp", {"timestamp": "0001-01-01T00:00:00+23:59"}, "timestamp"),
    ("bad_timestamp", {"timestamp": "2017-07-14T02:40:00"}, "timestamp"),
    ("bad_timestamp", {"timestamp": "yesterday"}, "timestamp"),
    ("bad_timestamp", {"timestamp": "1500000000"}, "timestamp"),
    ("future_timestamp", {"timestamp": NOW_MS + 60_001}, "timestamp"),
    ("future_timestamp", {"timestamp": "9999-12-31T23:59:59Z"}, "timestamp"),
]


@pytest.mark.parametrize(("reason", "fields", "field"), BAD_BODIES, ids=lambda part: str(part)[:40])
def test_a_bad_field_is_refused_by_name(reason: str, fields: dict[str, Any], field: str | None) -> None:
    error = refusal(b"u1", body(**fields))
    assert (error.reason, error.field) == (reason, field)
    assert len(error.detail) < 300


VALID = body()
BAD_RECORDS: list[tuple[str, bytes | None, bytes | None]] = [
    ("null_key", None, VALID),
    ("null_value", b"u1", None),
    ("key_mismatch", b"u2", VALID),
    ("key_mismatch", b"", VALID),
    ("key_mismatch", b"\xff", VALID),
    ("key_mismatch", b"~s1", body(session_id="s1")),
    ("not_json", b"u1", b""),
    ("not_json", b"u1", b"u1,i1,view"),
    ("not_json", b"u1", VALID + b"{}"),
    ("not_json", b"u1", VALID[:-1]),
    ("not_json", b"u1", b"\xef\xbb\xbf" + VALID),
    ("not_json", b"u1", body(value=float("nan"))),
    ("not_json", b"u1", body(value=float("inf"))),
    ("not_json", b"u1", body(item_id="\ud800")),
    ("not_utf8", b"u1", VALID.replace(b"i1", b"\xff\xfe")),
    ("not_utf8", b"u1", VALID[:-1] + b',"other":"\xed\xa0\x80"}'),
    ("wrong_type", b"u1", b"[]"),
    ("wrong_type", b"u1", b"null"),
    ("wrong_type", b"u1", VALID.replace(str(NOW_MS).encode(), b"9" * 5000)),
    ("too_deep", b"u1", VALID[:-1] + b',"metadata":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ("too_large", b"u1", body(metadata={"text": "x" * 5_000_000})),
]


@pytest.mark.parametrize(("reason", "key", "value"), BAD_RECORDS, ids=lambda part: str(part)[:40])
def test_a_bad_record_is_refused(reason: str, key: bytes | None, value: bytes | None) -> None:
    error = refusal(key, value)
    assert error.reason == reason
    assert str(error) == f"{reason}: {error.detail}"


def test_every_reason_of_decoding_has_a_case_above() -> None:
    found_by_the_consumer = {"wrong_partition", "fold_failed"}
    assert {reason for reason, *_ in [*BAD_BODIES, *BAD_RECORDS]} == set(REASONS) - found_by_the_consumer


def test_an_unknown_type_is_answered_with_the_known_ones() -> None:
    assert refusal(b"u1", body(event_type="glance")).detail == (
        "event_type is 'glance'; wanted: one of dislike, hide, purchase, quiz_score, rating, view"
    )


def test_a_constructed_event_with_nan_is_refused() -> None:
    with pytest.raises(BadEvent, match="wrong_type"):
        parse_event(RawEvent(item_id="i", event_type="view", user_id="u", value=float("nan")), NOW_MS, RULES)
    with pytest.raises(BadEvent, match="bad_timestamp"):
        parse_event(RawEvent(item_id="i", event_type="view", user_id="u", timestamp=float("nan")), NOW_MS, RULES)


def test_depth_is_judged_by_brackets_outside_of_strings() -> None:
    def nested(levels: int, text: str) -> dict[str, Any]:
        value: Any = text
        for _ in range(levels):
            value = {"in": value}
        return {"metadata": value}

    assert decode(**nested(MAX_DEPTH - 1, '[[[\\"{{{' * 20)).user == "u1"
    assert refusal(b"u1", body(**nested(MAX_DEPTH, ""))).reason == "too_deep"


def test_many_flat_brackets_are_no_depth() -> None:
    assert decode(metadata={"list": [[]] * 1000}).user == "u1"


def test_a_body_of_exactly_the_largest_size_is_taken() -> None:
    size = len(VALID)
    rules = EventRules(RULES.weights, RULES.negative, RULES.future_tolerance_ms, size)
    assert decode_event(b"u1", VALID, NOW_MS, rules).item == "i1"
    with pytest.raises(BadEvent, match=f"{size + 1} bytes; wanted: at most {size}"):
        decode_event(b"u1", VALID + b" ", NOW_MS, rules)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
almost_events = st.fixed_dictionaries(
    {},
    optional={
        "user_id": st.just("u1") | json_values,
        "session_id": json_values,
        "item_id": st.text() | json_values,
        "event_type": st.sampled_from(["view", "rating", "hide", "$x"]) | json_values,
        "timestamp": st.integers() | st.floats() | st.datetimes().map(lambda moment: moment.isoformat()) | json_values,
        "value": st.integers() | st.floats() | json_values,
        "event_id": json_values,
        "metadata": json_values,
    },
).map(lambda event: json.dumps(event).encode())


@given(st.none() | st.just(b"u1") | st.binary(), st.none() | st.binary() | almost_events, st.integers(-1, 2**63 - 1))
def test_decoding_returns_a_sound_event_or_raises_only_bad_event(
    key: bytes | None, value: bytes | None, append_time_ms: int
) -> None:
    try:
        event = decode_event(key, value, append_time_ms, RULES)
    except BadEvent:
        return
    assert event.user.encode() == key
    assert 0 <= event.time_ms <= append_time_ms + RULES.future_tolerance_ms
    assert 0 <= event.weight <= 10
    assert event.type in RULES.weights or event.negative


def id_text(largest: int = 64) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=largest)


@given(
    user=st.none() | id_text().filter(lambda text: text[0] != "~"),
    session=id_text(),
    item=id_text() | st.integers(),
    kind=st.sampled_from(["view", "VIEW", "rating", "Hide"]),
    time_ms=st.integers(100_000_000_000, NOW_MS + 60_000),
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    metadata=st.none() | st.dictionaries(st.text(), st.text()),
)
def test_what_is_encoded_decodes_to_the_same(
    user: str | None,
    session: str,
    item: str | int,
    kind: str,
    time_ms: int,
    value: float | None,
    metadata: dict[str, str] | None,
) -> None:
    raw = RawEvent(
        item_id=item,
        event_type=kind,
        user_id=user,
        session_id=session,
        timestamp=time_ms,
        value=value,
        metadata=msgspec.UNSET if metadata is None else msgspec.Raw(msgspec.json.encode(metadata)),
    )
    event = decode_event(*encode_event(raw), NOW_MS, RULES)
    assert event == parse_event(raw, NOW_MS, RULES)
    assert (event.user, event.session) == (f"~{session}" if user is None else user, session)
    assert (event.item, event.type, event.time_ms) == (str(item), kind.lower(), time_ms)


def test_an_event_without_user_and_session_cannot_be_encoded() -> None:
    with pytest.raises(BadEvent, match="missing_user"):
        encode_event(RawEvent(item_id="i1", event_type="view"))


def test_every_reason_is_a_metric_label() -> None:
    assert all(reason.replace("_", "").isalnum() and reason == reason.lower() for reason in events.REASONS)
