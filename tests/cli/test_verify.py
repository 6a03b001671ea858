"""`reco verify`: what it prints and how it ends."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from reco_stream.cli import build
from reco_stream.cli import verify as module
from reco_stream.verify.compare import Difference
from reco_stream.verify.verify import DIFFERENCES_SHOWN, Report


def run(monkeypatch: pytest.MonkeyPatch, report: Report) -> tuple[int, str]:
    """Exit code and output of a verification that found `report`."""

    async def found(*_: object) -> Report:
        return report

    monkeypatch.setattr(module, "_verify", found)
    result = CliRunner().invoke(build(), ["verify"])
    return result.exit_code, result.output


def test_equal_state_ends_with_0_and_the_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = run(monkeypatch, Report(rows=12_345, copies=2, events=99, applied={1: 7, 0: 5}))
    assert code == 0
    assert "no difference in 12,345 rows of 2 partition copies\n" in output
    assert "99 events folded" in output
    assert "0: 5, 1: 7" in output


def test_differences_end_with_1_and_are_printed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report(rows=10, unknown=["something else"])
    report.add(Difference("store", "recent", f"u{number}", "old", "new") for number in range(DIFFERENCES_SHOWN + 5))
    code, output = run(monkeypatch, report)
    assert code == 1
    assert output.startswith("store: recent 'u0': found old; wanted new\n")
    assert "and 5 more\n" in output
    assert f"{DIFFERENCES_SHOWN + 5} differences in 10 rows" in output


def test_what_cannot_be_known_ends_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = run(monkeypatch, Report(unknown=["the log begins at 5"]))
    assert code == 2
    assert "cannot know: the log begins at 5\n" in output


def test_kafka_that_does_not_answer_ends_with_69(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_BROKER", "127.0.0.1:1")
    result = CliRunner().invoke(build(), ["verify"])
    assert result.exit_code == 69
    assert "127.0.0.1:1 does not answer" in result.output
