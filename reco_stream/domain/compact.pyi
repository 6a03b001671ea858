"""What a worker keeps of every item and session in few bytes (compact.cpp).

A `Numbers` takes about 28 bytes a string of 8 characters, where a dictionary and a list take 180; a row packed takes
some 36 bytes (popularity, one event) or 66 (co-view, six pairs), where its encoding takes 77 or 205.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

_T = TypeVar("_T")

class Names:
    """The strings of a `Numbers` by their numbers; "" for a number that is free."""

    def __len__(self) -> int:
        """Return how many numbers have been given: all are below this."""

    def __getitem__(self, number: int, /) -> str:
        """Raise IndexError for a number that was never given."""

    def __iter__(self) -> Iterator[str]: ...

class Numbers:
    """Strings and their numbers 0, 1, 2, ...; a number freed is given again.

    >>> numbers = Numbers()
    >>> numbers.add("a"), numbers.add("b"), numbers.add("a")
    (0, 1, 0)
    >>> numbers["b"], numbers.get("c"), "c" in numbers, len(numbers), list(numbers), numbers.names[0]
    (1, None, False, 2, ['a', 'b'], 'a')
    """

    names: Names
    nbytes: int

    def __len__(self) -> int: ...
    def __contains__(self, text: object, /) -> bool: ...
    def __getitem__(self, text: str, /) -> int: ...
    def __iter__(self) -> Iterator[str]:
        """Yield the strings there are, by rising number."""

    @overload
    def get(self, text: str, /) -> int | None: ...
    @overload
    def get(self, text: str, default: _T, /) -> int | _T: ...
    def known(self, texts: Iterable[str], /) -> list[int]:
        """Return the numbers of those that have one, in the order given."""

    def add(self, text: str, /) -> int:
        """Return the number of a string, a new one when it has none."""

    def add_all(self, texts: list[str], /) -> list[int]:
        """Return the number of each string, a new one for each that has none."""

    def remove(self, number: int, /) -> None:
        """Free a number. Raises ValueError when it is free."""

class _Rows:
    """The newest row of each (number, partition). `nbytes` is without what malloc adds, some 16 bytes a number."""

    nbytes: int

    def __len__(self) -> int:
        """Return how many numbers have a row."""

    def put(self, number: int, partition: int, epoch: int, applied: int, row: bytes, /) -> bool:
        """Keep `row`, b"" for one that was removed; False when (epoch, applied) is not above that of the row known."""

    def get(self, number: int, partition: int, /) -> bytes:
        """Return the row as it was put, b"" when there is none."""

    def rows(self, number: int, /) -> list[bytes]:
        """Return the rows by rising partition, without removed ones."""

class PopularityRows(_Rows):
    """Of rows that `tables/popularity.py` encodes; others take their own length."""

class CoViewRows(_Rows):
    """Of rows that `tables/co_view.py` encodes; others take their own length. The other items of a row get numbers."""

    def __init__(self, items: Numbers, /) -> None: ...

def take_items(
    numbers: Numbers,
    popularity: PopularityRows,
    co_view: CoViewRows,
    partition: int,
    records: Sequence[Any],
    hidden: bytes,
    /,
) -> tuple[int, bytearray, bytearray, bytearray, list[int]]:
    """Put published rows of items, records with a `key` and a `value` that `engine/published.py` has sealed.

    Keys are "p" or "c" and the item; an empty row removes, no value changes nothing.
    The popularity of items that begin with `hidden` is left out. Return the newest stream time; of each change of
    popularity the item's number (int64), the gain of its weight (double), its newest event (int64, -1: none); and the
    numbers of the items whose co-view changed. Raises ValueError.
    """

_Entries = list[tuple[int, int]]

class SessionStore:
    """Sessions and the newest of each item, as `session_index.py` describes; `keys` numbers sessions, `names` items.

    Arrays are read in place, and hold what they are called until the next change: `items` of all sessions one behind
    the other; `order` by slot; `table` by slot offset, length and last_ms; `support` and `item_last_ms` by item;
    `posted` the slots of each item's sessions, as many as its support, from its `offsets` on.
    """

    items: npt.NDArray[np.int32]
    order: npt.NDArray[np.int64]
    table: npt.NDArray[np.int64]
    support: npt.NDArray[np.int64]
    posted: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    item_last_ms: npt.NDArray[np.int64]
    changes: int  # put and removed until now
    nbytes: int

    def __init__(
        self, keys: Numbers, names: Numbers, sessions_per_item: int, events_per_session: int, orphan_age_ms: int, /
    ) -> None: ...
    def put(self, key: str, items: Sequence[tuple[str, str, int]], last_ms: int, /) -> tuple[_Entries, _Entries]:
        """Replace the session of `key`; return the (item number, time_ms) that came and went."""

    def take(self, records: Sequence[Any], version: int, hidden: bytes, /) -> int:
        """Put published sessions, as `tables/sessions.py` encodes them; remove those without a value.

        Records have a `key` and a `value` that `engine/published.py` has sealed.
        Those of a lower version than `version`, or than one before them, change nothing, nor do keys that begin with
        `hidden`. Return the highest version. Raises ValueError for a value that is no session.
        """

    def remove(self, key: str, /) -> tuple[_Entries, _Entries]: ...
    def expire(self, before_ms: int, /) -> int:
        """Remove the sessions that ended before; return how many there were."""

    def count(self, half_life_ms: int, /) -> int:
        """Count events from now on, decayed forward unless it is 0; return the number to ask `counts` with."""

    def counts(self, number: int, /) -> npt.NDArray[np.float64]:
        """Return the counts by item, all under one landmark; valid until a change."""

    def content(self, slot: int, /) -> _Entries:
        """Return the (item number, time_ms) of a session, oldest first; none for a slot that is free."""
