"""How the text of an environment variable becomes a setting's value: durations, weights, lists of names, addresses."""

import json
import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Final

UNIT_MS: Final[Mapping[str, int]] = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
UNIT_NAMES: Final[Mapping[str, str]] = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|h|d)?")
_EVENT_TYPE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_BROKER = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})")


def parse_duration(found: object, unit: str) -> object:
    """Return the number of `unit`s that `found` means; a plain number counts `unit`s, what is not text stays as it is.

    Raises ValueError that says what is wanted.

    >>> parse_duration("30m", "s"), parse_duration("90", "s"), parse_duration("12h", "d")
    (1800, 90, 0.5)
    """
    if not isinstance(found, str):
        return found
    match = _DURATION.fullmatch(found.strip())
    if match is None:
        raise ValueError(f"a number of {UNIT_NAMES[unit]}, or a duration such as 250ms, 90s, 30m, 2h or 7d")
    number = Fraction(match["number"]) * UNIT_MS[match["unit"] or unit] / UNIT_MS[unit]
    return int(number) if number.denominator == 1 else float(number)


def duration(unit: str) -> Callable[[object], object]:
    """Return the parser of durations counted in `unit`."""
    return lambda found: parse_duration(found, unit)


def parse_weights(found: object) -> object:
    """Return the mapping that `found` writes as JSON or as `name=number` pairs; what is not text stays as it is.

    Raises ValueError that says what is wanted.

    >>> parse_weights("view=1, click=3") == parse_weights('{"view": 1, "click": 3}') == {"view": 1, "click": 3}
    True
    """
    if not isinstance(found, str):
        return found
    wanted = 'pairs such as view=1,click=3 or JSON such as {"view": 1, "click": 3}'
    try:
        if found.lstrip().startswith("{"):
            parsed = json.loads(found)
            if any(isinstance(weight, bool) or not isinstance(weight, int | float) for weight in parsed.values()):
                raise ValueError(wanted)
            return parsed
        pairs = [pair.split("=", 1) for pair in found.split(",") if pair.strip()]
        weights = {name.strip(): float(weight) for name, weight in pairs}
    except ValueError:
        raise ValueError(wanted) from None
    if len(weights) < len(pairs):
        raise ValueError(f"{wanted}, each name once")
    return weights


def parse_names(found: object) -> object:
    """Return the set of names that `found` lists, separated by commas or as JSON; what is not text stays as it is.

    >>> sorted(parse_names("hide, dislike"))
    ['dislike', 'hide']
    """
    if not isinstance(found, str):
        return found
    if found.lstrip().startswith("["):
        try:
            return frozenset(json.loads(found))
        except (ValueError, TypeError):
            raise ValueError('names such as dislike,hide or JSON such as ["dislike", "hide"]') from None
    return frozenset(name.strip() for name in found.split(",") if name.strip())


def check_event_weights(weights: dict[str, float]) -> dict[str, float]:
    """Return `weights` with names in lower case; raise ValueError unless 1..64 names have weights of 0..1e6."""
    lowered = {name.lower(): weight for name, weight in weights.items()}
    if not 1 <= len(lowered) <= 64 or len(lowered) < len(weights):
        raise ValueError("1 to 64 event types, each once in whatever letter case")
    check_event_types(frozenset(lowered))
    for name, weight in lowered.items():
        if not 0 <= weight <= 1e6:  # this refuses NaN too
            raise ValueError(f"a weight from 0 to 1000000 for {name}, not {weight:g}")
    return lowered


def check_event_types(names: frozenset[str]) -> frozenset[str]:
    """Return `names` in lower case; raise ValueError unless each can be an event type (and a metric label)."""
    lowered = frozenset(name.lower() for name in names)
    for name in sorted(lowered):
        if not _EVENT_TYPE.fullmatch(name):
            raise ValueError(f"event types of a-z, 0-9, '_', '.' and '-' (names with '$' are reserved), not {name!r}")
    return lowered


BLEND_PARTS: Final = ("co_view", "embedding", "popularity", "recency")


def check_blend(blend: dict[str, float]) -> dict[str, float]:
    """Return a weight for each of `BLEND_PARTS` (0 when absent); raise ValueError unless they are >= 0 and sum to 1."""
    if unknown := sorted(set(blend) - set(BLEND_PARTS)):
        raise ValueError(f"weights of {', '.join(BLEND_PARTS)} only, not of {', '.join(unknown)}")
    if not all(weight >= 0 for weight in blend.values()):
        raise ValueError("weights of 0 or more")
    total = math.fsum(blend.values())
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise ValueError(f"weights that sum to 1, not to {total:g}")
    return {part: blend.get(part, 0.0) for part in BLEND_PARTS}


def check_app(app: str) -> str:
    """Return `app`; raise ValueError unless topics, a group and a folder can be named after it."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", app):
        raise ValueError("1 to 100 letters, digits, '.', '_' and '-', a letter or digit first")
    return app


def check_instance_id(name: str | None) -> str | None:
    """Return `name`; raise ValueError unless it is None or Kafka takes it for a group.instance.id."""
    if name is not None and not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name):
        raise ValueError("1 to 249 letters, digits, '.', '_' and '-'")
    return name


def check_brokers(brokers: str) -> str:
    """Return the comma list without blanks; raise ValueError unless every entry is host:port."""
    entries = [entry.strip() for entry in brokers.split(",")]
    for entry in entries:
        match = _BROKER.fullmatch(entry)
        if match is None or not 1 <= int(match["port"]) <= 65_535:
            raise ValueError(
                f"host:port[,host:port...], such as kafka1:9092,kafka2:9092, without a scheme; not {entry!r}"
            )
    return ",".join(entries)


def check_url(url: str | None) -> str | None:
    """Return `url` without a trailing slash; raise ValueError unless it is None or http(s)://host[:port]."""
    if url is None:
        return None
    if not re.fullmatch(r"https?://[^/?#\s]+/?", url):
        raise ValueError("http://host:port, the address under which the other workers reach this one")
    return url.rstrip("/")
