"""The compiled reader folds what `decode_event` and the rules would make of a record, to the byte, or says that the
record is not plain. What producers usually write is plain."""

import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from reco_stream.domain.partitioner import partition_of
from reco_stream.domain.recommender import is_sampled
from reco_stream.engine.errors import StoreFailed
from reco_stream.events import LAST_TIME_MS, BadEvent, EventRules, RawEvent, decode_event, encode_event
from reco_stream.sample_data import SampleSize, sample_events
from tables.compiled_fold import CompiledRows, EventReader
from tables.rules import TableRules
from tests.engine.python_rows import DictStore
from tests.tables.event_texts import BAD_UTF8, ODD_YET_RIGHT, PLAIN, WRONG

NOW_MS = 1_800_000_000_000
RULES = EventRules(
    weights={"view": 1, "purchase": 10.0, "rating": 4.0, "quiz_score": 3.5, "free": 0.0, "Odd": 2.0, "товар": 1.5},
    negative=frozenset({"dislike", "hide", "Never"}),
    future_tolerance_ms=60_000,
    max_bytes=4_000,
)
PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()


def event_reader(partition: int = 0, partitions: int = 1) -> EventReader:
    return EventReader(RULES.kinds(), RULES.future_tolerance_ms, RULES.max_bytes, partition, partitions)


def new_rows() -> CompiledRows:
    rows = CompiledRows(DictStore(), TableRules(), 1 << 20)
    rows.begin(0)
    return rows


def record(key: bytes | None, value: bytes | None, time_ms: int = NOW_MS) -> Any:
    return SimpleNamespace(key=key, value=value, timestamp=time_ms)


class Twins:
    """Rows folded by the reader, and rows folded by Python's decoding; each record as the first one."""

    def __init__(self) -> None:
        self.reader, self.compiled, self.python = event_reader(), new_rows(), new_rows()
        self.plain = self.odd = 0

    def is_plain(self, key: Any, value: Any, time_ms: int = NOW_MS) -> bool:
        """Whether the reader took the record; that is checked to be right."""
        taken = self.compiled.fold_plain(self.reader, [record(key, value, time_ms)], 0, 1, 0)
        wanted: list[Any] = []
        counts: dict[str, int] = {}
        if taken:
            event = decode_event(key, value, time_ms, RULES)
            self.python.fold(event)
            wanted, counts = self.python.encode_dirty(), {event.type: 1}
            assert self.reader.type_of(key, value, time_ms) == event.type
            assert self.compiled.stream_time_ms == self.python.stream_time_ms == event.time_ms
        assert self.compiled.encode_dirty() == wanted, value
        assert self.reader.take_counts() == counts
        for rows in (self.compiled, self.python):
            rows.clear()
            rows.begin(0)
        self.plain, self.odd = self.plain + taken, self.odd + 1 - taken
        if not taken and isinstance(key, bytes) and isinstance(value, bytes) and abs(time_ms) < 1 << 63:
            assert self.reader.type_of(key, value, time_ms) is None
        return taken == 1

    def accepts(self, key: bytes, value: bytes, time_ms: int = NOW_MS) -> bool:
        """Whether Python accepts the record."""
        try:
            decode_event(key, value, time_ms, RULES)
        except BadEvent:
            return False
        return True


def body(**fields: str) -> bytes:
    """A plain event's JSON with the text of `fields` put in or, given as "", left out."""
    event = {"user_id": '"u1"', "item_id": '"i1"', "event_type": '"view"', "timestamp": str(NOW_MS)} | fields
    return ("{" + ",".join(f'"{name}":{text}' for name, text in event.items() if text) + "}").encode()


# -- what must be plain ------------------------------------------------------------------------------------------------


def key_of(value: bytes) -> bytes:
    return encode_event(msgspec.json.decode(value, type=RawEvent))[0]


