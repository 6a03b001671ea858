"""Rules of a request: read from it, joined with the scenario, and applied around a ranker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from reco_stream.catalogue.expression import BadExpression
from reco_stream.catalogue.item import Item, moment_ms
from reco_stream.catalogue.local import folded
from reco_stream.catalogue.scenarios import check_rules
from reco_stream.catalogue.selection import SLICE, Selection
from reco_stream.domain.ranker import Query, Ranker, Ranking, Reason, Scored
from reco_stream.domain.rerank import DAY_MS, Facts, pinned_first, rerank
from reco_stream.domain.rules import NO_FILTER, NO_RULES, Filter, Rules
from web.errors import ApiError
from web.next_token import mark, read_token
from web.params import FlagParam, ListParam, NumberParam, TextParam
from web.services import Services

SCENARIO = TextParam("scenario", "named rules of the worker's RECO_SCENARIOS file")
NEXT = TextParam("next", "`next` of the answer before: more of the same, without repeats", max_bytes=8_000)
IN_STOCK = FlagParam("in_stock", "only items whose stock is above 0 or not counted")
PRICE_MIN = NumberParam("price_min", "only items of this price or more")
PRICE_MAX = NumberParam("price_max", "only items of this price or less")
CATEGORIES = ListParam("category", "only items of one of these categories")
NOT_CATEGORIES = ListParam("exclude_category", "no items of these categories")
TAGS = ListParam("tag", "only items with one of these tags")
NOT_TAGS = ListParam("exclude_tag", "no items with these tags")
WHERE = TextParam("where", "only items for which this CEL expression is true, such as `price < 20.0`", max_bytes=500)
RULE_PARAMS = (
    SCENARIO,
    IN_STOCK,
    PRICE_MIN,
    PRICE_MAX,
    CATEGORIES,
    NOT_CATEGORIES,
    TAGS,
    NOT_TAGS,
    WHERE,
    NEXT,
)
_RULE_NAMES: Final = frozenset(param.name for param in RULE_PARAMS)

FEW: Final = 1_000  # withheld items that are simply left out; to copy the set of more would cost every request
MORE: Final = 5  # times as many candidates as are shown, when rules reorder them
PREPARE_S: Final = 0.1  # 100,000 items by price, 20,000 by an expression; whoever forwards waits for 0.25 s
PREPARE_MOST_S: Final = 1.0
PARTLY: Final = "the filter is new and the catalogue big: items that were not tried yet are left out; ask again"


@dataclass(frozen=True, slots=True)
class Asked:
    """The rules of a request on its own, and what it has been shown already."""

    scenario: str | None = None
    rules: Rules = NO_RULES
    shown: frozenset[bytes] = frozenset()


NOTHING_ASKED: Final = Asked()


def read_asked(query: Mapping[str, str]) -> Asked:
    """Returns the rules of the query parameters. Raises `ApiError` 400 for one that cannot be."""
    if _RULE_NAMES.isdisjoint(query):
        return NOTHING_ASKED
    rules = Rules(
        in_stock=IN_STOCK.read(query),
        price_min=PRICE_MIN.read(query),
        price_max=PRICE_MAX.read(query),
        categories=CATEGORIES.read(query),
        exclude_categories=NOT_CATEGORIES.read(query),
        tags=TAGS.read(query),
        exclude_tags=NOT_TAGS.read(query),
        where=WHERE.read(query),
    )
    return Asked(SCENARIO.read(query), rules, read_token(NEXT.read(query)))


def rules_of(services: Services, asked: Asked) -> Rules:
    """Returns the rules in force: the scenario's, with those of the request on top.

    Raises `ApiError`: 404 for an unknown scenario, 400 for rules that cannot be.
    """
    scenario = services.scenarios.get(asked.scenario)
    if scenario is None:
        known = ", ".join(services.scenarios.names) or "none, as the worker has no scenarios"
        raise ApiError(404, "unknown_scenario", f"scenario is {asked.scenario!a}, wanted: one of {known}", "scenario")
    if asked.rules == NO_RULES:
        return scenario
    rules = scenario.overridden(asked.rules)
    try:
        check_rules(rules)
    except ValueError as error:
        raise ApiError(400, "bad_rules", str(error), str(error).partition(":")[0].partition(" ")[0]) from None
    return rules


async def prepare(services: Services, asked: Asked, count: int) -> None:
    """Returns when enough is known of which items pass the filter; other requests are answered meanwhile.

    That is after 0.1 s, or after 1 s while fewer than `count` items are known to pass.

    Only a narrow filter that was not asked for lately takes any time, on a large catalogue. Raises `ApiError` like
    `rules_of`.
    """
    selection = selection_of(services, rules_of(services, asked).filter)
    if selection is None:
        return
    began = time.monotonic()
    while not selection.complete and not selection.is_wide:
        if time.monotonic() - began >= (PREPARE_S if len(selection.items) >= count else PREPARE_MOST_S):
            return
        selection.advance(SLICE)
        await asyncio.sleep(0)


def rank(
    services: Services,
    ranker: Ranker,
    query: Query,
    asked: Asked,
    events: Callable[[], Sequence[tuple[str, str, int]]] = tuple,
) -> Ranking:
    """Returns the ranker's answer under the rules in force; without any, just that answer. Raises `ApiError`."""
    rules = rules_of(services, asked)
    withheld = services.catalogue.withheld if services.catalogue is not None else frozenset()
    plain = rules == NO_RULES and not withheld and not asked.shown and not services.settings.catalogue_only
    return ranker.rank(query) if plain else _ranked(services, ranker, query, asked, rules, events)


