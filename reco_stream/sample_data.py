"""Sample events of a shop, made up: deterministic, and with something in them to learn.

Every user likes a few tastes out of `TASTES`; a taste is a handful of items out of two or three categories. A session
follows one taste most of the time and the shop's popularity otherwise. Items are popular by Zipf's law, activity is
Zipf over the users, and visits come in the daily rhythm of a shop. So what was viewed together says what comes next far
better than what is popular, as in the logs of real shops, while both say something.

Only `Random.random()` is used: Python promises the same sequence for the same seed in every version.
"""

import math
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from random import Random

import msgspec

from reco_stream.catalogue import Item
from reco_stream.events import RawEvent
from reco_stream.sample_names import CATEGORIES, title

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
DEFAULT_END_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z

TASTES = 60
ITEMS_PER_TASTE = 24
TASTES_PER_USER = 3
FOLLOWS_TASTE = 0.8  # the other events are drawn from the shop's popularity
ITEM_ZIPF = 1.0
USER_ZIPF = 0.6  # the busiest of 2,000 users makes about 2 % of the visits
TASTE_ZIPF = 0.8
ANONYMOUS_SHARE = 0.05
MEAN_SESSION_EVENTS = 6.0
MEAN_PAUSE_MS = 45_000
MAX_PAUSE_MS = 20 * 60_000  # below the 30 minutes that end a session

# What a visitor does with the item that he looks at, as cumulative shares; a purchase is rare, a dislike rarer.
EVENT_TYPES = (("view", 0.70), ("click", 0.86), ("cart", 0.93), ("purchase", 0.965), ("rating", 0.99), ("hide", 1.0))

# Visits of each hour, UTC: few at night, a bump at noon, most in the evening.
HOURLY = (3, 2, 1, 1, 1, 2, 4, 7, 9, 10, 11, 12, 13, 12, 11, 11, 12, 14, 17, 20, 21, 18, 12, 6)


