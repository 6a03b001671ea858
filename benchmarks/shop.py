"""A shop that is made up: as many items as wanted, with texts that are alike as those of real shops are.

An item is of one of 2,000 kinds, a kind belongs to one of 100 categories, has a vocabulary of its own and a noun in
its titles; brands follow Zipf's law; the rest of a title says material, colour and size. So an item has some hundreds
that are much like it, tens of thousands that are a little like it, and the same number gives the same item always.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from reco_stream.catalogue import Item

KINDS: Final = 2_000
CATEGORIES: Final = 100
RARE: Final = 1_000  # one item in so many has the tag "rare"
_SYLLABLES: Final = [a + b for a in "bcdfghklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "el", "or")]


def _words(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)
    return ["".join(chance.choices(_SYLLABLES, k=chance.choice((2, 3)))) for _ in range(count)]


_BRANDS: Final = _words(1, 5_000)
_BRAND_WEIGHTS: Final = list(accumulate(1 / rank for rank in range(1, 5_001)))
_MATERIALS, _COLOURS, _STYLES, _COMMON = _words(2, 60), _words(3, 40), _words(4, 300), _words(5, 500)
_NOUNS: Final = _words(6, KINDS)
_VOCABULARIES: Final = [_words(1_000 + kind, 40) for kind in range(KINDS)]


def shop_item(number: int) -> Item:
    """Return the item of a number."""
    chance = random.Random(number)
    kind = chance.randrange(KINDS)
    brand = chance.choices(_BRANDS, cum_weights=_BRAND_WEIGHTS)[0]
    colour, material = chance.choice(_COLOURS), chance.choice(_MATERIALS)
    said = [*chance.choices(_VOCABULARIES[kind], k=8), *chance.choices(_COMMON, k=6)]
    chance.shuffle(said)
    tags = ("rare", colour) if number % RARE == 0 else (colour,)
    return Item(
        item_id=f"i{number}",
        title=f"{brand} {chance.choice(_STYLES)} {_NOUNS[kind]} {material} {colour} {chance.randrange(1, 100)} cm",
        description=" ".join(said),
        categories=(f"c{kind % CATEGORIES}",),
        tags=tags,
        price=round(chance.lognormvariate(3, 1), 2),
        currency="EUR",
        stock=chance.randrange(50),
    )


def shop_items(count: int) -> Iterator[Item]:
    """Yield the items 0 to `count` - 1."""
    return map(shop_item, range(count))
