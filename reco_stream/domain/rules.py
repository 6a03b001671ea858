"""Business rules of one request or one named scenario: what may be recommended, and how the list is put together."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Names = Annotated[tuple[Name, ...], Meta(max_length=100)]
Ids = Annotated[tuple[Name, ...], Meta(max_length=1000)]
Price = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Days = Annotated[float, Meta(gt=0, le=36_500)]


class Filter(NamedTuple):
    """The part of the rules that an item passes or not, whoever asks. Names are compared without letter case."""

    in_stock: bool = False
    price_min: float | None = None
    price_max: float | None = None
    categories: tuple[str, ...] = ()
    exclude_categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()
    where: str | None = None


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What may be recommended, and how the list is put together. Filters are applied before cutting to the count.

    `categories` and `tags`: one of them is enough. `where`: a CEL expression over the item's fields. `allow`: only
    these; `deny`: never these; `pinned`: these first, in this order, unless they are hidden or deleted.
    `exclude_events`: for each event type, how old an event of the user may be (days) to keep its item out.
    `max_per_category`: so many items of one category at most in the `first` ones. `freshness`: a new item's score is
    multiplied by 1 + freshness, one as old as the half-life gets half of the gain. `diversity`: 0 is by score alone, 1
    by difference alone (MMR: Carbonell and Goldstein, SIGIR 1998).
    """

    in_stock: bool = False
    price_min: Price | None = None
    price_max: Price | None = None
    categories: Names = ()
    exclude_categories: Names = ()
    tags: Names = ()
    exclude_tags: Names = ()
    where: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    allow: Ids = ()
    deny: Ids = ()
    pinned: Ids = ()
    exclude_events: dict[str, Days] = {}
    max_per_category: Annotated[int, Meta(ge=1, le=100)] | None = None
    first: Annotated[int, Meta(ge=1, le=100)] = 20
    freshness: Annotated[float, Meta(ge=0, le=100)] = 0.0
    freshness_half_life_days: Days = 7.0
    diversity: Share = 0.0

    @property
    def filter(self) -> Filter:
        """The part that an item passes or not."""
        if self is NO_RULES:  # of nearly every question
            return NO_FILTER
        return Filter(*(getattr(self, name) for name in Filter._fields))

    @property
    def reorders(self) -> bool:
        """Whether more candidates are needed than are shown."""
        return self.max_per_category is not None or self.freshness > 0 or self.diversity > 0

    def overridden(self, other: Rules) -> Rules:
        """Return these rules with what `other` says in place of what they say.

        >>> Rules(in_stock=True, tags=("a",)).overridden(Rules(tags=("b",)))
        Rules(in_stock=True, tags=('b',))
        """
        said = {name: value for name, value in msgspec.structs.asdict(other).items() if value != _DEFAULTS[name]}
        return msgspec.structs.replace(self, **said)

    def __repr__(self) -> str:
        said = {name: value for name, value in msgspec.structs.asdict(self).items() if value != _DEFAULTS[name]}
        return f"Rules({', '.join(f'{name}={value!r}' for name, value in said.items())})"


NO_FILTER = Filter()
NO_RULES = Rules()
_DEFAULTS = msgspec.structs.asdict(NO_RULES)
