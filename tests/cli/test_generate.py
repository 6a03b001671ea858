"""`reco generate`: sample data in files."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from reco_stream.cli import build
from reco_stream.event_files import EventFile, Line, read_items


def reco(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["generate", *arguments])


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl", "jsonl.gz"])
def test_both_files_are_written_as_asked_for(tmp_path: Path, form: str) -> None:
    size = ["--events", "300", "--items", "40", "--users", "9", "--days", "2", "--end", "2025-03-03T10:00:00Z"]
    result = reco(str(tmp_path / "sample"), *size, "--format", form)
    assert result.exit_code == 0, result.output
    assert f"{tmp_path / 'sample' / f'events.{form}'}: 300 events over 2 days before 2025" in result.stdout
    lines = list(EventFile(tmp_path / "sample" / f"events.{form}"))
    assert len(lines) == 300
    for line in lines:
        assert isinstance(line, Line)
        assert 1740823200000 <= (line.time_ms or 0) < 1740996000000
    assert len(list(read_items(tmp_path / "sample" / f"items.{form}"))) == 40


def test_the_same_seed_makes_the_same_files(tmp_path: Path) -> None:
    for name, seed in (("one", "1"), ("two", "1"), ("three", "2")):
        assert reco(str(tmp_path / name), "--events", "200", "--seed", seed).exit_code == 0
    one, two, three = ((tmp_path / name / "events.csv.gz").read_bytes() for name in ("one", "two", "three"))
    assert one == two != three


@pytest.mark.parametrize("end", ["tomorrow", "2025-03-03T10:00:00", "1970-01-02T00:00:00Z"])
def test_a_bad_end_is_refused(tmp_path: Path, end: str) -> None:
    result = reco(str(tmp_path), "--end", end)
    assert result.exit_code == 2
    assert f"found '{end}'" in result.stderr
    assert list(tmp_path.iterdir()) == []
