import pytest

from reco_stream.domain.retrievers.kernel import SESSION_KNN
from reco_stream.evaluation.log import Log, LogError
from reco_stream.evaluation.tuning import GRID, training_part, tune, variants
from tests.evaluation.logs import chained_log


def test_variants_differ_in_one_constant() -> None:
    found = variants(SESSION_KNN)
    assert found.pop("so far") == SESSION_KNN
    assert len(found) == sum(len(values) for values in GRID.values()) - len(GRID)
    for kernel in found.values():
        assert sum(getattr(kernel, name) != getattr(SESSION_KNN, name) for name in GRID) == 1


def test_the_test_part_is_not_read() -> None:
    events = chained_log(120)
    other = [*events[:300], *(event._replace(item="elsewhere") for event in events[300:])]
    share = str(300 / len(events))
    assert list(tune(Log(events), share, 1.0)) == list(tune(Log(other), share, 1.0))


def test_the_search_tells_what_it_found() -> None:
    lines = list(tune(Log(chained_log(120)), "0.8", 1.0))
    assert lines[0].startswith("training ")
    assert lines[1].startswith("round 1: ")
    assert lines[-1].startswith("best 0.")
    assert "age_power=" in lines[-1]


def test_tuning_needs_a_training_part() -> None:
    with pytest.raises(LogError, match="tuning needs a training part"):
        training_part(Log(chained_log(20)), None)
