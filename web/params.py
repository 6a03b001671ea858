"""Query and path parameters: each is declared once, and read, refused and documented from that declaration.

A refusal names the field, the value found and the value wanted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from reco_stream.domain.ranker import WINDOWS
from web.errors import ApiError

MAX_ID_BYTES = 256
MAX_COUNT = 100
SHOWN = 80  # characters of a bad value that an error repeats
TRUE = frozenset({"", "1", "true", "yes"})
FALSE = frozenset({"0", "false", "no"})


class Param(Protocol):
    """What the OpenAPI document needs of a parameter."""

    @property
    def name(self) -> str: ...
    @property
    def required(self) -> bool: ...
    @property
    def description(self) -> str: ...

    def schema(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class IntParam:
    """An integer between two bounds, both included."""

    name: str
    default: int
    minimum: int
    maximum: int
    description: str
    required: bool = False

    def read(self, query: Mapping[str, str]) -> int:
        """Returns the value, the default when it is missing; raises `ApiError` for anything else."""
        found = query.get(self.name)
        if found is None:
            return self.default
        # int() alone would also take "1_0", " 1" and digits of other scripts.
        if found.isascii() and found.removeprefix("-").isdigit() and len(found) < 20:
            value = int(found)
            if self.minimum <= value <= self.maximum:
                return value
        raise _bad(self.name, found, f"an integer from {self.minimum} to {self.maximum}")

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum, "default": self.default}


@dataclass(frozen=True)
class FlagParam:
    """A switch that is off unless named: `?explain`, `?explain=1` and `?explain=true` turn it on."""

    name: str
    description: str
    required: bool = False

    def read(self, query: Mapping[str, str]) -> bool:
        """Returns whether it is on; raises `ApiError` when the value is neither."""
        found = query.get(self.name)
        if found is None:
            return False
        value = found.lower()
        if value not in TRUE and value not in FALSE:
            raise _bad(self.name, found, "true or false")
        return value in TRUE

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": ["", "1", "true", "yes", "0", "false", "no"], "default": "false"}


@dataclass(frozen=True)
class SeenParam:
    """A switch for all items that the user touched, or event types separated by commas for those touched like that."""

    name: str
    description: str
    required: bool = False

    def read(self, query: Mapping[str, str], types: Collection[str]) -> bool | frozenset[str]:
        """Returns off, on, or the types, all among `types`; raises `ApiError` for anything else."""
        found = query.get(self.name)
        if found is None or found.lower() in FALSE:
            return False
        if found.lower() in TRUE:
            return True
        asked = frozenset(part.strip().lower() for part in found.split(","))
        if asked <= set(types):
            return asked
        raise _bad(self.name, found, f"true, false, or some of {', '.join(sorted(types))}")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "default": "false"}


@dataclass(frozen=True)
class ChoiceParam:
    """One of a few words."""

    name: str
    choices: tuple[str, ...]
    default: str
    description: str
    required: bool = False

    def read(self, query: Mapping[str, str]) -> str:
        """Returns the word, the default when it is missing; raises `ApiError` for any other."""
        found = query.get(self.name, self.default)
        if found not in self.choices:
            raise _bad(self.name, found, f"one of {', '.join(self.choices)}")
        return found

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.choices), "default": self.default}


@dataclass(frozen=True)
class OptionalChoiceParam:
    """One of a few words, or nothing."""

    name: str
    choices: tuple[str, ...]
    description: str
    required: bool = False

    def read(self, query: Mapping[str, str]) -> str | None:
        """Returns the word, None when it is missing; raises `ApiError` for any other."""
        found = query.get(self.name)
        if found is not None and found not in self.choices:
            raise _bad(self.name, found, f"one of {', '.join(self.choices)}")
        return found

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.choices)}


@dataclass(frozen=True)
class NumberParam:
    """A number of 0 or more; it may be missing."""

    name: str
    description: str
    required: bool = False

    def read(self, query: Mapping[str, str]) -> float | None:
        """Returns the number, None when it is missing; raises `ApiError` for anything else."""
        found = query.get(self.name)
        if found is None:
            return None
        try:
            value = float(found) if found.isascii() and "_" not in found else -1.0
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise _bad(self.name, found, "a number of 0 or more")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": 0}


@dataclass(frozen=True)
class ListParam:
    """Names separated by commas, at most 100."""

    name: str
    description: str
    required: bool = False

    def read(self, query: Mapping[str, str]) -> tuple[str, ...]:
        """Returns the names, none when it is missing; raises `ApiError` for too many or too long ones."""
        found = query.get(self.name)
        if found is None:
            return ()
        names = tuple(part.strip() for part in found.split(","))
        if not all(is_id(name) for name in names) or len(names) > 100:
            raise _bad(self.name, found, f"1 to 100 names of 1 to {MAX_ID_BYTES} bytes, separated by commas")
        return names

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class TextParam:
    """Text of 1 to `max_bytes` bytes of UTF-8: an id or a name."""

    name: str
    description: str
    required: bool = False
    max_bytes: int = MAX_ID_BYTES

    def read(self, values: Mapping[str, str]) -> str | None:
        """Returns the text, None when it is missing; raises `ApiError` when it is too short or too long."""
        found = values.get(self.name)
        return None if found is None else check_id(self.name, found, self.max_bytes)

    def require(self, values: Mapping[str, str]) -> str:
        """Returns the text; raises `ApiError` when it is missing, too short or too long."""
        found = self.read(values)
        if found is None:
            wanted = f"1 to {MAX_ID_BYTES} bytes of UTF-8"
            raise ApiError(400, "missing_parameter", f"{self.name} is missing, wanted: {wanted}", self.name)
        return found

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": self.max_bytes}


@dataclass(frozen=True)
class PartitionsParam:
    """A comma-separated list of partition numbers."""

    name: str
    description: str
    required: bool = True

    def read(self, query: Mapping[str, str], partitions: int) -> list[int]:
        """Returns the numbers without doubles, ascending; raises `ApiError` for one outside 0..partitions-1."""
        found = query.get(self.name, "")
        numbers = set()
        for part in found.split(","):
            if not (part.isascii() and part.isdigit() and len(part) < 10 and int(part) < partitions):
                raise _bad(self.name, found, f"partition numbers from 0 to {partitions - 1}, separated by commas")
            numbers.add(int(part))
        return sorted(numbers)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[0-9]+(,[0-9]+)*$"}


def check_id(name: str, found: str, max_bytes: int = MAX_ID_BYTES) -> str:
    """Returns `found`; raises `ApiError` unless it has 1..256 (or `max_bytes`) bytes of UTF-8."""
    if is_id(found, max_bytes):
        return found
    raise _bad(name, found, f"1 to {max_bytes} bytes of UTF-8")


def is_id(found: str, max_bytes: int = MAX_ID_BYTES) -> bool:
    """Says whether `found` has 1..256 (or `max_bytes`) bytes of UTF-8."""
    try:
        return 1 <= len(found.encode()) <= max_bytes
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write and UTF-8 cannot
        return False


def _bad(name: str, found: str, wanted: str) -> ApiError:
    return ApiError(400, "bad_parameter", f"{name} is {shown(found)}, wanted: {wanted}", name)


def shown(found: str) -> str:
    """Returns what an error repeats of a value: 80 characters of ASCII."""
    return ascii(found if len(found) <= SHOWN else f"{found[:SHOWN]}...")


COUNT = IntParam("count", 10, 1, MAX_COUNT, "how many items")
K = IntParam("k", 10, 1, MAX_COUNT, "how many items")
USER_ID = TextParam("user_id", "the user, or ~session_id for somebody without an account", required=True)
ITEM_ID = TextParam("item_id", "the item", required=True)
CATEGORY = TextParam("category", "only items of this category of the catalogue")
WINDOW = ChoiceParam("window", WINDOWS, "24h", "over which time events count")
EXCLUDE_SEEN = SeenParam(
    "exclude_seen", "leave out the items that the user touched lately, or those with events of these types"
)
EXPLAIN = FlagParam("explain", "show the parts of each score, and the data behind each reason")
RANKER = OptionalChoiceParam("ranker", ("fusion", "blend"), "how candidates are ranked; missing: RECO_RANKER")
PARTIAL = FlagParam("partial", "answer although owners are missing, and name their partitions")
PARTITIONS = PartitionsParam("partitions", "partitions to answer for")
AT_MS = IntParam("at_ms", 0, 0, 253_402_300_799_999, "evaluate windows at this time, milliseconds since 1970")
