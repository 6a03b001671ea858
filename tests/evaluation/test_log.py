import gzip
from pathlib import Path

import pytest

from reco_stream.evaluation.log import FIRST_MS, Interacted, LogError, read_log, sessionized

GAP_MS = 1_800_000


def written(path: Path, text: str) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def test_events_with_a_session_column(tmp_path: Path) -> None:
    text = (
        "timestamp,user_id,item_id,event_type,value,session_id\n10.5,u,a,VIEW,1,s1\n9,u,b,cart,1,s1\n11,v,a,view,,s1\n"
    )
    log = read_log(written(tmp_path / "events.csv.gz", text), GAP_MS)
    assert [(event.session, event.item, event.type, event.time_ms) for event in log.events] == [
        ("u/s1", "b", "cart", 9_000),
        ("u/s1", "a", "view", 10_500),
        ("v/s1", "a", "view", 11_000),
    ]
    assert log.test_from is None


def test_events_without_a_session_column_are_cut_at_pauses(tmp_path: Path) -> None:
    text = "timestamp,user_id,item_id,event_type\n0,u,a,view\n1800,u,b,view\n3601,u,c,view\n5,v,a,view\n"
    log = read_log(written(tmp_path / "events.csv", text), GAP_MS)
    assert [event.session for event in log.events] == ["u/0", "v/5000", "u/0", "u/3601000"]


def test_events_without_a_clock_take_their_order_as_time(tmp_path: Path) -> None:
    log = read_log(written(tmp_path / "events.csv", "user_id,item_id\nu,a\nu,b\n"), GAP_MS)
    assert [event.time_ms - FIRST_MS for event in log.events] == [0, 1_000]


def test_sessions_file_puts_a_training_part_without_a_clock_just_before_the_test(tmp_path: Path) -> None:
    text = (
        "split,session_idx,pos,item_id,timestamp\ntrain,0,0,a,\ntrain,0,1,b,\ntrain,1,0,c,\n"
        "test,0,0,a,1005\ntest,0,1,b,1010\ntest,1,0,c,1000\n"
    )
    log = read_log(written(tmp_path / "sessions.csv", text), GAP_MS)
    assert [(event.session, event.item, event.time_ms) for event in log.events] == [
        ("train/0", "a", 997_000),
        ("train/0", "b", 998_000),
        ("train/1", "c", 999_000),
        ("test/1", "c", 1_000_000),
        ("test/0", "a", 1_005_000),
        ("test/0", "b", 1_010_000),
    ]
    assert log.test_from == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("when,who\n1,2\n", "the header is when, who, wanted timestamp"),
        ("", "the header is empty"),
        ("timestamp,user_id,item_id,event_type\nnoon,u,a,view\n", "line 2: could not convert string to float: 'noon'"),
        ("split,session_idx,pos,item_id,timestamp\nother,0,0,a,\n", "split is 'other', wanted train or test"),
    ],
)
def test_what_is_no_log_is_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(LogError, match=words):
        read_log(written(tmp_path / "bad.csv", text), GAP_MS)


def test_an_unknown_user_is_the_session(tmp_path: Path) -> None:
    text = "timestamp,user_id,item_id,event_type,session_id\n1,,a,view,s9\n"
    log = read_log(written(tmp_path / "events.csv", text), GAP_MS)
    assert (log.events[0].user, log.events[0].session) == ("~s9", "~s9/s9")


def test_any_iterator_of_interactions_can_be_evaluated() -> None:
    events = sessionized((Interacted("u", item, "view", time) for time, item in enumerate("ab")), GAP_MS)
    assert [event.item for event in events] == ["a", "b"]
