import json

import pytest

from reco_stream.evaluation.log import Log
from reco_stream.evaluation.report import Report, table
from reco_stream.evaluation.run import evaluate
from tests.evaluation.logs import chained_log


@pytest.fixture(scope="module")
def report() -> Report:
    return evaluate("a <log>", Log(chained_log(150)), split="0.6", systems=("popularity", "reco"), k=5)


def test_the_table_names_every_system_under_both_protocols(report: Report) -> None:
    text = table(report)
    assert text.count("popularity") == 2
    assert "unseen only" in text
    assert "repeats allowed" in text
    assert f"{report.of('unseen')[1].figures['hr'].mean:.4f}" in text
    assert "weights unseen: session_knn" in text


def test_json_holds_the_same_figures(report: Report) -> None:
    values = json.loads(report.json())
    ours = [system for system in values["systems"] if system["system"] == "reco" and system["protocol"] == "unseen"]
    assert ours[0]["figures"]["mrr"]["mean"] == report.of("unseen")[1].figures["mrr"].mean
    assert values["k"] == 5
    assert values["weights"]["unseen"].keys() == report.weights["unseen"].keys()


def test_figures_lie_where_they_must(report: Report) -> None:
    for system in report.systems:
        hr, mrr = system.figures["hr"].mean, system.figures["mrr"].mean
        assert 0 <= mrr <= system.figures["ndcg"].mean <= hr <= 1
        assert 0 < system.coverage <= 1
        assert 0 <= system.gini < 1
        assert sum(count for count, _ in system.hr_by_length.values()) == system.queries
        assert system.micros_p50 <= system.micros_p99
