import json
import sys
import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reco_stream.cli import build
from reco_stream.kafka_server import KafkaServer
from tests.evaluation.logs import chained_log

RUN = CliRunner()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    rows = [f"{e.time_ms / 1000},{e.user},{e.item},{e.type},1.0,{e.session}" for e in chained_log(120)]
    path.write_text("\n".join(["timestamp,user_id,item_id,event_type,value,session_id", *rows]) + "\n")
    return path


def test_prints_a_table_and_writes_both_files(log: Path, tmp_path: Path) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "report.html"
    options = ["--split", "0.5", "--systems", "popularity,reco", "--json", str(figures), "--html", str(page)]
    result = RUN.invoke(build(), ["evaluate", str(log), *options])
    assert result.exit_code == 0, result.output
    assert "unseen only" in result.output
    assert json.loads(figures.read_text())["visibility"] == "ended"
    assert page.read_text().startswith("<!doctype html>")


def test_without_a_split_it_is_prequential(log: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    result = RUN.invoke(build(), ["evaluate", str(log), "--systems", "popularity", "--json", str(figures)])
    assert result.exit_code == 0, result.output
    values = json.loads(figures.read_text())
    assert values["visibility"] == "open"
    assert values["test_events"] == values["events"]


@pytest.mark.kafka
def test_without_a_file_it_reads_the_events_topic(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch, log: Path, tmp_path: Path
) -> None:
    app = f"evaluate-{uuid.uuid4().hex[:8]}"
    for name, value in {"RECO_BROKER": kafka.bootstrap, "RECO_APP": app, "RECO_PARTITIONS": "2"}.items():
        monkeypatch.setenv(name, value)
    assert RUN.invoke(build(), ["topics", "create"]).exit_code == 0
    assert RUN.invoke(build(), ["replay", str(log)]).exit_code == 0
    figures = {name: tmp_path / f"{name}.json" for name in ("topic", "file")}
    options = ["--systems", "popularity,reco", "--json"]
    result = RUN.invoke(build(), ["evaluate", *options, str(figures["topic"])])
    assert result.exit_code == 0, result.output
    assert f"{app}.events: " in result.output
    assert RUN.invoke(build(), ["evaluate", str(log), *options, str(figures["file"])]).exit_code == 0
    topic, file = (json.loads(path.read_text())["systems"] for path in figures.values())
    assert [system["figures"]["hr"] for system in topic] == [system["figures"]["hr"] for system in file]
    nothing = RUN.invoke(build(), ["evaluate", "--from", "2100-01-01"])
    assert (nothing.exit_code, "has no event in that range" in nothing.output) == (65, True)


def test_pinned_weights_of_the_settings_are_in_force(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_FUSION_WEIGHTS", '{"unseen": {"rules": 2.5}}')
    result = RUN.invoke(build(), ["evaluate", str(log), "--systems", "reco"])
    assert "weights unseen: session_knn +0.00 sequence +0.00 rules +2.50" in result.output


def test_tune_prints_the_search(log: Path) -> None:
    result = RUN.invoke(build(), ["evaluate", str(log), "--tune", "--split", "0.8", "--sample", "0.5"])
    assert result.exit_code == 0, result.output
    assert "best 0." in result.output


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--systems", "magic"], 65, "systems are magic"),
        (["--split", "never"], 65, "split is never"),
        (["--index", "shut"], 2, "shut"),
        (["--tune"], 65, "tuning needs a training part"),
        (["--from", "7"], 2, "is for the events topic"),
    ],
)
def test_wrong_options_are_told(log: Path, options: list[str], code: int, words: str) -> None:
    result = RUN.invoke(build(), ["evaluate", str(log), *options])
    assert result.exit_code == code
    assert words in result.output


def test_kafka_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_BROKER", "127.0.0.1:1")
    result = RUN.invoke(build(), ["evaluate"])
    assert (result.exit_code, "127.0.0.1:1 does not answer" in result.output) == (69, True)


def test_a_missing_package_is_told(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    result = RUN.invoke(build(), ["evaluate", str(log), "--systems", "implicit_als"])
    assert (result.exit_code, "pip install 'reco-stream[evaluate]'" in result.output) == (65, True)


def test_a_bad_offset_is_told() -> None:
    result = RUN.invoke(build(), ["evaluate", "--to", "soon"])
    assert (result.exit_code, "--to is soon, wanted an offset" in result.output) == (65, True)
