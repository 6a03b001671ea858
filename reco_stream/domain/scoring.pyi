"""The compiled inner loops (scoring.cpp), as `retrievers/kernel.py` calls them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]

def best(scores: _Floats, count: int, /) -> bytearray:
    """Return the places (int64) of the `count` highest scores, highest first; the later place among equals."""

def merge(
    parts: list[tuple[_Ints, _Floats, int]],
    banned: list[int],
    seen: list[int],
    support: _Ints,
    most_support: int,
    last_ms: _Ints,
    numbers: int,
    now_ms: int,
    kept: int,
    /,
) -> tuple[bytearray, bytearray, bytearray, bytearray, bytearray]:
    """Return the numbers, scores, shares, signals and ranks of a `fusion.Slate`; row by row, int64 and double.

    A part is (item numbers, scores, rows of scores). An item keeps the place of its first occurrence; those of `banned`
    are left out; the `kept` items of the highest sum of shares stay, the later place among equals. Raises ValueError.
    """

def fuse(shares: _Floats, signals: _Floats, rank: _Ints, weights: _Floats, floor: float, /) -> bytearray:
    """Return `probabilities(features(slate), weights)` of `fusion`, as doubles. Raises ValueError."""

def rank(
    first: Scorer,
    second: Scorer,
    known: tuple[npt.NDArray[np.int32], _Ints, _Ints, _Ints, _Ints, _Ints, int, _Ints, int, _Ints],
    question: tuple[list[int], list[int], _Floats, list[int], int],
    limits: tuple[int, int, int, int, int, int, int, float],
    weights: _Floats,
    count: int,
    /,
) -> list[tuple[int, float, bool, bool, int, int, int, float]]:
    """Return the `count` items of the highest chance: number, chance, of the history, of the context, and its evidence.

    `known`: arrays of the index, support, most support, newest session. `question`: context newest first, history, its
    scores, items left out, now_ms. `limits`: sessions, voters and events of the first hop; candidates that are enough;
    seeds and sessions of the second; candidates kept; floor of a share. Raises ValueError.
    """

class Scorer:
    """Kernels by their tables, and the sessions that the last `score` chose."""

    def __init__(self, rank_weight: _Floats, match_weight: _Floats, nearness: _Floats, powers: _Floats, /) -> None:
        """One row a kernel: by rank, by rank, by distance; `powers` has the rows support, age and length."""

    def score(
        self,
        arena_items: npt.NDArray[np.int32],
        orders: _Ints,
        sessions: _Ints,
        posted: _Ints,
        offsets: _Ints,
        counts: _Ints,
        numbers: int,
        support: _Floats,
        items: list[int],
        now_ms: int,
        limit: int,
        per_item: int,
        k: int,
        max_events: int,
        /,
    ) -> tuple[bytearray, bytearray]:
        """Return candidates (int64) by their newest session, oldest first, and their votes (double, row by row).

        Raises ValueError when the arrays do not belong together.
        """

    def evidence(
        self,
        arena_items: npt.NDArray[np.int32],
        orders: _Ints,
        sessions: _Ints,
        posted: _Ints,
        offsets: _Ints,
        counts: _Ints,
        numbers: int,
        items: list[int],
        /,
    ) -> Sequence[tuple[int, int, int, float]]:
        """Return for each item: rank of its anchor (-1: no session), sessions, those after the anchor, oldest age."""