def selection_of(services: Services, wanted: Filter) -> Selection | None:
    """Returns the items that pass a filter; None when every item does. Raises `ApiError` 400 for a bad expression."""
    if services.selections is None or (wanted == NO_FILTER and not services.settings.catalogue_only):
        return None
    try:
        return services.selections.get(wanted)
    except BadExpression as error:
        raise ApiError(400, "bad_rules", f"where: {error}", "where") from None


def _ranked(
    services: Services,
    ranker: Ranker,
    query: Query,
    asked: Asked,
    rules: Rules,
    events: Callable[[], Sequence[tuple[str, str, int]]],
) -> Ranking:
    selection = selection_of(services, rules.filter)
    hidden = set(query.hidden) | set(rules.deny)
    withheld: AbstractSet[str] = services.catalogue.withheld if services.catalogue is not None else frozenset()
    many = withheld if len(withheld) > FEW else frozenset()
    if not many:
        hidden |= withheld
    if rules.exclude_events:
        hidden |= _excluded(rules, events(), query.now_ms)
    accept = _accept(rules, selection, asked.shown, many)
    found = ranker.rank(_widened(query, rules, selection, accept, hidden))
    facts_of = _facts_of(services)
    items = rerank(found.items, rules, facts_of, query.now_ms, query.count)
    if len(items) < query.count and services.catalogue is not None and not rules.reorders:
        items += _unknown_to_events(services, rules, selection, items, hidden, accept, query.count - len(items))
    pinned = [
        item for item in rules.pinned if item not in hidden and item not in withheld and mark(item) not in asked.shown
    ]
    if pinned:
        items = pinned_first(items, pinned, query.count)
    notes = (*found.notes, PARTLY) if selection is not None and not selection.complete else found.notes
    return Ranking(items, notes)


def _widened(
    query: Query,
    rules: Rules,
    selection: Selection | None,
    accept: Callable[[str], bool] | None,
    hidden: set[str],
) -> Query:
    pool: Collection[str] | None = selection.pool if selection is not None else None
    if rules.allow:
        pool = rules.allow
    return Query(
        recent=query.recent,
        count=query.count * MORE if rules.reorders else query.count,
        now_ms=query.now_ms,
        hidden=hidden,
        exclude_seen=query.exclude_seen,
        accept=accept,
        explain=query.explain,
        pool=pool,
    )


def _accept(
    rules: Rules, selection: Selection | None, shown: frozenset[bytes], withheld: AbstractSet[str]
) -> Callable[[str], bool] | None:
    tests: list[Callable[[str], bool]] = []
    if withheld:
        tests.append(lambda item: item not in withheld)
    if selection is not None:
        tests.append(selection.items.__contains__ if selection.complete else selection.accepts)
    if rules.allow:
        tests.append(frozenset(rules.allow).__contains__)
    if shown:
        tests.append(lambda item: mark(item) not in shown)
    if len(tests) <= 1:
        return tests[0] if tests else None
    return lambda item: all(test(item) for test in tests)


def _excluded(rules: Rules, events: Sequence[tuple[str, str, int]], now_ms: int) -> set[str]:
    """Returns the items of events of the excluded types that are young enough."""
    since = {kind: now_ms - days * DAY_MS for kind, days in rules.exclude_events.items()}
    return {item for item, kind, time_ms in events if kind in since and time_ms >= since[kind]}


def _facts_of(services: Services) -> Callable[[str], Facts]:
    catalogue: Mapping[str, Item] = services.catalogue if services.catalogue is not None else {}

    def facts_of(item_id: str) -> Facts:
        item = catalogue.get(item_id)
        if item is None:
            return Facts()
        return Facts(frozenset(folded(item.categories)), frozenset(folded(item.tags)), moment_ms(item.published_at))

    return facts_of


def _unknown_to_events(
    services: Services,
    rules: Rules,
    selection: Selection | None,
    items: Sequence[Scored],
    hidden: set[str],
    accept: Callable[[str], bool] | None,
    count: int,
) -> list[Scored]:
    """Returns items that pass the rules and that nobody has touched yet, to fill the list."""
    assert services.catalogue is not None
    taken = {scored.item for scored in items} | hidden
    candidates: Any = rules.allow or (selection.items if selection is not None else ())
    found: list[str] = []
    for item in sorted(candidates) if len(candidates) <= count * MORE else candidates:
        if item not in taken and item in services.catalogue and (accept is None or accept(item)):
            found.append(item)
            if len(found) == count:
                break
    return [Scored(item, 0.0, Reason("new"), {}) for item in found]
