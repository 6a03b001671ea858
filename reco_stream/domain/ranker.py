"""What a ranker is asked and what it answers: the one seam that every ranking method fits.

A ranker is a pure object: it reads items through `ItemSource`, takes the time as an argument, and two calls with the
same source and query give the same answer. Titles and ids of responses are the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

WINDOWS = ("1h", "24h", "7d", "30d", "all")

WINDOW_WORDS: Mapping[str, str] = {
    "1h": "in the last hour",
    "24h": "in the last 24 hours",
    "7d": "in the last 7 days",
    "30d": "in the last 30 days",
    "all": "of all time",
}


class RecentItem(NamedTuple):
    """An item that the user touched: `weight` by event type, `time_ms` and `type` of the newest event on it."""

    item: str
    weight: float
    time_ms: int
    type: str = "view"


class Why(Protocol):
    """A reason that can be put into words."""

    @property
    def kind(self) -> str: ...

    def words(self, title_of: Callable[[str], str | None] = ...) -> str: ...


class Reason(NamedTuple):
    """Why an item is in the answer: a kind, and what the words need (the item it follows from, or a window).

    >>> Reason("co_view", item="a1").words({"a1": "Blue lamp"}.get)
    'people who viewed Blue lamp also viewed this'
    >>> Reason("popular", window="24h").words()
    'popular in the last 24 hours'
    >>> Reason("unknown_user").words()
    'popular'
    """

    kind: str
    item: str | None = None
    window: str | None = None

    def words(self, title_of: Callable[[str], str | None] = lambda _: None) -> str:
        """Returns the reason as a person would say it; items are named by title where there is one, else by id."""
        if self.kind == "co_view" and self.item is not None:
            return f"people who viewed {title_of(self.item) or self.item} also viewed this"
        if self.kind == "popular" and self.window is not None:
            return f"popular {WINDOW_WORDS.get(self.window, self.window)}"
        if self.kind == "content" and self.item is not None:
            return f"similar to {title_of(self.item) or self.item}"
        if self.kind == "recent":
            return "viewed by others just now"
        if self.kind == "unknown_user":
            return "popular"
        return self.kind.replace("_", " ")


class Scored(NamedTuple):
    """One recommended item. `parts` explain the score, each 0..1; which parts there are is the ranker's choice.

    `evidence` is the data behind the reason, for a query with `explain`; JSON types only.
    """

    item: str
    score: float
    reason: Why
    parts: Mapping[str, float] = MappingProxyType({})
    evidence: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Query:
    """One question to a ranker. `recent` is newest first, one entry an item; empty for somebody unknown.

    `hidden` items never come back, whatever happens. `exclude_seen` keeps the items of `recent` out, unless nothing
    else is left. `accept` restricts the answer to the items that it returns true for (a category, a stock rule);
    `pool` are all those items when they are few (20,000), so that nobody has to look for them among all others.
    """

    recent: Sequence[RecentItem]
    count: int
    now_ms: int
    hidden: Set[str] = frozenset()
    exclude_seen: bool = False
    accept: Callable[[str], bool] | None = None
    explain: bool = False
    pool: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Items by falling score, at most `count`, no item twice; `notes` say in words what the caller should know."""

    items: list[Scored]
    notes: tuple[str, ...] = field(default=())


class Ranker(Protocol):
    """Every ranking method: `name` is what responses show as `model`."""

    @property
    def name(self) -> str: ...

    def rank(self, query: Query) -> Ranking: ...


class CoViewed(Protocol):
    """A neighbour in a co-view list: `weight` decayed to now, `last_ms` when the pair was last seen together."""

    @property
    def item(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def last_ms(self) -> int: ...


class Near(NamedTuple):
    """An item whose content is near to some others: cosine 0..1, and which of the others is nearest to it."""

    item: str
    cosine: float
    seed: str


class ContentSource(Protocol):
    """What rankers may ask about the content of items."""

    @property
    def ready(self) -> bool:
        """Whether there is any content to compare."""
        ...

    def near(self, seeds: Sequence[tuple[str, float]], count: int, accept: Callable[[str], bool] | None) -> list[Near]:
        """Nearest first: items near the weighted mean of the seeds' content, the seeds themselves among them."""
        ...


class ItemSource(Protocol):
    """What rankers may ask about items, summed over all partitions. `now_ms` decides decay and windows."""

    def neighbours(self, item: str, now_ms: int, limit: int) -> Sequence[CoViewed]:
        """Heaviest pairs first."""
        ...

    def popular(self, window: str, now_ms: int, count: int, exclude: Set[str]) -> Sequence[tuple[str, float]]:
        """Items with a score above 0 in the window, highest first."""
        ...

    def popular_among(self, items: Iterable[str], window: str, now_ms: int, count: int) -> Sequence[tuple[str, float]]:
        """`popular` of these items alone, for when they are few among all."""
        ...

    def last_ms(self, item: str) -> int | None:
        """Time of the newest event on the item, to the hour at worst; None for an item without events."""
        ...
