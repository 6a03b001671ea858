"""Reading event logs and catalogues."""

import gzip
from pathlib import Path

import msgspec
import pytest

from reco_stream.catalogue import Item
from reco_stream.event_files import (
    EventFile,
    FileFormatError,
    Line,
    Refused,
    read_items,
    time_ms,
    write_events,
    write_items,
)
from reco_stream.events import BadEvent, RawEvent

FULL = "timestamp,user_id,item_id,event_type,value,session_id\n"


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["events.csv", "events.csv.gz", "EVENTS.CSV"])
def test_csv_rows_become_events_of_the_contract(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, FULL + "1506826800.026,59,234853,click,1.0,s1\n1506826801,,7,view,,s2\n")
    assert list(EventFile(path)) == [
        Line(
            2,
            b"59",
            b'{"item_id":"234853","event_type":"click","user_id":"59","session_id":"s1",'
            b'"timestamp":1506826800026,"value":1.0}',
            1506826800026,
        ),
        Line(
            3,
            b"~s2",
            b'{"item_id":"7","event_type":"view","session_id":"s2","timestamp":1506826801000}',
            1506826801000,
        ),
    ]


def test_columns_may_miss_and_come_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path / "events.csv", "event_type,item_id,comment,user_id\nview,i1,hello,u1\n")
    assert list(EventFile(path)) == [Line(2, b"u1", b'{"item_id":"i1","event_type":"view","user_id":"u1"}', None)]


def test_json_lines_travel_as_they_are(tmp_path: Path) -> None:
    body = '{"user_id": 7, "item_id": "i1", "event_type": "view", "timestamp": "2026-01-31T12:00:00Z", "extra": [1]}'
    path = write(tmp_path / "events.jsonl", f"{body}\n\n")
    assert list(EventFile(path)) == [Line(1, b"7", body.encode(), 1769860800000)]


def test_bad_lines_are_told_and_the_rest_is_read(tmp_path: Path) -> None:
    rows = ["x,u1,i1,view,,", "1,u1,i1,view,much,", "1,,i1,view,,", "1,u1,i1", "1,u1,i1,view,,", "nan,u1,i1,view,,"]
    found = list(EventFile(write(tmp_path / "events.csv", FULL + "\n".join(rows))))
    assert [(line.number, line.reason) for line in found if isinstance(line, Refused)] == [
        (2, "bad_timestamp"),
        (3, "wrong_type"),
        (4, "missing_user"),
        (5, "not_json"),
        (7, "bad_timestamp"),
    ]
    assert [line.number for line in found if isinstance(line, Line)] == [6]


def test_a_bad_json_line_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "events.jsonl", '{"item_id"\n{"user_id":"u","item_id":"i","event_type":"view"}\n')
    first, second = EventFile(path)
    assert isinstance(first, Refused)
    assert (first.number, first.reason) == (1, "not_json")
    assert isinstance(second, Line)


@pytest.mark.parametrize("name", ["events.csv", "events.jsonl"])
def test_the_caller_may_refuse_more(tmp_path: Path, name: str) -> None:
    def no_views(event: RawEvent) -> None:
        if event.event_type == "view":
            raise BadEvent("unknown_type", "no views here", "event_type")

    text = (
        "item_id,event_type,user_id\ni,view,u\n"
        if name.endswith("csv")
        else '{"item_id":"i","event_type":"view","user_id":"u"}'
    )
    (line,) = EventFile(write(tmp_path / name, text), no_views)
    assert isinstance(line, Refused)
    assert line[1:] == ("unknown_type", "no views here")


def test_bytes_read_grow_to_the_size_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "events.csv.gz", FULL + "".join(f"{n},u{n},i{n % 97},view,,\n" for n in range(50_000)))
    file = EventFile(path)
    assert file.bytes_read == 0
    seen = [file.bytes_read for _ in file]
    assert seen == sorted(seen)
    assert 0 < seen[25_000] < path.stat().st_size
    assert file.bytes_read == file.total_bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("events.txt", b"", "ends in .txt; wanted: .csv, .jsonl"),
        ("events", b"", "ends in nothing; wanted"),
        ("events.csv", b"", "header is ''; wanted: also item_id, event_type, user_id or session_id"),
        ("events.csv", b"user_id,item_id\n", "header is 'user_id,item_id'; wanted: also event_type"),
        ("events.csv.gz", b"user_id,item_id,event_type\n", "no complete gzip file"),
        ("events.csv.gz", gzip.compress(FULL.encode() * 99)[:-9], "no complete gzip file"),
        ("events.csv", FULL.encode() + b"1,\xff,i,view,,\n", "is not UTF-8"),
        ("events.csv", FULL.encode() + b"1," + b"u" * 200_000 + b",i,view,,\n", "is no CSV file: field larger"),
    ],
)
def test_a_file_of_another_form_is_told(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=message) as failed:
        list(EventFile(tmp_path / name))
    assert str(tmp_path / name) in str(failed.value)


