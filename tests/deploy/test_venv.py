"""deploy/venv.sh and the commands around it: a missing prerequisite is one line that says what to install."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with nothing but the script, and a folder `bin` that is the whole PATH."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "venv.sh", tmp_path / "deploy")
    (tmp_path / "bin").mkdir()
    for name in ("dirname", "touch"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or name)
    return tmp_path


def run(tree: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(tree / "bin"), "HOME": str(tree)}
    script = str(tree / "deploy" / "venv.sh")
    return subprocess.run(["/bin/sh", script], env=environment, capture_output=True, text=True, check=False)


def refusal(tree: Path) -> str:
    done = run(tree)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (tree / ".venv").exists()
    return done.stderr


def test_no_python(tree: Path) -> None:
    assert "install one (Debian: apt-get install python3 python3-venv python3-dev)" in refusal(tree)


def test_a_python_that_does_not_work_or_is_too_old_is_passed_over(tree: Path) -> None:
    program(tree / "bin", "python3.13", "exit 127")
    program(tree / "bin", "python3", "exit 1")  # what the check of the version answers
    assert "Python 3.11, 3.12 or 3.13 was not found" in refusal(tree)


def test_no_venv_module(tree: Path) -> None:
    program(tree / "bin", "python3.12", "case $2 in *ensurepip*) exit 1;; esac")
    assert "python3.12 cannot make virtual environments: install" in refusal(tree)


def test_no_headers(tree: Path) -> None:
    program(tree / "bin", "python3", "case $2 in *Python.h*) exit 1;; esac")
    assert "apt-get install python3-dev" in refusal(tree)


def test_no_compiler(tree: Path) -> None:
    (tree / "bin" / "python3").symlink_to(sys.executable)
    assert "no C++ compiler was found, which annoy and our C++ need: install one" in refusal(tree)


def test_everything_there(tree: Path) -> None:
    """A stand-in Python makes a stand-in environment and writes down what it was asked to install."""
    calls = tree / "calls"
    program(tree / "bin", "mkdir", 'exec /bin/mkdir "$@"')
    program(tree / "bin", "cp", 'exec /bin/cp "$@"')
    program(tree / "bin", "g++", "")
    program(
        tree / "bin",
        "python3.11",
        'case "$*" in *"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python;; '
        f'*"-m pip"*) echo "$*" >> {calls};; esac',
    )
    done = run(tree)
    assert done.returncode == 0, done.stderr
    install = "-m pip install --quiet --disable-pip-version-check"
    assert calls.read_text().splitlines() == [
        f"{install} --require-hashes -r requirements-dev.lock",
        f"{install} --no-deps --editable .",
    ]
    assert (tree / ".venv" / ".installed").exists()


def test_ci_runs_make_test_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines == ["#!/bin/bash", "set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]
    assert "- run: make test\n" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_make_test_is_lint_format_types_and_tests() -> None:
    planned = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "--assume-old=.venv/.installed", "test"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},  # of `make test` itself
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert planned == [
        ".venv/bin/python -m ruff check .",
        ".venv/bin/python -m ruff format --check .",
        ".venv/bin/python -m mypy --strict reco_stream agents tables web tests benchmarks",
        ".venv/bin/python -m pytest",
    ]
