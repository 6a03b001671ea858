"""The copy of the catalogue that serving reads: in memory, following the items topic, never waiting for anybody."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from heapq import nsmallest
from typing import Final

import msgspec

from reco_stream.catalogue.item import Item, decode_item

Listener = Callable[[str, Item | None], None]
_NOTHING: Final[frozenset[str]] = frozenset()


class Catalogue(Mapping[str, Item]):
    """Items by id, newest record wins. Memory is about 1 kB an item, and its texts.

    A record that cannot be read is counted in `refused` and changes nothing: one bad record must not take titles away.
    `withheld` are the items that must not be recommended: hidden ones, and those that were deleted. `listeners` hear
    every change, as (id, the new item or None).
    """

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._by_category: dict[str, set[str]] = {}  # letter case folded
        self._sorted: list[str] = []  # every id that was ever there, sorted but for what is in `_unsorted`
        self._unsorted: list[str] = []
        self.withheld: set[str] = set()
        self.listeners: list[Listener] = []
        self.refused = 0

    def update(self, item_id: str, value: bytes | None) -> bool:
        """Applies one record of the topic; None removes the item. Returns False when the record was refused."""
        if value is None:
            self._replace(item_id, None)
            return True
        try:
            item = decode_item(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.refused += 1
            return False
        if item.item_id != item_id:
            self.refused += 1
            return False
        self._replace(item_id, item)
        return True

    def _replace(self, item_id: str, item: Item | None) -> None:
        old = self._items.pop(item_id, None)
        if old is not None:
            for category in folded(old.categories):
                self._by_category[category].discard(item_id)
        if item is not None:
            self._items[item_id] = item
            for category in folded(item.categories):
                self._by_category.setdefault(category, set()).add(item_id)
            if old is None:
                self._unsorted.append(item_id)
        if item is None or item.hidden:
            self.withheld.add(item_id)
        else:
            self.withheld.discard(item_id)
        for listener in self.listeners:
            listener(item_id, item)

    def title_of(self, item_id: str) -> str | None:
        """Returns the title, None for an item without one."""
        item = self._items.get(item_id)
        return item.title if item is not None else None

    def has_category(self, category: str) -> bool:
        """Says whether any item lies in the category, letter case ignored."""
        return bool(self._by_category.get(category.casefold()))

    def in_category(self, item_id: str, category: str) -> bool:
        """Says whether the item lies in the category, letter case ignored."""
        return item_id in self._by_category.get(category.casefold(), _NOTHING)

    def members(self, category: str) -> AbstractSet[str]:
        """Returns the ids of the items in the category, letter case ignored."""
        return self._by_category.get(category.casefold(), _NOTHING)

    def page(self, after: str, category: str | None, limit: int) -> list[Item]:
        """Returns up to `limit` items by id, those whose id is above `after`, of the category when one is given."""
        if category is not None:
            members = self._by_category.get(category.casefold(), _NOTHING)
            return [self._items[item] for item in nsmallest(limit, (item for item in members if item > after))]
        if self._unsorted:
            self._sorted = sorted({*self._sorted, *self._unsorted} & self._items.keys())
            self._unsorted = []
        found: list[Item] = []
        place = bisect_right(self._sorted, after)
        while place < len(self._sorted) and len(found) < limit:
            item = self._items.get(self._sorted[place])
            if item is not None:
                found.append(item)
            place += 1
        return found

    def __getitem__(self, item_id: str) -> Item:
        return self._items[item_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


def folded(names: tuple[str, ...]) -> set[str]:
    """Returns names with their letter case folded, each once."""
    return {name.casefold() for name in names}
