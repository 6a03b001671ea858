"""Clients of a cluster under fault: each asks one worker after the other until it is answered, as good clients do."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence

from reco_stream.domain.partitioner import partition_of
from tests.fault.workers import Worker
from web.forward import HOPS_HEADER

TIMEOUT_S = 3.0
PAUSE_S = 0.02
# Two rounds over all workers: the first one may hit a worker that has just stopped, and a list that is out of date.
ROUNDS = 2


class Clients:
    """Threads that ask for recommendations until the `with` block ends.

    `failed` are questions that no worker answered with 200 and items; `sources` counts where answers came from.
    """

    def __init__(self, workers: Sequence[Worker], users: Sequence[str], count: int = 3) -> None:
        self._workers = list(workers)
        self._users = list(users)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask_forever, args=(n,), daemon=True) for n in range(count)]
        self.failed: list[str] = []
        self.answered = 0
        self.retried = 0
        self.sources: Counter[str] = Counter()
        self.slowest_s = 0.0

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30.0)
            assert not thread.is_alive(), "a client did not end"

    def _ask_forever(self, number: int) -> None:
        turn = number
        while not self._stop.is_set():
            turn += 1
            self._ask(self._users[turn % len(self._users)], turn)
            time.sleep(PAUSE_S)

    def _ask(self, user: str, turn: int) -> None:
        tried: list[str] = []
        began = time.monotonic()
        for offset in range(ROUNDS * len(self._workers)):
            worker = self._workers[(turn + offset) % len(self._workers)]
            found = self._once(worker, user)
            if isinstance(found, dict):
                self.answered += 1
                self.retried += offset > 0
                self.sources[found["source"]] += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                return
            tried.append(f"{worker.name}: {found}")
        self.failed.append(f"{user}: {'; '.join(tried)}")

    def _once(self, worker: Worker, user: str) -> dict[str, str] | str:
        url = f"http://127.0.0.1:{worker.port}/recommendations?user_id={user}&count=5"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                body: dict[str, str] = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return f"status {error.code}"
        except (OSError, ValueError) as error:
            return repr(error)
        if body["user_id"] != user:
            return f"an answer for {body['user_id']}"
        return body if body["recommendations"] else "an empty list"


class Witness:
    """Asks a worker that was cut off or frozen for a user of one of its partitions; notes what it answers itself."""

    def __init__(self, lost: Worker, heir: Worker, partitions: int) -> None:
        self._lost = lost
        self._heir = heir
        self._partition = next(iter(lost.applied()))
        users = (f"u{number}" for number in range(1_000))
        self._user = next(user for user in users if partition_of(user, partitions) == self._partition)
        self.kinds: Counter[str] = Counter()

    def look(self) -> None:
        moved = self._heir_has_it()
        path = f"/recommendations?user_id={self._user}&count=3"
        status, answer = self._lost.get(path, headers={HOPS_HEADER: "1"})  # so that it does not ask the heir
        moved = moved and self._heir_has_it()  # or the partition may just have come back
        kind = f"{answer['source']}{', stale' if answer['stale'] else ''}" if status == 200 else f"status {status}"
        self.kinds[kind] += 1
        assert not (moved and kind == "owner"), "served as fresh by a worker that has lost the partition"

    def _heir_has_it(self) -> bool:
        return self._partition in self._heir.applied()

    def watch(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.look()
            time.sleep(0.2)
