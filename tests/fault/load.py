"""Events for the fault tests: the same seed gives the same records, with everything in them that may go wrong.

Sessions of a few users at a time, so that co-view has pairs; event ids that come twice, at once and later; events that
are late by hours or by months; negative ones; visitors who are forgotten; and records that break the contract, each
with the reason for which it must be refused. All times lie in the past, so that a run does not depend on today.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from reco_stream.domain.partitioner import partition_of

START_MS: Final = 1_700_000_000_000  # 2023-11-14
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
TYPES: Final = ("view",) * 12 + ("click",) * 4 + ("cart", "purchase", "like", "rating", "complete", "share")
USERS: Final = 240
ITEMS: Final = 90
OPEN_SESSIONS: Final = 8
FAR_FUTURE_MS: Final = 4_102_444_800_000  # 2100


@dataclass(frozen=True)
class Sent:
    """One record for the events topic; `reason` is why it must be refused, None for a good one."""

    partition: int
    key: bytes | None
    value: bytes | None
    reason: str | None = None


@dataclass
class _Visit:
    user: str | None
    session: str | None
    left: int


@dataclass
class Load:
    """An endless stream of records for `partitions` partitions; every call of `take` goes on where the last ended."""

    seed: int
    partitions: int
    bad_share: float = 0.01
    sent: int = 0
    _time_ms: int = START_MS
    _visits: list[_Visit] = field(default_factory=list)
    _with_ids: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def take(self, count: int) -> list[Sent]:
        """Returns the next `count` records."""
        return [self._next() for _ in range(count)]

    def _next(self) -> Sent:
        self.sent += 1
        draw = self._random.random()
        if draw < self.bad_share:
            return self.bad(self._random.choice(sorted(BAD)))
        if draw < self.bad_share + 0.04 and self._with_ids:
            return self._random.choice(self._with_ids)  # the very same record again
        return self.event()

    def event(self, **fields: Any) -> Sent:
        """Returns the next good event, with `fields` in place of what was drawn."""
        random = self._random
        visit = self._visit()
        body: dict[str, Any] = {
            "user_id": visit.user,
            "session_id": visit.session,
            "item_id": f"i{int(ITEMS * random.random() ** 2)}",
            "event_type": "hide" if random.random() < 0.02 else random.choice(TYPES),
            "timestamp": self._event_time(),
        }
        if body["event_type"] == "rating":
            body["value"] = random.randrange(6)
        with_id = random.random() < 0.6
        if with_id:
            body["event_id"] = f"e{self.sent}"
        sent = self.of({name: value for name, value in (body | fields).items() if value is not None})
        if with_id:
            self._with_ids = [*self._with_ids[-40:], sent]
        return sent

    def of(self, body: dict[str, Any]) -> Sent:
        """Returns the record of an event with this body."""
        user = body.get("user_id") or f"~{body['session_id']}"
        return Sent(partition_of(user, self.partitions), user.encode(), json.dumps(body).encode())

    def bad(self, kind: str) -> Sent:
        """Returns a record that must be refused."""
        return BAD[kind](self)

    def _visit(self) -> _Visit:
        random = self._random
        while len(self._visits) < OPEN_SESSIONS:
            number = self.sent * OPEN_SESSIONS + len(self._visits)
            user = None if random.random() < 0.1 else f"u{int(USERS * random.random() ** 2)}"
            session = f"s{number}" if user is None or random.random() < 0.3 else None
            self._visits.append(_Visit(user, session, 1 + int(random.random() * 8)))
        visit = random.choice(self._visits)
        visit.left -= 1
        if visit.left <= 0:
            self._visits.remove(visit)
        return visit

    def _event_time(self) -> int:
        """Returns the next time: seconds later as a rule, now and then hours, seldom late by hours or months."""
        random = self._random
        pause_ms = 4 * HOUR_MS if random.random() < 0.02 else 20_000
        self._time_ms += 1 + int(random.random() * pause_ms)
        draw = random.random()
        if draw < 0.03:
            return self._time_ms - int(random.random() * 3 * HOUR_MS)
        if draw < 0.035:
            return self._time_ms - int(random.random() * 60 * DAY_MS)
        return self._time_ms


def _changed(reason: str, **fields: Any) -> Callable[[Load], Sent]:
    """A good event with some fields replaced (None: left out)."""

    def make(load: Load) -> Sent:
        good = load.event()
        assert good.value is not None
        body = {name: value for name, value in (json.loads(good.value) | fields).items() if value is not None}
        return Sent(good.partition, good.key, json.dumps(body).encode(), reason)

    return make


def _raw(reason: str, make_value: Callable[[bytes], bytes | None]) -> Callable[[Load], Sent]:
    """A good event whose bytes are changed."""

    def make(load: Load) -> Sent:
        good = load.event()
        assert good.value is not None
        return Sent(good.partition, good.key, make_value(good.value), reason)

    return make


def _null_key(load: Load) -> Sent:
    good = load.event()
    return Sent(good.partition, None, good.value, "null_key")


def _other_key(load: Load) -> Sent:
    good = load.event()
    return Sent(good.partition, b"somebody else", good.value, "key_mismatch")


def _other_partition(load: Load) -> Sent:
    good = load.event()
    return Sent((good.partition + 1) % load.partitions, good.key, good.value, "wrong_partition")


# A class of records each; `huge` (5 MB) is sent on demand only, a whole run of them would test the network.
BAD: Final[dict[str, Callable[[Load], Sent]]] = {
    "not_utf8": _raw("not_utf8", lambda value: value[:-1] + b', "metadata": {"a": "\xff\xfe"}}'),
    "not_json": _raw("not_json", lambda value: value[:-2]),
    "empty": _raw("not_json", lambda value: b""),
    "nan": _raw("not_json", lambda value: value[:-1] + b', "value": NaN}'),
    "null_value": _raw("null_value", lambda value: None),
    "array": _raw("wrong_type", lambda value: b"[" + value + b"]"),
    "too_deep": _raw("too_deep", lambda value: value[:-1] + b', "metadata": {"a": ' + b"[" * 99 + b"]" * 99 + b"}}"),
    "missing_field": _changed("missing_field", item_id=None),
    "wrong_type": _changed("wrong_type", item_id=["i1"]),
    "huge_integer": _changed("bad_timestamp", timestamp=10**17),
    "unknown_type": _changed("unknown_type", event_type="teleport"),
    "reserved_type": _changed("reserved_type", event_type="$erase"),
    "bad_id": _changed("bad_id", item_id="x" * 257),
    "future": _changed("future_timestamp", timestamp=FAR_FUTURE_MS),
    "null_key": _null_key,
    "key_mismatch": _other_key,
    "wrong_partition": _other_partition,
}


def huge(load: Load) -> Sent:
    """Returns an event of 5 MB, five times what is allowed."""
    good = load.event()
    assert good.value is not None
    return Sent(good.partition, good.key, good.value[:-1] + b', "pad": "' + b"x" * 5_000_000 + b'"}', "too_large")


def reasons(sent: Iterator[Sent] | list[Sent]) -> int:
    """Returns how many of the records must be refused."""
    return sum(1 for record in sent if record.reason is not None)
