"""Cold start: how often the next item is in the list when that item has fewer than 5 events, with content and without.

    python benchmarks/cold_start.py EVENTS ITEMS [--test 0.2] [--sample 4] [--count 20]

The log is followed in time. An item is in the catalogue from the day of its first event on (content of later ones is
not known). Each sampled event of the last part is asked for just before it is applied; items that the person has seen
are excluded, and events on them are no questions. Prints hit rate at `count` for cold targets and for all of them.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from reco_stream.content.encoder import Floats
from reco_stream.content.hashed import HashedEncoder
from reco_stream.domain.cold_start import ColdStart
from reco_stream.domain.fusion_ranker import FusionRanker
from reco_stream.domain.ranker import Near, Query, Ranker, Ranking, RecentItem
from reco_stream.domain.recommender import Recommender
from reco_stream.event_files import read_items

GAP_MS = 1_800_000
COLD = 5
DAY_MS = 86_400_000

Event = tuple[int, str, str]  # time_ms, person, item


class Nothing:
    """A filler that knows nothing, so that only the sources under test count."""

    name = "nothing"

    def rank(self, query: Query) -> Ranking:
        return Ranking([])


class KnownContent:
    """Vectors of the items that are in the catalogue so far."""

    def __init__(self, vectors: dict[str, Floats]) -> None:
        self._vectors = vectors
        self._names: list[str] = []
        self._place: dict[str, int] = {}
        self._rows = np.zeros((len(vectors), 384), np.float32)

    @property
    def ready(self) -> bool:
        return bool(self._names)

    def publish(self, item: str) -> None:
        if item not in self._place and item in self._vectors:
            self._place[item] = len(self._names)
            self._rows[len(self._names)] = self._vectors[item]
            self._names.append(item)

    def near(self, seeds: Sequence[tuple[str, float]], count: int, accept: Callable[[str], bool] | None) -> list[Near]:
        known = [(item, weight) for item, weight in seeds if item in self._place]
        if not known:
            return []
        query = sum((weight * self._rows[self._place[item]] for item, weight in known), np.zeros(384, np.float32))
        scores = self._rows[: len(self._names)] @ (query / (np.linalg.norm(query) or 1.0))
        found: list[Near] = []
        for place in np.argsort(-scores[::-1], kind="stable").tolist():
            name, score = self._names[-1 - place], float(scores[-1 - place])
            if score <= 0 or len(found) == count:
                break
            if accept is None or accept(name):
                found.append(Near(name, min(score, 1.0), known[0][0]))
        return found


def read_events(path: Path) -> Iterator[Event]:
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            yield round(float(row["timestamp"]) * 1000), row["user_id"], row["item_id"]


class Replay:
    """The log so far: events of each item, the items of each person, and the rankers under test."""

    def __init__(self, content: KnownContent) -> None:
        self.events: Counter[str] = Counter()
        self.seen: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._session: dict[str, tuple[str, int, list[tuple[str, str, int]]]] = {}
        self._recommender = Recommender()
        without = FusionRanker(self._recommender, Nothing(), GAP_MS)
        self.rankers: dict[str, Ranker] = {
            "without": without,
            "with": ColdStart(without, content, lambda item: self.events[item] < COLD),
        }

    def ask(self, person: str, time_ms: int, count: int) -> dict[str, list[str]]:
        recent = [RecentItem(item, 1.0, at_ms) for item, at_ms in reversed(list(self.seen[person].items())[-50:])]
        query = Query(recent, count, time_ms, exclude_seen=True)
        return {name: [found.item for found in ranker.rank(query).items] for name, ranker in self.rankers.items()}

    def apply(self, time_ms: int, person: str, item: str) -> None:
        key, last_ms, items = self._session.get(person, ("", -GAP_MS - 1, []))
        if time_ms - last_ms > GAP_MS:
            key, items = f"{person}/{time_ms}", []
        items = [*(visit for visit in items if visit[0] != item), (item, "view", time_ms)][-50:]
        self._session[person] = (key, time_ms, items)
        self._recommender.update_session(key, items, time_ms)
        self.seen[person].pop(item, None)
        self.seen[person][item] = time_ms
        self.events[item] += 1


def measure(events: Sequence[Event], content: KnownContent, test_from: int, sample: int, count: int) -> None:
    replay = Replay(content)
    first_day = {item: time_ms // DAY_MS for time_ms, _, item in reversed(events)}
    by_day: defaultdict[int, list[str]] = defaultdict(list)
    for item, day in first_day.items():
        by_day[day].append(item)
    hits: Counter[tuple[str, str]] = Counter()
    asked: Counter[str] = Counter()
    today = -1
    for number, (time_ms, person, item) in enumerate(events):
        while today < time_ms // DAY_MS:
            today = time_ms // DAY_MS if today < 0 else today + 1
            for new in by_day[today]:
                content.publish(new)
        is_question = number >= test_from and item not in replay.seen[person] and replay.seen[person]
        cold = replay.events[item] < COLD
        if is_question and (cold or number % sample == 0):
            groups = (["cold"] if cold else []) + (["all"] if number % sample == 0 else [])
            asked.update(groups)
            for name, found in replay.ask(person, time_ms, count).items():
                hits.update((name, group) for group in groups if item in found)
        replay.apply(time_ms, person, item)
    for group in ("cold", "all"):
        rates = "  ".join(f"{name} {hits[name, group] / max(asked[group], 1):.4f}" for name in ("without", "with"))
        print(f"HR@{count} {group:<5} {rates}  ({asked[group]:,} questions)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("events", type=Path)
    parser.add_argument("items", type=Path)
    parser.add_argument("--test", type=float, default=0.2, help="share of the log that is asked for")
    parser.add_argument("--sample", type=int, default=4, help="of all targets, ask for one in so many")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--limit", type=int, default=None, help="use so many events only")
    chosen = parser.parse_args()
    items = list(read_items(chosen.items))
    texts = [item.text for item in items]
    encoder = HashedEncoder.fit(texts)
    vectors = dict(zip((item.item_id for item in items), encoder.encode(texts), strict=True))
    events = list(read_events(chosen.events))[: chosen.limit]
    measure(events, KnownContent(vectors), round(len(events) * (1 - chosen.test)), chosen.sample, chosen.count)


if __name__ == "__main__":
    main()
