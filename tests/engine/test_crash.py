"""Crash points: named, armed one at a time, and each of them really passed by the engine."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import reco_stream.engine
from reco_stream.engine import crash
from reco_stream.engine.crash import CRASH_POINTS, arm, crash_point

ENGINE = Path(str(reco_stream.engine.__file__)).parent
PASSES_THREE_TIMES = """
import sys
from reco_stream.engine.crash import arm, crash_point
arm(sys.argv[1])
for time in (1, 2, 3):
    crash_point("checkpoint.sent")
    crash_point("checkpoint.written")
    print(time, flush=True)
"""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm(None)


def test_every_point_is_passed_by_the_engine_and_no_other() -> None:
    passed = {
        name
        for file in ENGINE.glob("*.py")
        for name in re.findall(r'(?<!def )crash_point\("([^"]+)"\)', file.read_text())
    }
    assert passed == set(CRASH_POINTS)


def test_nothing_happens_unless_armed_for_the_point() -> None:
    crash_point("checkpoint.sent")
    arm("checkpoint.written:2")
    crash_point("checkpoint.sent")
    crash_point("checkpoint.written")
    assert crash._seen == 1
    arm(None)
    crash_point("checkpoint.written")


@pytest.mark.parametrize("point", ["checkpoint", "checkpoint.sent ", "", "sent:1"])
def test_unknown_point_is_refused_with_the_known_ones(point: str) -> None:
    with pytest.raises(ValueError, match=r"RECO_CRASH_AT: found .*wanted one of claim\.claimed, .*or name:count"):
        arm(point)


@pytest.mark.parametrize(("point", "printed"), [("checkpoint.sent", ""), ("checkpoint.written:3", "1\n2\n")])
def test_armed_point_kills_the_process_at_the_nth_passing(point: str, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PASSES_THREE_TIMES, point], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, printed)