def test_events_of_the_page_and_of_the_generator_are_plain() -> None:
    twins = Twins()
    samples = [sample.encode() for sample in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    samples += [sample.encode() for sample in re.findall(r"value = b'(.*)'", PAGE)]
    assert len(samples) == 3
    for value in samples:
        assert twins.is_plain(key_of(value), value), value
    for event in sample_events(SampleSize(items=50, users=20, days=3), seed=1, end_ms=NOW_MS):
        kind = event.event_type if event.event_type in RULES.weights else "view"
        assert twins.is_plain(*encode_event(msgspec.structs.replace(event, event_type=kind)))
    assert twins.plain > 50


@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize(
    "user", ["u1", "пользователь", "ユーザー", "\U0001f600", "a b/\\\"'~<>&", "x" * 256, "é" * 128]
)
def test_ids_of_any_script_are_plain_as_text_and_as_escapes(user: str, ensure_ascii: bool) -> None:
    twins = Twins()
    for name, key in (("user_id", user), ("event_id", f"~{user}"), ("recommendation_id", f"~{user}")):
        event = {"session_id": user, "item_id": user, "event_type": "view", name: user}
        assert twins.is_plain(key.encode(), json.dumps(event, ensure_ascii=ensure_ascii).encode())


def each(values: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(field, text) for field, texts in values.items() for text in texts]


@pytest.mark.parametrize(("field", "text"), each(PLAIN))
def test_usual_forms_of_each_field_are_plain(field: str, text: str) -> None:
    twins = Twins()
    assert twins.is_plain(b"u1", body(**{field: text}))
    for kind in ("rating", "quiz_score", "Hide"):
        twins.is_plain(b"u1", body(**{"event_type": f'"{kind}"', field: text}))
    assert twins.plain >= 2


@pytest.mark.parametrize(("field", "text"), each(ODD_YET_RIGHT))
def test_unusual_forms_are_left_to_python(field: str, text: str) -> None:
    twins, value = Twins(), body(**{field: text})
    assert not twins.is_plain(b"u1", value)
    assert twins.accepts(b"u1", value)


@pytest.mark.parametrize(("field", "text"), each(WRONG))
def test_what_python_refuses_is_not_plain(field: str, text: str) -> None:
    twins, value = Twins(), body(**{field: text})
    if field == "page" and not text:
        value = body()[:-1] + b","
    assert not twins.is_plain(b"u1", value)
    assert not twins.accepts(b"u1", value)


def test_times_are_plain_up_to_the_end_of_the_contract_and_of_the_tolerance() -> None:
    twins = Twins()
    late, last = LAST_TIME_MS, '"9999-12-31T23:59:59.999999Z"'
    for text in (str(late), f"{late}.0", last, "99999999999", "99999999999.9994"):
        assert twins.is_plain(b"u1", body(timestamp=text), late)
        assert not twins.is_plain(b"u1", body(timestamp=text))
    for text in ("", "null", str(NOW_MS), f"{NOW_MS}.9"):
        for time_ms in (0, NOW_MS - 60_001, NOW_MS - 60_000, late):
            value = body(timestamp=text)
            assert twins.is_plain(b"u1", value, time_ms) is twins.accepts(b"u1", value, time_ms)
    for time_ms in (-1, late + 1, 2**63 - 1, 2**63, -(2**63) - 1):
        assert not twins.is_plain(b"u1", body(timestamp=""), time_ms)


def test_a_body_is_plain_up_to_its_limits_and_only_as_one_object() -> None:
    twins, value = Twins(), body()
    padded = value + b" " * (RULES.max_bytes - len(value))
    for plain in (padded, b" \t\r\n" + value, value.replace(b",", b" , ").replace(b":", b"\n:\n"), body(page='"é"')):
        assert twins.is_plain(b"u1", plain)
    many = [
        b"",
        b" ",
        b"{}",
        b"[]",
        b"null",
        b"\xef\xbb\xbf" + value,
        value + b"x",
        value + b"\0",
        value * 2,
        padded + b" ",
    ]
    many += [b"[" + value + b"]", value[:-1], value[1:], value.replace(b'"', b"'"), value[:-1] + b',"item_id":"i1"}']
    many += [body(page='"?"').replace(b"?", bad) for bad in BAD_UTF8]
    for odd in many:
        assert not twins.is_plain(b"u1", odd)


@pytest.mark.parametrize("key", [None, b"", b"u", b"u11", b"~u1", b"U1", b"\xff", "u1", bytearray(b"u1"), 1])
def test_a_key_that_is_not_the_user_is_not_plain(key: Any) -> None:
    twins = Twins()
    assert not twins.is_plain(key, body())
    assert twins.is_plain(key, body(user_id="", session_id='"u1"')) is (key == b"~u1")
    assert not twins.is_plain(b"u1", key)
    assert not twins.is_plain(b"u1", None)


def test_a_name_that_occurs_twice_is_left_to_python() -> None:
    twins = Twins()
    for field, text in each({"user_id": ['"u1"'], **PLAIN}):
        twice = body(**{field: text or "1"})[:-1] + f',"{field}":{text or "1"}}}'.encode()
        assert twins.is_plain(b"u1", twice) is (field in ("page", "Item_id"))


# -- at random ---------------------------------------------------------------------------------------------------------


def random_body(draw: random.Random) -> bytes:
    """Most fields usual, some not, in any order, with white space, now and then one twice."""
    fields = [
        ("user_id", '"u1"'),
        ("item_id", '"i1"'),
        ("event_type", draw.choice(['"view"', '"rating"', '"quiz_score"'])),
    ]
    fields = [field for field in fields if draw.random() < 0.95]
    pools = draw.choices([PLAIN, ODD_YET_RIGHT, WRONG], [20, 1, 1], k=draw.randrange(6))
    for pool in pools:
        name = draw.choice([name for name in pool if name not in dict(fields)] or ["page"])
        fields.append((name, draw.choice(pool.get(name, ["1"])) or "null"))
    draw.shuffle(fields)
    space = [""] * 20 + [" ", "\n", "\t", "\r\n"]
    pairs = [f'{draw.choice(space)}"{name}"{draw.choice(space)}:{draw.choice(space)}{text}' for name, text in fields]
    return ("{" + ",".join(pairs) + "}").encode()


@pytest.mark.parametrize("seed", range(10))
def test_random_bodies_fold_to_the_same_bytes(seed: int) -> None:
    draw, twins = random.Random(seed), Twins()
    for _ in range(1_000):
        twins.is_plain(draw.choice([b"u1"] * 20 + [b"~s", b"u2"]), random_body(draw))
    assert min(twins.plain, twins.odd) > 250


@pytest.mark.parametrize("seed", range(10))
def test_damaged_bodies_fold_to_the_same_bytes(seed: int) -> None:
    """A byte or a few of them changed, left out, put in, doubled or cut off: mostly no event any more."""
    draw, twins = random.Random(seed), Twins()
    likely = b'"\\{}[]:,.-+eE0123456789untrfalse \n\0\x7f\x80\xc3\xa9\xed\xa0\xff'
    for _ in range(2_000):
        value = bytearray(random_body(draw))
        for _ in range(draw.randrange(1, 3)):
            at, end = sorted(draw.randrange(len(value) + 1) for _ in range(2))
            end = min(end, at + draw.choice([0, 1, 1, 1, 3, 30]))
            put = bytes(draw.choices(likely, k=draw.choice([0, 1, 1, 2]))) if draw.random() < 0.8 else value[at:end] * 2
            value[at:end] = put
        twins.is_plain(b"u1", bytes(value))
    assert min(twins.plain, twins.odd) > 100


def test_random_numbers_are_the_nearest_float() -> None:
    """Epoch seconds of any precision, and marks that scale a weight."""
    draw, twins = random.Random(0), Twins()
    for _ in range(3_000):
        time_s = draw.choice([repr(draw.uniform(0, 2e9)), f"{draw.uniform(0, 2e9):.{draw.randrange(1, 9)}f}"])
        mark = draw.choice([repr(draw.uniform(0, 5)), f"{draw.uniform(0, 6):.{draw.randrange(1, 17)}f}"])
        kind = draw.choice(['"rating"', '"quiz_score"'])
        twins.is_plain(b"u1", body(timestamp=time_s, value=mark, event_type=kind))
    assert twins.plain > 2_500


def test_every_day_is_counted_as_python_counts() -> None:
    twins = Twins()
    for year in [*range(1970, 2060), 2099, 2100, 2101, 2400]:
        for month in range(1, 13):
            for day in (1, 28, 29, 30, 31):
                value = body(timestamp=f'"{year:04}-{month:02}-{day:02}T12:34:56.789Z"')
                assert twins.is_plain(b"u1", value, LAST_TIME_MS) is twins.accepts(b"u1", value, LAST_TIME_MS)


# -- runs of records ---------------------------------------------------------------------------------------------------


def test_a_run_ends_at_what_is_not_plain_and_counts_what_it_folded() -> None:
    rows, reader = new_rows(), event_reader()
    kinds = ["view", "VIEW", "stare", "hide", "view"]
    records = [record(b"u1", body(event_type=f'"{kind}"')) for kind in kinds]
    assert rows.fold_plain(reader, records, 0, 5, 0) == 2
    assert reader.take_counts() == {"view": 2}
    assert rows.fold_plain(reader, records, 2, 5, 0) == 2
    assert rows.fold_plain(reader, records, 3, 5, 0) == 5
    assert reader.take_counts() == {"hide": 1, "view": 1}
    assert reader.take_counts() == {}


def test_records_of_other_partitions_are_not_plain() -> None:
    rows, readers = new_rows(), [event_reader(number, 12) for number in range(12)]
    for number in range(100):
        user = f"ü{number}"
        found = record(user.encode(), body(user_id=f'"{user}"'))
        taken = [rows.fold_plain(reader, [found], 0, 1, 0) for reader in readers]
        assert taken.index(1) == partition_of(user, 12)
        assert sum(taken) == 1


def test_events_of_the_sample_are_not_plain() -> None:
    rows, reader = new_rows(), event_reader()
    for number in range(500):
        user, time_ms = f"ü{number % 7}", NOW_MS - number
        found = record(user.encode(), body(user_id=f'"{user}"', timestamp=str(time_ms)))
        for one_in in (1, 2, 16):
            assert rows.fold_plain(reader, [found], 0, 1, one_in) == 1 - is_sampled(f"{user}/{time_ms}", one_in)


def test_a_type_is_asked_of_bytes() -> None:
    reader: Any = event_reader(3, 12)
    assert reader.type_of(b"u1", body(), NOW_MS) == "view"  # of whatever partition
    for given in (("u1", body(), NOW_MS), (b"u1", None, NOW_MS), (b"u1", body(), "1")):
        with pytest.raises(TypeError):
            reader.type_of(*given)
    with pytest.raises(TypeError):
        reader.type_of(b"u1", body())


def test_what_the_store_raises_and_what_is_no_record_is_passed_on() -> None:
    class Broken(DictStore):
        def get(self, key: bytes) -> bytes | None:
            raise StoreFailed("no disk")

    rows, reader, plain = CompiledRows(Broken(), TableRules(), 1 << 20), event_reader(), record(b"u1", body())
    raised: list[tuple[type[Exception], Callable[[], Any]]] = [
        (StoreFailed, lambda: rows.fold_plain(reader, [plain], 0, 1, 0)),
        (IndexError, lambda: rows.fold_plain(reader, [plain], 1, 2, 0)),
        (AttributeError, lambda: rows.fold_plain(reader, [object()], 0, 1, 0)),
        (TypeError, lambda: rows.fold_plain(None, [plain], 0, 1, 0)),  # type: ignore[arg-type]
        (ValueError, lambda: event_reader(partitions=0)),
        (TypeError, lambda: EventReader([("view",)], 0, 0, 0, 1)),  # type: ignore[list-item]
    ]
    for wanted, call in raised:
        with pytest.raises(wanted):
            call()
    assert reader.take_counts() == {}


def test_a_kind_is_what_the_rules_make_of_its_name() -> None:
    """A name in both lists has its weight; small letters come second; marks scale two types."""
    rules = EventRules({"rating": 2.0, "hide": 1.0}, frozenset({"hide", "skip"}), 0, 1)
    assert sorted(rules.kinds()) == [("hide", 1.0, False, 0.0), ("rating", 2.0, False, 5.0), ("skip", 0.0, True, 0.0)]


def test_memory_is_given_back() -> None:
    """Readers too."""
    draw = random.Random(0)
    records = [record(b"u1", random_body(draw)) for _ in range(200)]

    def blocks() -> int:
        for _ in range(20):
            rows, reader = new_rows(), event_reader()
            for at in range(len(records)):
                rows.fold_plain(reader, records, at, at + 1, 2)
            reader.take_counts()
        return sys.getallocatedblocks()

    before = blocks()
    assert abs(blocks() - before) < 200
