"""Filter expressions over an item's fields, in the Common Expression Language (https://cel.dev).

CEL has no loops, no assignment and no access to anything but what it is given; an expression ends. The library
(`common-expression-language`) compiles once and evaluates in Rust: 4 to 12 us an item.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import cel

from reco_stream.catalogue.item import Item, moment_ms

MAX_LENGTH: Final = 500
# Each of these goes through a list; one in another would multiply.
_MACROS: Final = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*(\w*)")
MAX_MACROS: Final = 1

FIELDS: Final[Mapping[str, Callable[[Item], Any]]] = {
    "item_id": lambda item: item.item_id,
    "title": lambda item: item.title,
    "description": lambda item: item.description,
    "categories": lambda item: list(item.categories),
    "tags": lambda item: list(item.tags),
    "price": lambda item: item.price,
    "currency": lambda item: item.currency,
    "stock": lambda item: item.stock,
    "published_ms": lambda item: moment_ms(item.published_at),
    "properties": lambda item: item.properties,
}
_SAMPLE: Final = Item(
    item_id="a",
    title="a",
    description="a",
    categories=("a",),
    tags=("a",),
    price=1.0,
    currency="EUR",
    stock=1,
    published_at="2024-01-01T00:00:00Z",
)


class BadExpression(ValueError):
    """Not a filter expression: what was found and what is wanted."""


class Expression:
    """One compiled expression; an item on which it fails (a null field, a missing property) does not pass.

    >>> cheap = Expression('price < 10.0 && "light" in categories')
    >>> cheap.accepts(Item(item_id="a", price=9.5, categories=("light",))), cheap.accepts(Item(item_id="b"))
    (True, False)
    """

    def __init__(self, text: str) -> None:
        """Raises BadExpression."""
        if len(text) > MAX_LENGTH:
            raise BadExpression(f"the expression has {len(text)} characters, wanted: at most {MAX_LENGTH}")
        if len(_MACROS.findall(text)) > MAX_MACROS:
            raise BadExpression("the expression goes through lists more than once, wanted: one all, exists or filter")
        try:
            self._program = cel.compile(text)
        except ValueError as error:
            raise BadExpression(f"{str(error).splitlines()[0][:200]}") from None
        used = set(self._program.variables()) - set(_MACROS.findall(text))  # what a macro names is its own
        unknown = sorted(used - set(FIELDS))
        if unknown:
            raise BadExpression(f"{', '.join(unknown)[:80]} is no field, wanted: some of {', '.join(FIELDS)}")
        self._fields = [(name, FIELDS[name]) for name in sorted(used)]
        self._check()

    def accepts(self, item: Item) -> bool:
        """Return whether the expression is true for the item."""
        try:
            return self._program.execute({name: field(item) for name, field in self._fields}) is True
        except Exception:  # whatever an item makes of it; the expression as such was tried when it was compiled
            return False

    def _check(self) -> None:
        try:
            found = self._program.execute({name: field(_SAMPLE) for name, field in self._fields})
        except KeyError:
            return  # a property that the sample does not have
        except Exception as error:
            raise BadExpression(f"{str(error).splitlines()[0][:200]}") from None
        if not isinstance(found, bool):
            raise BadExpression(f"the expression gives {type(found).__name__}, wanted: true or false")