@dataclass(frozen=True)
class SampleSize:
    """How much to make: exactly `events` events of at most `users` users and `items` items over `days` days."""

    events: int = 100_000
    users: int = 2_000
    items: int = 1_000
    days: int = 14

    def __post_init__(self) -> None:
        for name in ("events", "users", "items", "days"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; wanted: at least 1")


def sample_items(size: SampleSize, seed: int, end_ms: int = DEFAULT_END_MS) -> list[Item]:
    """The catalogue: `size.items` items with titles, categories and prices; the same for the same arguments."""
    random = Random(f"{seed}-items")
    return [_item(number, random, end_ms - size.days * DAY_MS) for number in range(size.items)]


def sample_events(size: SampleSize, seed: int, end_ms: int = DEFAULT_END_MS) -> list[RawEvent]:
    """`size.events` events sorted by time, all before `end_ms`; the same for the same arguments."""
    shop = _Shop(size, seed)
    start_ms = end_ms - size.days * DAY_MS
    made: list[tuple[int, int, RawEvent]] = []
    session = 0
    while len(made) < size.events:
        for at_ms, event in shop.session(session, start_ms):
            if at_ms < end_ms and len(made) < size.events:  # a visit may run past the end
                made.append((at_ms, len(made), event))
        session += 1
    made.sort(key=lambda entry: entry[:2])
    return [event for _, _, event in made]


def live_events(size: SampleSize, seed: int, visitors: int = 5) -> Iterator[RawEvent]:
    """Events without end and without times, of `visitors` visits that go on side by side; `size.events` is not used."""
    shop = _Shop(size, seed)
    random = Random(f"{seed}-live")
    visits: list[Iterator[tuple[int, RawEvent]]] = [iter(()) for _ in range(visitors)]
    session = 0
    while True:
        place = int(random.random() * visitors)
        found = next(visits[place], None)
        if found is None:
            visits[place] = shop.session(session, 0)
            session += 1
            continue
        event = found[1]
        yield msgspec.structs.replace(event, timestamp=None, session_id=f"live-{event.session_id}")


class _Zipf:
    """Draws 0 <= n < count with a chance in proportion to (n + 1) ** -exponent."""

    def __init__(self, count: int, exponent: float) -> None:
        self._sums = list(accumulate((n + 1) ** -exponent for n in range(count)))

    def draw(self, random: Random) -> int:
        return bisect(self._sums, random.random() * self._sums[-1], hi=len(self._sums) - 1)


class _Shop:
    """Tastes, habits and popularity, fixed by the seed, and the visits that follow from them."""

    def __init__(self, size: SampleSize, seed: int) -> None:
        self._size = size
        self._random = Random(f"{seed}-events")
        self._prices = [item.price or 0.0 for item in sample_items(size, seed)]
        self._users, self._items = _Zipf(size.users, USER_ZIPF), _Zipf(size.items, ITEM_ZIPF)
        self._in_taste = _Zipf(ITEMS_PER_TASTE, TASTE_ZIPF)
        # Shuffled, so that an item's id says nothing about its popularity.
        self._item_of_rank = _shuffled(size.items, self._random)
        self._tastes = [self._taste() for _ in range(TASTES)]
        self._likes = [[int(self._random.random() * TASTES) for _ in range(TASTES_PER_USER)] for _ in range(size.users)]
        self._hours = list(accumulate(HOURLY))

    def _taste(self) -> list[int]:
        """Items of two or three neighbouring categories; the first ones are liked most."""
        categories = 2 + (self._random.random() < 0.5)
        first = int(self._random.random() * len(CATEGORIES))
        wanted = [(first + n) % len(CATEGORIES) for n in range(categories)]
        fitting = [item for item in range(self._size.items) if item % len(CATEGORIES) in wanted]
        fitting = fitting or list(range(self._size.items))
        return [fitting[int(self._random.random() * len(fitting))] for _ in range(ITEMS_PER_TASTE)]

    def session(self, number: int, start_ms: int) -> Iterator[tuple[int, RawEvent]]:
        """The events of one visit with their times, oldest first."""
        random = self._random
        user = self._users.draw(random)
        taste = self._tastes[self._likes[user][int(random.random() * TASTES_PER_USER)]]
        anonymous = random.random() < ANONYMOUS_SHARE
        at_ms = start_ms + self._visit_ms(start_ms % DAY_MS)
        while True:
            item = self._next_item(taste)
            yield at_ms, self._event(number, None if anonymous else user, item, at_ms)
            if random.random() < 1 / MEAN_SESSION_EVENTS:
                return
            at_ms += 1 + min(int(-math.log(1 - random.random()) * MEAN_PAUSE_MS), MAX_PAUSE_MS)

    def _visit_ms(self, day_begins_ms: int) -> int:
        """When a visit begins, in ms after the start, which lies `day_begins_ms` after midnight UTC."""
        day = int(self._random.random() * self._size.days)
        hour = bisect(self._hours, self._random.random() * self._hours[-1], hi=len(self._hours) - 1)
        moment = hour * HOUR_MS + int(self._random.random() * HOUR_MS)
        return day * DAY_MS + (moment - day_begins_ms) % DAY_MS

    def _next_item(self, taste: Sequence[int]) -> int:
        if self._random.random() < FOLLOWS_TASTE:
            return taste[self._in_taste.draw(self._random)]
        return self._item_of_rank[self._items.draw(self._random)]

    def _event(self, session: int, user: int | None, item: int, at_ms: int) -> RawEvent:
        chance = self._random.random()
        kind = next(name for name, below in EVENT_TYPES if chance < below)
        value = None
        if kind == "purchase":
            value = self._prices[item]
        elif kind == "rating":
            value = float(3 + int(self._random.random() * 3))
        return RawEvent(
            item_id=item_id(item),
            event_type=kind,
            user_id=None if user is None else user_id(user),
            session_id=f"s{session:06d}",
            timestamp=at_ms,
            value=value,
        )


def user_id(number: int) -> str:
    """The id of a user.

    >>> user_id(7)
    'u0007'
    """
    return f"u{number:04d}"


def item_id(number: int) -> str:
    """The id of an item.

    >>> item_id(7)
    'i0007'
    """
    return f"i{number:04d}"


def _item(number: int, random: Random, start_ms: int) -> Item:
    category = CATEGORIES[number % len(CATEGORIES)]
    age_days = int(random.random() * 365)
    return Item(
        item_id=item_id(number),
        title=title(number),
        categories=(category.name, category.department),
        price=round(category.price * math.exp(random.random() * 1.6 - 0.8), 2),
        published_at=_rfc3339_day(start_ms - age_days * DAY_MS),
    )


def _rfc3339_day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // DAY_MS * 86_400, UTC).strftime("%Y-%m-%dT00:00:00Z")


def _shuffled(count: int, random: Random) -> list[int]:
    """0..count-1 in random order (Fisher and Yates)."""
    numbers = list(range(count))
    for last in range(count - 1, 0, -1):
        other = int(random.random() * (last + 1))
        numbers[last], numbers[other] = numbers[other], numbers[last]
    return numbers
