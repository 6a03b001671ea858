"""What we replace or rely on inside Faust, aiokafka and aiohttp is still what was read when the engine was written.

Each place is named where it is used, as `path.py:line `function``. A test here fails when a new version has changed
the function, when it has moved, or when a place is named that is not watched. Then read the function again, see whether
what we put in its place still fits, and only then write the new line and digest down.
"""

import ast
import hashlib
import importlib
import inspect
import re
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import faust
import pytest
from faust.stores.memory import Store
from faust.tables.manager import TableManager
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport

from reco_stream.app import RecoApp, RecoWorker
from reco_stream.engine.assignment import Assignments, PartitionsStore, StateTables
from reco_stream.engine.delivery import BatchConsumer, BatchConsumerThread, BatchTransport

ROOT = Path(__file__).parents[2]
VERSIONS = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0", "aiohttp": "3.14.5"}

OURS = sorted([*(ROOT / "reco_stream").rglob("*.py"), *(ROOT / "web").rglob("*.py")])


class Place(NamedTuple):
    """A function of a library, as it was when the engine was written; `digest` is that of its source."""

    path: str
    line: int
    function: str
    digest: str


WATCHED = [
    Place("faust/transport/consumer.py", 642, "on_partitions_revoked", "1119883ef88f"),
    Place("faust/transport/consumer.py", 776, "_wait_next_records", "97fc2cf4cf94"),
    Place("faust/transport/consumer.py", 825, "ack", "6341c682b9ca"),
    Place("faust/transport/consumer.py", 980, "force_commit", "5a5a38733b53"),
    Place("faust/transport/consumer.py", 1170, "_drain_messages", "8308d11bc7a2"),
    Place("faust/transport/drivers/aiokafka.py", 237, "_new_consumer_thread", "e3e2675bb60b"),
    Place("faust/transport/drivers/aiokafka.py", 299, "verify_event_path", "aba302f7c00d"),
    Place("faust/transport/drivers/aiokafka.py", 545, "on_start", "03715c3bd9ce"),
    Place("faust/transport/drivers/aiokafka.py", 551, "on_thread_stop", "08913f186d43"),
    Place("faust/transport/drivers/aiokafka.py", 568, "_create_worker_consumer", "684c167041ff"),
    Place("faust/transport/drivers/aiokafka.py", 794, "_commit", "7201c9cd0528"),
    Place("faust/tables/manager.py", 119, "recovery", "2d1f5444084d"),
    Place("faust/tables/manager.py", 138, "on_start", "5e67c90893df"),
    Place("faust/tables/recovery.py", 306, "_resume_streams", "fec849656dbc"),
    Place("faust/tables/recovery.py", 338, "_restart_recovery", "597f90c1743b"),
    Place("aiokafka/client.py", 190, "bootstrap", "345e4c29fc22"),
    Place("aiokafka/conn.py", 408, "send", "3587057dfb1e"),
    Place("mode/worker.py", 317, "_sentinel_task", "9b2952d56306"),
    Place("mode/services.py", 928, "_crash", "c55ecd45c057"),
    Place("aiokafka/consumer/consumer.py", 695, "highwater", "70706fce2e08"),
    Place("aiokafka/consumer/fetcher.py", 584, "_get_actions_per_node", "ac50ec79eb3f"),
    Place("aiokafka/consumer/fetcher.py", 298, "_consumer_record", "d8ace8ffb7f6"),
    Place("aiokafka/consumer/fetcher.py", 444, "close", "ee18d442ded2"),
    Place("aiokafka/consumer/fetcher.py", 744, "_proc_fetch_request", "be217e037d90"),
    Place("aiokafka/consumer/group_coordinator.py", 374, "_maybe_leave_group", "81f4946fd791"),
    Place("aiokafka/consumer/group_coordinator.py", 538, "request_rejoin", "50ed2110a0bd"),
    Place("aiokafka/protocol/produce.py", 313, "build", "b651e5dcb89d"),
    Place("aiokafka/conn.py", 532, "_handle_frame", "dfa49ba2f503"),
    Place("aiohttp/streams.py", 284, "feed_data", "2974d8613131"),
    Place("aiohttp/web_protocol.py", 307, "shutdown", "4029d5c67525"),
    Place("aiohttp/web_protocol.py", 438, "data_received", "5a4ac2cd67f1"),
    Place("aiohttp/web_protocol.py", 550, "_process_keepalive", "1d043790b1f2"),
    Place("aiohttp/web_protocol.py", 610, "start", "86c9a780a36c"),
    Place("aiohttp/web_protocol.py", 850, "handle_error", "575e8489c915"),
    # Named nowhere, but what the engine does only makes sense while these do what they do.
    Place("faust/transport/consumer.py", 539, "_set_active_tps", "e994018f472d"),
    Place("faust/transport/drivers/aiokafka.py", 1088, "_fetch_records", "4ba572180fc6"),
    Place("faust/tables/manager.py", 187, "on_rebalance", "e9c3a70e219d"),
    Place("faust/app/base.py", 1790, "_on_partitions_revoked", "549ee65b7b3a"),
    Place("faust/app/base.py", 1851, "_on_partitions_assigned", "af4c4d9f5752"),
    Place("aiokafka/consumer/fetcher.py", 209, "_unpack_records", "40c81a2a6aac"),
    Place("aiokafka/consumer/fetcher.py", 1209, "fetched_records", "002f5b2f4ca3"),
    Place("aiokafka/client.py", 524, "coordinator_lookup", "834b9502b70d"),
]
NAMED = re.compile(r"((?:faust|aiokafka|aiohttp|mode)/[\w/]+\.py):(\d+) `(?:\w+\.)?(\w+)`")
UNNAMED = re.compile(r"(?:faust|aiokafka|aiohttp|mode)/[\w/]+\.py(?!:\d+ `[\w.]+`)")


