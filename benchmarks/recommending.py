"""What a recommendation and the upkeep of the session index cost, with several logs loaded into one index.

Run: `.venv/bin/python benchmarks/recommending.py LOG [LOG ...]`, each an events or sessions file of `reco evaluate`.
The logs are moved to one end time, so that the newest sessions of all of them compete. Queries are the contexts of a
sample of the last 5 % of each log. CPU is that of the thread; "quiet" is the least of 7 tries of each query, which
takes out what other processes do to the caches. The baseline is VMIS-kNN with its published defaults in the same
process.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from reco_stream.domain.context import Context, Interaction
from reco_stream.domain.recommender import Recommender
from reco_stream.domain.retrievers.vmis import VmisKnn
from reco_stream.evaluation.log import Logged, read_log

GAP_MS = 1_800_000
QUERIES = 500
TRIES = 7


def load(recommender: Recommender, name: str, events: list[Logged], shift_ms: int) -> tuple[list[Context], float]:
    """Put every event and return sampled contexts of the last 5 %, and the CPU microseconds a put."""
    chance = random.Random(1)
    sessions: dict[str, list[Interaction]] = {}
    contexts, cpu_ns = [], 0
    share = min(1.0, 3 * QUERIES / (0.05 * len(events)))
    for place, event in enumerate(events):
        session = sessions.setdefault(event.session, [])
        time_ms = event.time_ms + shift_ms
        if session and place > 0.95 * len(events) and chance.random() < share:
            contexts.append(Context(tuple(session[-50:]), time_ms))
        session.append(Interaction(f"{name}/{event.item}", event.type, time_ms))
        value = session[-50:]
        began = time.thread_time_ns()
        recommender.update_session(f"{name}/{event.session}", value, time_ms)
        cpu_ns += time.thread_time_ns() - began
    return contexts[:QUERIES], cpu_ns / len(events) / 1_000


def timed(contexts: list[Context], ask: Callable[[Context], object]) -> str:
    """Return CPU of a query: mean and p99 of first tries, mean of the best of all tries."""
    first, quiet = [], []
    for context in contexts:
        tries = []
        for _ in range(TRIES):
            began = time.thread_time_ns()
            ask(context)
            tries.append((time.thread_time_ns() - began) / 1_000)
        first.append(tries[0])
        quiet.append(min(tries))
    return f"{np.mean(first):6.0f} mean {np.percentile(first, 99):6.0f} p99 {np.mean(quiet):6.0f} quiet"


def main(paths: list[Path]) -> None:
    """Load all logs, then ask."""
    recommender = Recommender()
    logs = [(path.parent.name, list(read_log(path, GAP_MS).events)) for path in paths]
    end_ms = max(events[-1].time_ms for _, events in logs)
    asked = {}
    for name, events in logs:
        asked[name], upkeep = load(recommender, name, events, end_ms - events[-1].time_ms)
        index = recommender.index
        print(
            f"{name}: {len(events):,} events, {upkeep:.1f} us of CPU an event; index {len(index):,} sessions, "
            f"{index.nbytes / 1e6:.0f} MB"
        )
    baseline = VmisKnn(recommender.index)
    asks: dict[str, Callable[[Context], object]] = {
        "vmis_knn": lambda context: baseline.recommend(context, 20, set(context.items)),
        "reco, unseen only": lambda context: recommender.recommend(context, 20, set(context.items)),
        "reco, repeats": lambda context: recommender.recommend(context, 20),
    }
    for name, contexts in asked.items():
        print(f"{name}, {len(contexts)} queries, CPU us a query")
        for words, ask in asks.items():
            print(f"  {words:<20} {timed(contexts, ask)}")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
