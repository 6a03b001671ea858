"""What a fault test asks for: a cluster of its own, and a place for what it saw.

FAULT_SEED=n runs every scenario with that seed; FAULT_REPORT=file puts the runs into the table of that page;
FAULT_MINUTES=m makes the long scenarios so long.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fault import report
from tests.fault.cluster import Cluster
from tests.fault.report import Run

PASSED = pytest.StashKey[bool]()
MakeCluster = Callable[..., Cluster]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.fault)
            item.add_marker(pytest.mark.kafka)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


@pytest.fixture(scope="session")
def runs() -> Iterator[list[Run]]:
    """All runs of this session."""
    found: list[Run] = []
    yield found
    path = os.environ.get("FAULT_REPORT")
    if path:
        report.write(found, Path(path))


@pytest.fixture
def run(request: pytest.FixtureRequest, runs: list[Run]) -> Iterator[Run]:
    """This test's run: its seed is fixed by its name unless FAULT_SEED says otherwise."""
    name = request.node.name
    seed = int(os.environ.get("FAULT_SEED") or zlib.crc32(name.encode()) % 100_000)
    found = Run(name.removeprefix("test_"), seed)
    runs.append(found)
    yield found
    found.passed = request.node.stash.get(PASSED, False)


@pytest.fixture
def make_cluster(kafka: Any, tmp_path: Path, run: Run) -> Iterator[MakeCluster]:
    """Makes applications on the shared Kafka; their workers end with the test."""
    made: list[Cluster] = []

    def make(bootstrap: str = kafka.bootstrap, partitions: int = 3, **env: str) -> Cluster:
        folder = tmp_path / f"cluster-{len(made)}"
        folder.mkdir()
        made.append(Cluster(bootstrap, folder, run, partitions, **env))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()
