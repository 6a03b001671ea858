"""Exact figures of an item: every owner answers for its partitions, and the shares are added up.

Popularity is kept where the users are, so no single worker has the whole. The read model would be a little behind;
these figures say exactly which offset of each partition they contain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from urllib.parse import quote

import msgspec
from msgspec import UNSET

from reco_stream.domain.ranker import WINDOWS
from reco_stream.engine.table import Table
from tables.popularity import POPULARITY, PopularityRow, window
from web.errors import unavailable
from web.forward import Forwarder
from web.schemas import Counts, ItemStats, PartitionStats, PartitionStatsList
from web.services import Services
from web.user_state import time_text

# The caller wants exact figures more than fast ones; an owner that needs longer is not well.
TIMEOUT_S = 1.0

_TABLE: Table[PopularityRow] = POPULARITY
_DECODER = msgspec.json.Decoder(PartitionStatsList)


def local_shares(services: Services, item: str, partitions: Iterable[int], at_ms: int) -> PartitionStatsList:
    """Returns the shares of those partitions that are running here, windows evaluated at `at_ms`."""
    shares: list[PartitionStats] = []
    missing: list[int] = []
    for partition in partitions:
        if not services.state.is_running(partition):
            missing.append(partition)
            continue
        marker, lag = services.state.marker(partition), services.state.lag(partition).records
        row = services.state.read(partition, _TABLE, item) or PopularityRow()
        windows = {name: _window(row, name, at_ms) for name in WINDOWS}
        shares.append(PartitionStats(partition, marker.applied, marker.stream_time_ms, lag, _total(row), windows))
    return PartitionStatsList(item, shares, missing)


async def item_stats(services: Services, forwarder: Forwarder, item: str, partial: bool) -> ItemStats:
    """Returns the sum over all partitions; raises `ApiError` 503 for a missing one, unless `partial`."""
    at_ms = services.now_ms()
    mine, others = _by_owner(services)
    found = local_shares(services, item, mine, at_ms)
    shares = list(found.partitions)
    replies = await asyncio.gather(
        *(_ask(forwarder, url, item, partitions, at_ms) for url, partitions in others.items() if url)
    )
    for reply in replies:
        shares += reply
    missing = sorted(set(range(services.state.partitions)) - {share.partition for share in shares})
    if missing and not partial:
        named = ", ".join(map(str, missing))
        raise unavailable(
            "owner_unavailable",
            f"partitions {named} did not answer, wanted: all {services.state.partitions}; "
            "try again, or ask with ?partial=true",
        )
    return _sum(services, item, shares, missing)


def _by_owner(services: Services) -> tuple[list[int], dict[str, list[int]]]:
    """Returns the partitions to read here, and the others by the URL of their owner ("" when it is not known)."""
    state = services.state
    mine: list[int] = []
    others: dict[str, list[int]] = {}
    for partition in range(state.partitions):
        url = state.owner_url(partition)
        if state.is_running(partition) or url == state.url:
            mine.append(partition)
        else:
            others.setdefault(url or "", []).append(partition)
    return mine, others


async def _ask(
    forwarder: Forwarder, url: str, item: str, partitions: Sequence[int], at_ms: int
) -> list[PartitionStats]:
    """Returns the shares of one worker; none when it did not answer or answered nonsense."""
    named = ",".join(map(str, partitions))
    path = f"/internal/items/{quote(item, safe='')}/stats?partitions={named}&at_ms={at_ms}"
    reply = await forwarder.ask("GET", url, path, timeout_s=TIMEOUT_S)
    if reply is None or reply.status != 200:
        return []
    try:
        shares = _DECODER.decode(reply.body).partitions
    except msgspec.DecodeError:
        return []
    return [share for share in shares if share.partition in partitions]


def _total(row: PopularityRow) -> Counts:
    by_type: dict[str, int | float] = {name: tally.count for name, tally in row.by_type.items()}
    return Counts(sum(by_type.values()), row.weighted, by_type)


def _window(row: PopularityRow, name: str, at_ms: int) -> Counts:
    if name == "all":
        return _total(row)
    found = window(row, name, at_ms)
    return Counts(found.events, found.weighted, dict(found.by_type))


def _sum(services: Services, item: str, shares: Sequence[PartitionStats], missing: list[int]) -> ItemStats:
    shares = sorted(shares, key=lambda share: share.partition)
    return ItemStats(
        item_id=item,
        total=_added(share.total for share in shares),
        windows={name: _added(share.windows[name] for share in shares) for name in WINDOWS},
        applied={str(share.partition): share.applied for share in shares},
        as_of=time_text(max((share.stream_time_ms for share in shares), default=0)),
        lag_records=sum(share.lag_records for share in shares),
        missing=missing,
        title=services.title_of(item) or UNSET,
    )


def _added(parts: Iterable[Counts]) -> Counts:
    total = Counts(0, 0.0, {})
    for part in parts:
        total.events += part.events
        total.weighted += part.weighted
        for name, count in part.by_type.items():
            total.by_type[name] = total.by_type.get(name, 0) + count
    return total
