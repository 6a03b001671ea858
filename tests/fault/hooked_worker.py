"""A worker with one thing wrong, as FAULT_HOOKS says; run in place of `python -m reco_stream worker`.

FAULT_HOOKS is a JSON object of hook -> arguments. Production code knows nothing of it: each hook replaces one name of
a module before the worker starts.

    freeze      {"at": crash point, "nth": n}        stops itself (SIGSTOP) at the n-th passing
    raise       {"item": id}                         a rule raises on each event of this item
    slow        {"item": id, "seconds": s}           a rule takes so long for each event of this item
    appends     {"lost_every": n, "refused_every": n, "late_every": n, "late_s": s, "dead_after": n, "budget_s": s}
                the n-th changelog append: its ack is lost, it is not sent, its ack is late; from one on none succeeds
    commits     {}                                   every offset commit fails
    clock       {"skew_s": s, "jump_after_s": t}     time.time() is off by s, from t seconds after the start on
    file_limit  {"bytes": n}                         from the first store on no file may grow beyond n bytes
    crash       {"after_s": s}                       Faust's commit task raises
    rebalances  {"kill_nth": n}                      says when it gives partitions back; kills itself the n-th time
    no_fence    {}                                   a claim fences nobody: each is that of another producer
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import time
import uuid
from collections.abc import Callable
from importlib import import_module
from typing import Any

from aiokafka import errors as kafka_errors

REVOKED = "the test sees partitions being given back"


def freeze(at: str, nth: int) -> None:
    names = ("checkpoint", "partition", "publisher")
    modules: list[Any] = [import_module(f"reco_stream.engine.{name}") for name in names]
    seen = 0
    original = modules[0].crash_point

    def stop_here(name: str) -> None:
        nonlocal seen
        original(name)
        if name == at:
            seen += 1
            if seen == nth:
                os.kill(os.getpid(), signal.SIGSTOP)

    for module in modules:
        module.crash_point = stop_here


def _after_fold(act: Callable[[str], None]) -> None:
    processor: Any = import_module("agents.events").EventProcessor
    fold = processor.fold

    def folded(self: Any, rows: Any, record: Any) -> Any:
        rejection = fold(self, rows, record)  # first, so that changed rows must be thrown away
        if rejection is None:
            act(json.loads(record.value)["item_id"])
        return rejection

    processor.fold = folded
    processor.fold_plain = lambda self, rows, records, start, stop: start  # each is folded by itself


def raise_on(item: str) -> None:
    def act(found: str) -> None:
        if found == item:
            raise ZeroDivisionError(f"a bug in a rule, on {item}")

    _after_fold(act)


def slow(item: str, seconds: float) -> None:
    def act(found: str) -> None:
        if found == item:
            time.sleep(seconds)

    _after_fold(act)


def appends(
    lost_every: int = 0,
    refused_every: int = 0,
    late_every: int = 0,
    late_s: float = 0.0,
    dead_after: int = 0,
    budget_s: float = 0.0,
) -> None:
    from aiokafka.client import AIOKafkaClient
    from aiokafka.protocol.produce import ProduceRequest

    from reco_stream.engine import changelog

    if budget_s:
        changelog._OUTAGE_BUDGET_S = budget_s
    send = AIOKafkaClient.send
    count = 0

    async def troubled(self: Any, node: Any, request: Any, **kwargs: Any) -> Any:
        nonlocal count
        ours = isinstance(request, ProduceRequest) and any(
            topic.endswith("-state-changelog") for topic, _ in request._topics
        )
        if not ours:
            return await send(self, node, request, **kwargs)
        count += 1
        if dead_after and count > dead_after:
            raise kafka_errors.KafkaConnectionError("refused by the test")
        if refused_every and count % refused_every == 0:
            raise kafka_errors.NotLeaderForPartitionError("refused by the test")
        answer = await send(self, node, request, **kwargs)
        if late_every and count % late_every == 0:
            await asyncio.sleep(late_s)
        if lost_every and count % lost_every == 0:
            raise kafka_errors.RequestTimedOutError("the ack is lost by the test")
        return answer

    AIOKafkaClient.send = troubled


def commits() -> None:
    from aiokafka.consumer.group_coordinator import GroupCoordinator

    async def failing(self: Any, *args: Any, **kwargs: Any) -> None:
        raise kafka_errors.CommitFailedError("refused by the test")

    GroupCoordinator.commit_offsets = failing


def clock(skew_s: float, jump_after_s: float = 0.0) -> None:
    true_time, true_ns, started = time.time, time.time_ns, time.monotonic()

    def skew() -> float:
        return skew_s if time.monotonic() - started >= jump_after_s else 0.0

    time.time = lambda: true_time() + skew()
    time.time_ns = lambda: true_ns() + int(skew() * 1e9)


def file_limit(bytes: int) -> None:  # noqa: A002  # named as in the table above
    from reco_stream.engine.store import PartitionStore

    first_open = PartitionStore.open

    def limited(self: Any) -> None:
        first_open(self)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, resource.RLIM_INFINITY))

    PartitionStore.open = limited  # type: ignore[method-assign]


def crash(after_s: float) -> None:
    from reco_stream.engine.delivery import BatchConsumer

    started = time.monotonic()
    commit = BatchConsumer.force_commit

    async def failing(self: Any, *args: Any, **kwargs: Any) -> bool:
        if time.monotonic() - started > after_s:
            raise ZeroDivisionError("a bug in Faust")
        return await commit(self, *args, **kwargs)

    BatchConsumer.force_commit = failing  # type: ignore[method-assign]


def rebalances(kill_nth: int = 0) -> None:
    from reco_stream.engine.engine import Engine

    revoke = Engine.revoke
    seen = 0

    async def dying(self: Any) -> None:
        nonlocal seen
        if self.partitions:
            seen += 1
            print(REVOKED, flush=True)
            if seen == kill_nth:
                os.kill(os.getpid(), signal.SIGKILL)
        await revoke(self)

    Engine.revoke = dying  # type: ignore[method-assign]


def no_fence() -> None:
    from reco_stream.engine.changelog import BrokerLink
    from reco_stream.engine.partition import Partition

    claim = BrokerLink.claim

    async def of_another(self: Any, transactional_id: str) -> Any:
        return await claim(self, f"{transactional_id}-{uuid.uuid4().hex}")

    async def trusting(self: Any, claim: Any, fence: Any, fence_at: int) -> int:
        return fence_at

    BrokerLink.claim = of_another  # type: ignore[method-assign]
    Partition._fence_forgotten = trusting  # type: ignore[method-assign]


HOOKS: dict[str, Callable[..., None]] = {
    "freeze": freeze,
    "raise": raise_on,
    "slow": slow,
    "appends": appends,
    "commits": commits,
    "clock": clock,
    "file_limit": file_limit,
    "crash": crash,
    "rebalances": rebalances,
    "no_fence": no_fence,
}


def main() -> None:
    hooks: dict[str, dict[str, Any]] = json.loads(os.environ.pop("FAULT_HOOKS"))
    for name, arguments in hooks.items():
        HOOKS[name](**arguments)
    from reco_stream.app import run_worker
    from reco_stream.settings_loader import load_settings

    run_worker(load_settings())


if __name__ == "__main__":
    main()
