"""The table of runs: every fault of the plan has a test, and a new run takes the place of the last one."""

from __future__ import annotations

import re
from pathlib import Path

from tests.fault.report import FAULTS, HEAD, Run, write


def test_every_fault_of_the_plan_has_a_test_and_every_test_a_fault() -> None:
    files = [file for file in Path(__file__).parent.glob("test_*.py") if file != Path(__file__)]
    tests = {name for file in files for name in re.findall(r"^def test_(\w+)", file.read_text(), re.MULTILINE)}
    assert tests <= FAULTS.keys()
    assert {FAULTS[test] for test in tests} >= {*range(1, 22)}  # 22 and 23, upgrades and soak, come later


def test_a_run_takes_the_place_of_the_last_one_of_its_test(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Words\n\n{HEAD}")
    write([Run("zombie[idle]", 5), Run("killed_at[x]", 6, passed=True)], page)
    write([Run("zombie[idle]", 7, passed=True)], page)
    words, _, table = page.read_text().partition(HEAD)
    assert words == "# Words\n\n"
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert [(row[0], row[1], row[3], row[7]) for row in found] == [
        ("1", "killed_at[x]", "6", "0"),
        ("6", "zombie[idle]", "7", "0"),
    ]


def test_a_run_that_did_not_end_well_says_so(tmp_path: Path) -> None:
    write([Run("zombie[idle]", 5)], tmp_path / "new.md")
    assert "| **failed** |" in (tmp_path / "new.md").read_text()
