import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reco_stream.cli import build
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
    ],
)
def test_wrong_options_are_told(log: Path, options: list[str], code: int, words: str) -> None:
    result = RUN.invoke(build(), ["evaluate", str(log), *options])
    assert result.exit_code == code
    assert words in result.output
