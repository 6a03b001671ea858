"""What a recommendation is asked for: the recent interactions of one person, and the time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Final, NamedTuple


class Interaction(NamedTuple):
    """One item touched at one time."""

    item: str
    type: str
    time_ms: int


# Without a call of Python for each of them, which takes twice as long.
_interaction: Final[Callable[[tuple[str, str, int]], Interaction]] = partial(tuple.__new__, Interaction)
_time_ms = itemgetter(2)


@dataclass(frozen=True, slots=True)
class Context:
    """Interactions of one person, oldest first: `recent` is the session that is going on, `history` what came before.

    >>> visits = [("a", "view", 0), ("b", "view", 9_000_000), ("a", "cart", 9_001_000)]
    >>> context = Context.of(visits, now_ms=9_002_000, session_gap_ms=1_800_000)
    >>> context.items, [past.item for past in context.history], context.newest(5)
    (['b', 'a'], ['a'], ['a', 'b'])
    """

    recent: tuple[Interaction, ...]
    now_ms: int
    history: tuple[Interaction, ...] = ()

    @classmethod
    def of(cls, events: Iterable[tuple[str, str, int]], now_ms: int, session_gap_ms: int) -> Context:
        """Split `events` (item, type, time_ms; any order) at the last pause longer than the gap.

        The newest session counts as going on however long ago it was: it is still the best that is known of the person.
        """
        ordered = sorted(map(_interaction, events), key=_time_ms)
        start = len(ordered) - 1
        while start > 0 and ordered[start].time_ms - ordered[start - 1].time_ms <= session_gap_ms:
            start -= 1
        start = max(start, 0)
        return cls(tuple(ordered[start:]), now_ms, tuple(ordered[:start]))

    @property
    def items(self) -> list[str]:
        """Items of the session, oldest first, repeats kept."""
        return [event.item for event in self.recent]

    def newest(self, count: int) -> list[str]:
        """Return at most `count` distinct items of the session, newest first."""
        seen: dict[str, None] = {}
        for event in reversed(self.recent):
            seen.setdefault(event.item)
            if len(seen) == count:
                break
        return list(seen)
