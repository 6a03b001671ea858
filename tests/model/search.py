"""Visits every state of the machine, breadth first, and reports the first that breaks the invariant."""

from collections import deque
from typing import NamedTuple

from tests.model.machine import LOG, Machine, Mutant, Step, World, fold, rebuilt

_FOLDS = {applied: fold(applied + 1) for applied in range(-1, len(LOG))}
_ROWS = {applied: dict(rows) for applied, rows in _FOLDS.items()}
_SERVING = (Step.RUNNING, Step.FOLDED, Step.SENT)


class Result(NamedTuple):
    """How many states were visited; what was broken, and the shortest way there; None when nothing was."""

    states: int
    broken: str | None = None
    way: tuple[str, ...] = ()


def broken_rule(world: World) -> str | None:
    """Name of the rule that does not hold in this state."""
    for owner in world.owners:
        if owner.step in _SERVING and owner.disk.rows != _FOLDS[owner.disk.marker.applied]:
            return "an owner serves rows that are the fold of no prefix"
    rows, marker = rebuilt(world.changelog)
    if rows != _FOLDS[marker.applied]:
        return "the changelog alone is the fold of no prefix"
    if world.committed > marker.applied + 1:
        return "the group's offset is ahead of the changelog"
    for key, (_, applied, row) in world.published:
        if _ROWS[applied].get(key) != row:
            return "a published value is not the row as of its stamp"
    if finished(world) and _ROWS[len(LOG) - 1] != {key: row for key, (_, _, row) in world.published}:
        return "everything is applied and nothing awaits publication, but readers hold other values"
    return None


def canonical(world: World) -> World:
    """The owners are alike, so a state and its mirror image are one."""
    first, second = world.owners
    if (first.epoch, first.disk, first.step.value) < (second.epoch, second.disk, second.step.value):
        return world._replace(owners=(second, first))
    return world


def newest(world: World) -> int | None:
    """Number of the owner with the newest claim, None when it is gone."""
    return next((n for n, owner in enumerate(world.owners) if owner.epoch == world.epoch > 0), None)


def finished(world: World) -> bool:
    """The newest owner has applied the whole log, and believes that all of it is published."""
    number = newest(world)
    if number is None:
        return False
    owner = world.owners[number]
    applied_all = owner.step is Step.RUNNING and owner.disk.marker.applied == len(LOG) - 1
    return applied_all and not owner.pending and not owner.flying


def search(mutant: Mutant | None, start: World) -> Result:
    """Visits all that can be reached from `start`, until a rule is broken."""
    machine = Machine(mutant)
    came_from: dict[World, tuple[World, str] | None] = {start: None}
    finishing: set[World] = set()
    queue = deque([start])
    while queue:
        world = queue.popleft()
        broken = broken_rule(world) or (None if mutant else never_finishes(machine, world, finishing))
        if broken is not None:
            return Result(len(came_from), broken, way_to(world, came_from))
        for name, after in machine.successors(world):
            after = canonical(after)
            if after not in came_from:
                came_from[after] = world, name
                queue.append(after)
    return Result(len(came_from))


def never_finishes(machine: Machine, world: World, finishing: set[World]) -> str | None:
    """Lets the newest owner go on alone: it must apply and publish everything. Remembers states that do."""
    number = newest(world)
    if number is None:
        return None
    seen: list[World] = []
    while not finished(world) and world not in finishing:
        seen.append(world)
        # The last move is the one that goes furthest: publish before commit, fold of new events before old ones.
        moves = [after for name, after in machine.moves(world, number) if name != "commit"]
        if not moves or len(seen) > 100:
            return "the newest owner, left alone, does not finish"
        world = moves[-1]
    finishing.update(seen)
    return None


def way_to(world: World, came_from: dict[World, tuple[World, str] | None]) -> tuple[str, ...]:
    way: list[str] = []
    while (before := came_from[world]) is not None:
        world, name = before
        way.append(name)
    return tuple(reversed(way))
