from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reco_stream.archive.parquet import ParquetEvents, ParquetSink
from reco_stream.archive.record import Record
from reco_stream.cli import build


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(build(), list(arguments))
    return result.exit_code, result.output


async def archived(folder: Path) -> None:
    event = b'{"user_id": "u", "item_id": "a", "event_type": "view"}'
    await ParquetSink(folder).write("t", 0, [Record(0, 1_000, b"u", event), Record(1, 2_000, b"u", event)])


def test_old_days_are_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asyncio.run(archived(tmp_path))
    monkeypatch.setenv("RECO_ARCHIVE_DIR", str(tmp_path))
    code, output = invoke("archive", "prune", "--days", "30")
    assert code == 0
    assert output.startswith("removed day=1970-01-01\n1 days before")
    assert not list(tmp_path.iterdir())


def test_the_archive_is_replayed(tmp_path: Path) -> None:
    asyncio.run(archived(tmp_path))
    assert len(list(ParquetEvents(tmp_path))) == 2
    code, output = invoke("replay", "--help")
    assert (code, "Parquet archive" in output) == (0, True)


def test_without_a_database_it_says_so() -> None:
    code, output = invoke("archive", "run", "--to", "database")
    assert (code, "RECO_DATABASE_URL is not set" in output) == (78, True)
