"""What workers answer over HTTP, against a recount of the source log: figures of items and recent items of users."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from reco_stream.domain.partitioner import partition_of
from reco_stream.engine_settings import table_rules
from reco_stream.settings import Settings
from reco_stream.verify.letters import Letters
from reco_stream.verify.log import Source, SourceLog, open_reader
from reco_stream.verify.recount import Recount, fold_up_to
from tables.recent import RECENT, newest_first
from tests.fault.workers import Worker

USERS: Final = 30
ITEMS: Final = 30


async def recounted(settings: Settings, source: Source | None) -> list[Recount]:
    """The state of every partition after its whole log."""
    recounts = []
    async with open_reader(settings) as reader:
        letters = Letters(reader, settings.topic("dead-letters"), settings.topic("events"))
        await letters.refresh()
        log = source or SourceLog(reader, settings.topic("events"))
        for number in range(settings.partitions):
            rules = settings.event_rules(), table_rules(settings)
            recount = Recount(number, settings.partitions, *rules, letters.of(number))
            async for _ in fold_up_to(recount, log.records(number, *await log.bounds(number))):
                pass
            recounts.append(recount)
    return recounts


def wrong_answers(settings: Settings, workers: Sequence[Worker], source: Source | None) -> list[str]:
    """Asks the workers in turn about the items with most events and some users; returns what they say otherwise.

    An answer with another status, or one that says that it is stale, is wrong too: call it when all is applied.
    """
    recounts = asyncio.run(recounted(settings, source))
    questions = [*_of_items(recounts), *_of_users(recounts)]
    wrong = []
    for turn, (path, names, wanted) in enumerate(questions):
        worker = workers[turn % len(workers)]
        status, answer = worker.get(path)
        found = {name: _part(answer, name) for name in names} if status == 200 else f"status {status}"
        if found != wanted or answer.get("stale"):
            wrong.append(f"{worker.name} {path}: {found}, wanted {wanted}")
    return wrong


Question = tuple[str, Sequence[str], dict[str, object]]  # path, parts of the answer, what they must be


def _of_items(recounts: Sequence[Recount]) -> Iterator[Question]:
    totals: dict[str, Counter[str]] = {}
    for recount in recounts:
        for item, counted in recount.counts.items.items():
            totals.setdefault(item, Counter()).update(counted.total)
    for item in sorted(totals, key=lambda item: -totals[item].total())[:ITEMS]:
        yield f"/items/{item}/stats", ("total.by_type",), {"total.by_type": dict(totals[item])}


def _of_users(recounts: Sequence[Recount]) -> Iterator[Question]:
    for user in (f"u{number}" for number in range(USERS)):
        row = recounts[partition_of(user, len(recounts))].rows.get(RECENT, user)
        items = [entry.item for entry in newest_first(row)] if row is not None else []
        hidden = sorted(row.excluded) if row is not None else []
        yield f"/users/{user}/recent", ("items.item_id", "hidden"), {"items.item_id": items, "hidden": hidden}


def _part(answer: object, name: str) -> object:
    """The part of an answer under a dotted name; of a list, that part of each entry."""
    head, _, rest = name.partition(".")
    if isinstance(answer, list):
        return [_part(entry, name) for entry in answer]
    part = answer[head] if isinstance(answer, dict) else None
    return _part(part, rest) if rest else part
