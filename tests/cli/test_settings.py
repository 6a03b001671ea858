import pytest
from typer.testing import CliRunner, Result

from reco_stream.cli import build
from reco_stream.settings_page import markdown


def reco(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["settings", *arguments])


def test_effective_settings_are_printed_with_their_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_SESSION_GAP", "20m")
    monkeypatch.setenv("RECO_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("RECO_KAFKA_SASL_USERNAME", "me")
    monkeypatch.setenv("RECO_KAFKA_SASL_PASSWORD", "hidden-word")
    result = reco()
    rows = dict(line.split("\t", 1) for line in result.stdout.splitlines())
    assert result.exit_code == 0
    assert rows["RECO_SESSION_GAP"] == "1200s\tenvironment"
    assert rows["RECO_RECENT_LIMIT"] == "50\tdefault"
    assert rows["RECO_KAFKA_SASL_PASSWORD"] == "********\tenvironment"
    assert "hidden-word" not in result.output


def test_all_problems_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_WEB_PORT", "x")
    monkeypatch.setenv("RECO_SESION_GAP", "20m")
    result = reco()
    assert result.exit_code == 78
    assert result.stderr.splitlines() == [
        "2 settings are wrong (`reco settings --markdown` explains all):",
        "  RECO_SESION_GAP is no setting; wanted: RECO_SESSION_GAP, or no such variable",
        "  RECO_WEB_PORT is 'x'; wanted: a valid integer, unable to parse string as an integer",
    ]


def test_the_page_needs_no_right_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_WEB_PORT", "x")
    result = reco("--markdown")
    assert (result.exit_code, result.stdout) == (0, markdown())
