"""Ids of canaries: users and items that exist to measure, and that nobody is to see.

A name is used again, so that canaries take a bounded room: 400 items make 79,800 pairs, one a minute is 55 days of
pairs that were not seen together within the window of co-view (30 days).
"""

from __future__ import annotations

PREFIX = "$canary:"
ITEMS = 400
USERS = 64
PAIRS = ITEMS * (ITEMS - 1) // 2


def is_canary(name: str) -> bool:
    """Says whether an id of a user or an item is a canary's.

    >>> is_canary("$canary:host-6066:i7"), is_canary("i7")
    (True, False)
    """
    return name.startswith(PREFIX)


def pair_of(number: int) -> tuple[int, int]:
    """Returns the two different items of a round; rounds that are fewer than `PAIRS` apart have different pairs.

    >>> [pair_of(number) for number in (0, 1, 399, 400)]
    [(0, 1), (1, 2), (399, 0), (0, 2)]
    """
    step, first = divmod(number % PAIRS, ITEMS)
    return first, (first + step + 1) % ITEMS


def item_id(worker: str, number: int) -> str:
    return f"{PREFIX}{worker}:i{number}"


def user_id(worker: str, number: int) -> str:
    return f"{PREFIX}{worker}:u{number % USERS}"
