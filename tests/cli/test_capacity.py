"""`reco capacity`: prints the estimate, and refuses what is no number."""

import pytest
from typer.testing import CliRunner

from reco_stream.cli import build

runner = CliRunner()


def test_the_example_prints_what_it_needs_and_what_is_too_much() -> None:
    result = runner.invoke(build(), ["capacity", "--users", "10M", "--items", "1M", "--rate", "50k"])
    assert result.exit_code == 0
    lines = dict(line.rsplit("  ", 1) for line in result.output.splitlines() if not line.startswith("too much"))
    named = {name.strip(): value.strip() for name, value in lines.items()}
    assert int(named["folding, one core each"]) > 1
    assert named["memory of each"].endswith("GB")
    assert "too much for workers that know all items: " in result.output


@pytest.mark.parametrize("text", ["many", "0", "-1", "10X", "", "nan", "inf"])
def test_what_is_no_number_is_refused(text: str) -> None:
    result = runner.invoke(build(), ["capacity", "--users", text, "--items", "1", "--rate", "1"])
    assert result.exit_code == 2
    assert "wanted" in result.output
