"""The event contract: what producers may write to `{app}.events` and what the tables get to see.

`RawEvent` is the JSON as it travels, `Event` is what remains after every rule has been checked. `docs/events.md` says
the same for producers in any language. Nothing here reads a clock: the time of arrival is an argument.

A refused event raises `BadEvent`, whose `reason` is one of `REASONS`: few enough to be a metric label.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import isfinite
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

Reason = Literal[
    "null_key",  # no key: the record lies in no partition of its user
    "null_value",  # no value: a tombstone means nothing in a log of events
    "too_large",  # more bytes than RECO_EVENT_MAX_BYTES
    "not_utf8",
    "not_json",  # this includes NaN and Infinity, which JSON does not know
    "too_deep",  # more than MAX_DEPTH nested arrays and objects
    "missing_field",
    "wrong_type",
    "bad_id",
    "missing_user",  # neither user_id nor session_id
    "unknown_type",
    "reserved_type",  # an event_type that begins with "$"
    "bad_timestamp",
    "future_timestamp",  # later than its arrival plus RECO_FUTURE_TOLERANCE_S
    "key_mismatch",  # the key is not the user of the body
    "wrong_partition",  # found by the consumer: the producer hashes keys otherwise
    "fold_failed",  # found by the consumer: a rule raised again and again on this event
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)

ANONYMOUS_PREFIX: Final = "~"
RESERVED_TYPE_PREFIX: Final = "$"
MAX_ID_BYTES: Final = 256
MAX_DEPTH: Final = 32

# Events of these types carry a mark in `value`: the weight is scaled by value / best mark, clipped to 0..1.
BEST_MARK: Final[Mapping[str, float]] = {"rating": 5.0, "quiz_score": 100.0}

# Below 1e11 a number is seconds (until the year 5138), from there on milliseconds (since 1973-03-03).
MILLISECONDS_FROM: Final = 100_000_000_000
LAST_TIME_MS: Final = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z

_Id = Annotated[
    str | int,
    Meta(description="1 to 256 bytes of UTF-8 without control characters; an integer becomes its decimal text"),
]


class BadEvent(ValueError):
    """An event that breaks the contract: why (`reason`), in words (`detail`), which `field` when one is to blame."""

    def __init__(self, reason: Reason, detail: str, field: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Final = reason
        self.detail: Final = detail
        self.field: Final = field


class RawEvent(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, gc=False):
    """An event as producers write it: one of `user_id` and `session_id` is required, other fields are ignored."""

    item_id: _Id
    event_type: Annotated[str, Meta(description="a configured type in any letter case", examples=["view", "purchase"])]
    user_id: Annotated[_Id | None, Meta(description="the user; must not begin with '~'")] = None
    session_id: Annotated[_Id | None, Meta(description="the visit; identifies a visitor who has no user_id")] = None
    event_id: Annotated[_Id | None, Meta(description="the same id of the same user counts once in 24 hours")] = None
    timestamp: Annotated[
        str | int | float | None,
        Meta(description="RFC 3339 with zone, or epoch seconds, or epoch milliseconds; missing: time of arrival"),
    ] = None
    value: Annotated[
        float | None, Meta(description="a rating of 0..5 or a quiz score of 0..100 scales the weight; else only kept")
    ] = None
    recommendation_id: Annotated[_Id | None, Meta(description="the recommendation that led to this event")] = None
    metadata: Annotated[
        Raw | UnsetType, Meta(description="any JSON object; not used", extra_json_schema={"type": ["object", "null"]})
    ] = UNSET


class Event(msgspec.Struct, frozen=True, gc=False):
    """A valid, normalised event.

    `user` is the Kafka key as text (`user_id`, or "~" + `session_id`); `type` is a known type in lower case; `time_ms`
    is event time; `weight` >= 0 is scaled by `value` where the type says so and 0 for negative types.
    """

    user: str
    item: str
    type: str
    time_ms: int
    weight: float
    negative: bool = False
    session: str | None = None
    event_id: str | None = None
    value: float | None = None


@dataclass(frozen=True)
class EventRules:
    """What the settings say about events: the weight of each type, the negative types and the limits."""

    weights: Mapping[str, float]
    negative: frozenset[str]
    future_tolerance_ms: int
    max_bytes: int

    def kinds(self) -> list[tuple[str, float, bool, float]]:
        """(name, weight, whether negative, best mark or 0 when `value` scales nothing) of each known type."""
        weights = dict.fromkeys(self.negative, 0.0) | dict(self.weights)
        return [(kind, weight, kind not in self.weights, BEST_MARK.get(kind, 0.0)) for kind, weight in weights.items()]


def decode_event(key: bytes | None, value: bytes | None, append_time_ms: int, rules: EventRules) -> Event:
    """Return the event of a Kafka record, or raise `BadEvent` and nothing else, whatever the bytes are.

    `append_time_ms` is the record's timestamp (the topic stamps records when they are appended).
    """
    if key is None:
        raise BadEvent("null_key", "the record has no key; wanted: the user_id, or ~session_id, as UTF-8")
    if value is None:
        raise BadEvent("null_value", "the record has no value; wanted: a JSON object")
    event = _check(decode_raw(value, rules.max_bytes), append_time_ms, rules)
    if key != event.user.encode():
        raise BadEvent("key_mismatch", f"the key is {_clip(key)}; wanted: {_clip(event.user)} as UTF-8")
    return event


def parse_event(body: RawEvent | bytes, now_ms: int, rules: EventRules) -> Event:
    """Return the event of a request body that arrives at `now_ms`, or raise `BadEvent`."""
    return _check(decode_raw(body, rules.max_bytes) if isinstance(body, bytes) else body, now_ms, rules)


def encode_event(event: RawEvent) -> tuple[bytes, bytes]:
    """Return (key, value) to produce for `event`; `decode_event` accepts them when `parse_event` accepts `event`.

    Raises BadEvent when there is neither `user_id` nor `session_id`.

    >>> encode_event(RawEvent(item_id="i1", event_type="view", session_id="s1"))
    (b'~s1', b'{"item_id":"i1","event_type":"view","session_id":"s1"}')
    """
    return _user(event).encode(), encode_value(event)


def encode_value(event: RawEvent, event_id: str | None = None) -> bytes:
    """Return the value to produce for `event`, with `event_id` (plain ASCII) when it has none of its own.

    >>> encode_value(RawEvent(item_id="i1", event_type="view", session_id="s1"), "e1")
    b'{"item_id":"i1","event_type":"view","session_id":"s1","event_id":"e1"}'
    """
    value: bytes = _ENCODER.encode(event)
    return value if event_id is None else b'%b,"event_id":"%b"}' % (value[:-1], event_id.encode())


def decode_raw(body: bytes, max_bytes: int) -> RawEvent:
    """Return `body` as a `RawEvent` whose fields have the right types, or raise `BadEvent`; no rule is checked yet."""
    if len(body) > max_bytes:
        raise BadEvent("too_large", f"the event has {len(body)} bytes; wanted: at most {max_bytes}")
    try:
        if not body.isascii():
            body.decode()  # the JSON decoder skips unknown fields without looking at their bytes
        # Two counts cost 0.1 us; only a body with many brackets is worth the exact look.
        if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _depth(body) > MAX_DEPTH:
            raise BadEvent("too_deep", f"arrays and objects are nested deeper than {MAX_DEPTH} levels")
        return _DECODER.decode(body)
    except UnicodeDecodeError as error:
        raise BadEvent("not_utf8", f"byte {error.start} is not UTF-8 ({error.reason})") from None
    except msgspec.ValidationError as error:
        raise _wrong_shape(str(error)) from None
    except msgspec.DecodeError as error:
        raise BadEvent("not_json", f"{error}; wanted: one JSON object") from None


def decode_array(body: bytes, max_bytes: int) -> list[RawEvent] | None:
    """Return what `decode_raw` would of each event of a JSON array; None when it would refuse one, or might."""
    if len(body) > max_bytes:
        return None
    try:
        if not body.isascii():
            body.decode()
        events = _ARRAY_DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # Each event has its own braces, and the array has a bracket; `decode_raw` counts from the event's own on.
    nested = body.count(b"{") + body.count(b"[") - 1 - len(events)
    return events if nested < MAX_DEPTH else None


_DECODER = msgspec.json.Decoder(RawEvent)
_ARRAY_DECODER = msgspec.json.Decoder(list[RawEvent])
_ENCODER = msgspec.json.Encoder()


def _check(raw: RawEvent, now_ms: int, rules: EventRules) -> Event:
    """Apply every rule to `raw`; the order of the checks decides which reason a doubly bad event gets."""
    user = _user(raw)
    kind = raw.event_type
    weight = rules.weights.get(kind)
    negative = False
    if weight is None:
        kind, weight, negative = _type(kind, rules)
    value = raw.value
    if value is not None:
        weight *= _scale(kind, value)
    if raw.recommendation_id is not None:
        _id(raw.recommendation_id, "recommendation_id")
    if raw.metadata is not UNSET:
        _check_metadata(raw.metadata)
    return Event(
        user,
        _id(raw.item_id, "item_id"),
        kind,
        _time_ms(raw.timestamp, now_ms, rules.future_tolerance_ms),
        weight,
        negative,
        None if raw.session_id is None else _id(raw.session_id, "session_id"),
        None if raw.event_id is None else _id(raw.event_id, "event_id"),
        value,
    )


def _scale(kind: str, value: float) -> float:
    if not isfinite(value):
        raise BadEvent("wrong_type", f"value is {value}; wanted: a finite number", "value")
    best = BEST_MARK.get(kind)
    return 1.0 if best is None else min(max(value / best, 0.0), 1.0)


def _user(raw: RawEvent) -> str:
    if raw.user_id is not None:
        user = _id(raw.user_id, "user_id")
        if user[0] == ANONYMOUS_PREFIX:
            raise BadEvent(
                "bad_id", f"user_id is {_clip(user)}; a leading '~' is kept for anonymous visitors", "user_id"
            )
        return user
    if raw.session_id is not None:
        return ANONYMOUS_PREFIX + _id(raw.session_id, "session_id")
    raise BadEvent("missing_user", "neither user_id nor session_id is given; wanted: at least one", "user_id")


def _id(found: str | int, field: str) -> str:
    text = found if isinstance(found, str) else str(found)
    # Printable text of up to 64 characters, nearly every id, needs no second look: a character has at most 4 bytes.
    if 0 < len(text) <= MAX_ID_BYTES // 4 and text.isprintable():
        return text
    size = len(text.encode())
    if not 0 < size <= MAX_ID_BYTES:
        raise BadEvent("bad_id", f"{field} has {size} bytes; wanted: 1 to {MAX_ID_BYTES}", field)
    if _CONTROL_CHARACTER.search(text):
        raise BadEvent("bad_id", f"{field} is {_clip(text)}; wanted: no control character (below U+0020)", field)
    return text


_CONTROL_CHARACTER = re.compile("[\x00-\x1f]")


def _type(found: str, rules: EventRules) -> tuple[str, float, bool]:
    kind = found.lower()
    weight = rules.weights.get(kind)
    if weight is not None:
        return kind, weight, False
    if kind in rules.negative:
        return kind, 0.0, True
    if kind.startswith(RESERVED_TYPE_PREFIX):
        raise BadEvent(
            "reserved_type", f"event_type is {_clip(found)}; names with a leading '$' are reserved", "event_type"
        )
    known = ", ".join(sorted({*rules.weights, *rules.negative}))
    raise BadEvent("unknown_type", f"event_type is {_clip(found)}; wanted: one of {known}", "event_type")


def _time_ms(found: str | float | None, now_ms: int, tolerance_ms: int) -> int:
    if found is None:
        time_ms = now_ms
    elif isinstance(found, str):
        time_ms = _rfc3339_ms(found)
    elif MILLISECONDS_FROM <= found <= LAST_TIME_MS:
        time_ms = int(found)
    elif 0 <= found < MILLISECONDS_FROM:
        time_ms = round(found * 1000)
    else:
        time_ms = -1  # negative, absurd or not a number
    if not 0 <= time_ms <= LAST_TIME_MS:
        wanted = "RFC 3339, epoch seconds or epoch milliseconds, from 1970 to 9999"
        raise BadEvent("bad_timestamp", f"timestamp is {_clip(found)}; wanted: {wanted}", "timestamp")
    if time_ms > now_ms + tolerance_ms:
        ahead = (time_ms - now_ms) / 1000
        detail = (
            f"timestamp {_clip(found)} is {ahead:.0f} s after its arrival; wanted: at most {tolerance_ms / 1000:g} s"
        )
        raise BadEvent("future_timestamp", detail, "timestamp")
    return time_ms


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_ZONED = Annotated[datetime, Meta(tz=True)]


def _rfc3339_ms(text: str) -> int:
    try:
        moment: datetime = msgspec.convert(text, _ZONED)
    except msgspec.ValidationError:
        wanted = "RFC 3339 with a zone, such as 2026-01-31T12:00:00.250Z"
        raise BadEvent("bad_timestamp", f"timestamp is {_clip(text)}; wanted: {wanted}", "timestamp") from None
    return (moment - _EPOCH) // _MILLISECOND


def _check_metadata(metadata: Raw | UnsetType) -> None:
    first = bytes(metadata)[:1] if isinstance(metadata, Raw) else b"n"
    if first not in (b"{", b"n"):
        raise BadEvent("wrong_type", "metadata is not a JSON object", "metadata")


_JSON_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS = [1 if byte in b"[{" else -1 for byte in range(256)]


def _depth(body: bytes) -> int:
    """Return how deeply the JSON text `body` nests, at any length in linear time and without recursion.

    The decoder's own limit is the interpreter's stack, which depends on the caller: the same record must get the same
    verdict everywhere, or a rebuild would differ.
    """
    brackets = _JSON_STRING.sub(b"", body).translate(None, _NOT_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


_MISSING_FIELD = re.compile("Object missing required field `(?P<field>[^`]+)`")
_AT_FIELD = re.compile(r"^(?P<what>.*) - at `\$\.(?P<field>[^`.\[]+)")


def _wrong_shape(message: str) -> BadEvent:
    """Translate the JSON decoder's message about a value of the wrong type."""
    if missing := _MISSING_FIELD.match(message):
        return BadEvent("missing_field", f"{missing['field']} is missing", missing["field"])
    if at := _AT_FIELD.match(message):
        return BadEvent("wrong_type", f"{at['field']}: {at['what']}", at["field"])
    return BadEvent("wrong_type", message)


def _clip(found: Any) -> str:
    """Show a value in a message, at most 80 characters of it: keys and ids come from strangers."""
    text = repr(found)
    return text if len(text) <= 80 else f"{text[:77]}..."
