"""`reco demo`: options and exit codes; the story itself is tested with its modules."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from reco_stream.cli import build
from reco_stream.demo import DemoError
from reco_stream.demo.run import Demo
from reco_stream.local_workers import WorkerEnded, WorkerNotReady


def reco(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["demo", *arguments])


def test_options_reach_the_demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs: list[Demo] = []
    monkeypatch.setattr(Demo, "run", lambda demo: runs.append(demo))
    assert reco("--once", "--events", "500", "--folder", str(tmp_path)).exit_code == 0
    assert (runs[0].once, runs[0].size.events, runs[0].folder) == (True, 500, tmp_path)
    assert reco().exit_code == 0
    assert (runs[1].once, runs[1].size.events, runs[1].folder) == (False, 50_000, Path(".reco/demo"))


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DemoError("java was not found"), 69, "error: java was not found\n"),
        (WorkerEnded("the worker ended"), 69, "error: the worker ended\n"),
        (WorkerNotReady("the worker is late"), 69, "error: the worker is late\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
)
def test_what_goes_wrong_is_told_with_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    def fail(demo: Demo) -> None:
        raise error

    monkeypatch.setattr(Demo, "run", fail)
    result = reco("--once")
    assert (result.exit_code, result.stderr) == (code, message)
