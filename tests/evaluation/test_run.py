import pytest

from reco_stream.evaluation.log import Log, LogError
from reco_stream.evaluation.run import evaluate, split_position
from tests.evaluation.logs import START_MS, chained_log

DAY_MS = 86_400_000
EVENTS = [
    event._replace(time_ms=START_MS + place * DAY_MS // 100) for place, event in enumerate(chained_log(120)[:300])
]


@pytest.mark.parametrize(
    ("split", "position"),
    [
        (None, 0),
        ("0.5", 150),
        ("1d", 100),
        ("2.5d", 250),
        ("2023-11-15T22:13:20", 100),
        ("2023-11-16T00:13:20+02:00", 100),
    ],
)
def test_where_the_test_part_starts(split: str | None, position: int) -> None:
    assert split_position(Log(EVENTS), split) == position


def test_the_files_own_test_part_is_taken_unless_told_otherwise() -> None:
    assert split_position(Log(EVENTS, test_from=77), None) == 77
    assert split_position(Log(EVENTS, test_from=77), "0.5") == 150


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("1.5", "wanted a share between 0 and 1"),
        ("9d", "split 9d leaves no test events: the log ends 2023-11-17"),
        ("xd", "split is xd, wanted 0.8, 3d or"),
        ("soon", "split is soon, wanted 0.8, 3d or"),
    ],
)
def test_a_split_that_makes_no_sense_is_told(split: str, words: str) -> None:
    with pytest.raises(LogError, match=words):
        split_position(Log(EVENTS), split)


def test_an_empty_log_is_told() -> None:
    with pytest.raises(LogError, match="the log is empty"):
        split_position(Log([]), None)


def test_the_fusion_beats_popularity_on_chained_items() -> None:
    report = evaluate("chained", Log(chained_log(400)), split="0.5", systems=("popularity", "reco"))
    for protocol in ("unseen", "repeats"):
        popularity, ours = report.of(protocol)
        assert ours.figures["mrr"].low > popularity.figures["mrr"].high
    assert set(report.weights) == {"unseen", "repeats"}
    assert report.test_events == len(chained_log(400)) - round(0.5 * len(chained_log(400)))


def test_the_fusion_is_never_below_the_interval_of_its_best_source() -> None:
    sources = ("session_knn", "sequence", "rules", "co_view", "transitive", "history")
    log = Log(chained_log(1_000, items=200))
    report = evaluate("chained", log, split="0.7", visibility="open", systems=(*sources, "reco"))
    for protocol in ("unseen", "repeats"):
        *alone, ours = report.of(protocol)
        for figure in ("hr", "mrr"):
            best = max((source.figures[figure] for source in alone), key=lambda found: found.mean)
            assert best.mean > 0.1
            assert ours.figures[figure].mean >= best.low
