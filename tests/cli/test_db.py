from __future__ import annotations

import pytest
from typer.testing import CliRunner

from reco_stream.cli import build


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(build(), list(arguments))
    return result.exit_code, result.output


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch, database_url: str) -> str:
    monkeypatch.setenv("RECO_DATABASE_URL", database_url)
    return database_url


def test_status_and_migrate(url: str) -> None:
    code, output = invoke("db", "status")
    assert code == 78
    assert "missing 0001_catalogue" in output
    assert invoke("db", "migrate")[1].startswith("applied 0001_catalogue\n")
    assert invoke("db", "migrate") == (0, "the schema is up to date\n")
    assert invoke("db", "status") == (0, "the schema is up to date\n")


def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = invoke("db", "migrate")
    assert (code, "RECO_DATABASE_URL is not set" in output) == (78, True)
    monkeypatch.setenv("RECO_DATABASE_URL", "postgresql://u:topsecret@127.0.0.1:1/d")
    code, output = invoke("db", "status")
    assert code == 69
    assert "topsecret" not in output
    monkeypatch.setenv("RECO_DATABASE_URL", "mysql://u:topsecret@h/d")
    code, output = invoke("db", "status")
    assert code == 78
    assert "topsecret" not in output