@pytest.mark.parametrize(
    ("found", "milliseconds"),
    [
        (1506826800, 1506826800000),
        (1506826800.0264, 1506826800026),
        (1506826800026, 1506826800026),
        ("2017-10-01T03:00:00Z", 1506826800000),
        ("2017-10-01T03:00:00", None),
        ("yesterday", None),
        (float("nan"), None),
        (float("inf"), None),
        (None, None),
    ],
)
def test_time_ms(found: str | float | None, milliseconds: int | None) -> None:
    assert time_ms(found) == milliseconds


def test_items_of_csv(tmp_path: Path) -> None:
    text = "item_id,title,categories,price,published_at\n1,Lamp,light|home,9.5,788918400.0\n2,,,,2020-01-01T00:00:00Z\n"
    assert list(read_items(write(tmp_path / "items.csv.gz", text))) == [
        Item(item_id="1", title="Lamp", categories=("light", "home"), price=9.5, published_at="1995-01-01T00:00:00Z"),
        Item(item_id="2", published_at="2020-01-01T00:00:00Z"),
    ]


def test_items_of_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "items.jsonl", '{"item_id": "1", "price": 2}\n\n')
    assert list(read_items(path)) == [Item(item_id="1", price=2)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("items.csv", "title\nLamp\n", "header is 'title'; wanted: item_id,title"),
        ("items.csv", "item_id,price\n1,cheap\n", r"items.csv line 2: .*price"),
        ("items.csv", "item_id,price\n1,-1\n", r"items.csv line 2: .*>= 0"),
        ("items.jsonl", '{"item_id": "1"}\n{\n', r"items.jsonl line 2"),
        ("items.jsonl", '{"item_id": 1}\n', r"items.jsonl line 1: .*item_id"),
    ],
)
def test_a_bad_item_is_told_with_its_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        list(read_items(write(tmp_path / name, text)))


EVENTS = [
    RawEvent(item_id="i1", event_type="view", user_id="u1", session_id="s1", timestamp=1506826800026),
    RawEvent(item_id="a,b", event_type="rating", session_id="s2", timestamp=1506826801000, value=4.5),
]
ITEMS = [Item(item_id="i1", title='Lamp, "blue"', categories=("light", "home"), price=9.5), Item(item_id="i2")]


@pytest.mark.parametrize("name", ["events.csv", "events.csv.gz", "deep/events.jsonl", "events.jsonl.gz"])
def test_what_is_written_reads_the_same(tmp_path: Path, name: str) -> None:
    write_events(tmp_path / name, EVENTS)
    assert [line[1:] for line in EventFile(tmp_path / name)] == [
        (b"u1", msgspec.json.encode(EVENTS[0]), 1506826800026),
        (b"~s2", msgspec.json.encode(EVENTS[1]), 1506826801000),
    ]


def test_events_are_written_in_the_published_form(tmp_path: Path) -> None:
    write_events(tmp_path / "events.csv", EVENTS)
    assert (tmp_path / "events.csv").read_text() == (
        FULL + '1506826800.026,u1,i1,view,,s1\n1506826801.000,,"a,b",rating,4.5,s2\n'
    )


@pytest.mark.parametrize("name", ["items.csv", "items.csv.gz", "items.jsonl"])
def test_items_that_are_written_read_the_same(tmp_path: Path, name: str) -> None:
    write_items(tmp_path / name, ITEMS)
    assert list(read_items(tmp_path / name)) == ITEMS


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    write_events(tmp_path / "one.csv.gz", EVENTS)
    write_events(tmp_path / "two.csv.gz", EVENTS)
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()