def installed(path: str) -> Path:
    package, _, rest = path.partition("/")
    return Path(str(importlib.import_module(package).__file__)).parent / rest


@cache
def functions(path: str) -> dict[int, tuple[str, str]]:
    """Name and source of each function of a file, by the line of its `def`."""
    text = installed(path).read_text()
    return {
        node.lineno: (node.name, ast.get_source_segment(text, node) or "")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def digest_of(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:12]


@pytest.mark.parametrize("package", VERSIONS)
def test_version_is_the_one_that_was_read(package: str) -> None:
    assert version(package) == VERSIONS[package], f"read every place of {package} in {Path(__file__).name} again"
    assert f'"{package}=={VERSIONS[package]}"' in (ROOT / "pyproject.toml").read_text(), "pin the version that was read"


@pytest.mark.parametrize("place", WATCHED, ids=lambda place: f"{place.path}:{place.function}")
def test_function_is_unchanged(place: Place) -> None:
    found = functions(place.path)
    name, source = found.get(place.line, ("", ""))
    now_at = [line for line, (other, _) in found.items() if other == place.function]
    what = f"{place.path}:{place.line} `{place.function}`"
    assert name == place.function, f"{what} has moved to {now_at}"
    assert digest_of(source) == place.digest, f"{what} has changed: read it again, then what names it in reco_stream"


def named_places() -> list[tuple[str, str, int, str]]:
    """(our file, library file, line, function) of each place that our code names."""
    return [
        (str(file.relative_to(ROOT)), path, int(line), function)
        for file in OURS
        for path, line, function in NAMED.findall(file.read_text())
    ]


def test_every_named_place_is_watched() -> None:
    named = named_places()
    assert len(named) > 10
    watched = {place[:3] for place in WATCHED}
    assert [place for place in named if place[1:] not in watched] == []


def test_every_place_is_named_with_line_and_function() -> None:
    vague = {f"{file.relative_to(ROOT)}: {found}" for file in OURS for found in UNNAMED.findall(file.read_text())}
    assert vague == set()


SUBCLASSES: list[tuple[type[Any], type[Any]]] = [
    (BatchConsumer, Consumer),
    (BatchConsumerThread, AIOKafkaConsumerThread),
    (BatchTransport, Transport),
    (PartitionsStore, Store),
    (StateTables, TableManager),
    (RecoApp, faust.App),
    (RecoWorker, faust.Worker),
]
# What Faust's documentation offers for overriding.
HOOKS = {(RecoApp, "on_start"), (RecoApp, "on_stop")}
GENERATED = {"__init__"}


@pytest.mark.parametrize(("ours", "theirs"), SUBCLASSES, ids=lambda found: found.__name__)
def test_every_override_names_what_it_replaces(ours: type[Any], theirs: type[Any]) -> None:
    silent = []
    for name, value in vars(ours).items():
        function = value.fget if isinstance(value, property) else value
        overrides = inspect.isfunction(function) and hasattr(theirs, name) and name not in GENERATED
        if overrides and (ours, name) not in HOOKS and not NAMED.search(function.__doc__ or ""):
            silent.append(name)
    assert silent == []


def test_assignments_have_all_that_faust_asks_of_a_recovery() -> None:
    package = installed("faust/__init__.py").parent
    asked = {
        name
        for file in package.rglob("*.py")
        if file.name != "recovery.py"
        for name in re.findall(r"\b(?:self|tables)\._?recovery\.(\w+)", file.read_text())
    }
    assert asked >= {"on_rebalance", "on_partitions_revoked", "start", "completed"}
    recovery = Assignments(object())
    assert {name for name in asked if not hasattr(recovery, name)} == set()


def test_attributes_that_we_set_exist() -> None:
    """Setting an attribute that a new version has renamed would do nothing."""
    assert "self._fetch_max_wait_ms = fetch_max_wait_ms" in installed("aiokafka/consumer/consumer.py").read_text()
    fetcher = installed("aiokafka/consumer/fetcher.py").read_text()
    assert "self._fetch_min_bytes = fetch_min_bytes" in fetcher
    assert "self._fetch_max_wait_ms = fetch_max_wait_ms" in fetcher
    assert (
        "self._group_instance_id = group_instance_id" in installed("aiokafka/consumer/group_coordinator.py").read_text()
    )
    assert "_unacked_messages: MutableSet[Message]" in installed("faust/transport/consumer.py").read_text()


def test_fetch_wait_is_read_when_a_fetch_is_sent_or_at_start() -> None:
    """`_fetch_max_wait_ms` is set between the consumer's construction and its start, when the fetcher copies it."""
    source = installed("aiokafka/consumer/consumer.py").read_text()
    start = source[source.index("async def start(self)") :]
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in start
