"""The compiled module refuses arrays that do not belong together; what it computes is compared with the formula in
retrievers/test_kernel.py, and its evidence here with a count by hand.
"""

import random
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from reco_stream.domain.retrievers.kernel import SESSION_KNN, KernelBank
from reco_stream.domain.scoring import Scorer, fuse, merge, rank
from reco_stream.domain.session_index import SessionIndex
from tests.domain.random_sessions import START_MS, index_of, random_sessions

NOW_MS = START_MS + 10**9
CONTEXT = ["i0", "i2"]


def scorer(reach: int = 50) -> Scorer:
    return Scorer(np.ones((1, 10)), np.ones((1, 10)), np.ones((1, 2 * reach + 1)), np.zeros((3, 1)))


def score(
    found: Scorer,
    index: SessionIndex,
    items: list[int],
    support: np.ndarray,
    limit: int = 100,
    **other: np.ndarray,
) -> tuple[bytearray, bytearray]:
    """`other` arrays take the place of the index's: `posted`, `offsets`, `counts`, `sessions`, `arena_items`."""
    names = ("arena_items", "orders", "sessions", "posted", "offsets", "counts")
    arrays = [other.get(name, array) for name, array in zip(names, index.arrays(), strict=False)]
    numbers = index.arrays()[-1]
    return found.score(*arrays, numbers, support, items, NOW_MS, limit, 500, 100, 8_000)  # type: ignore[call-arg, arg-type]


def test_evidence_counts_the_sessions_behind_an_item() -> None:
    sessions = random_sessions(200, 15)
    index = index_of(sessions)
    bank = KernelBank(index, [SESSION_KNN], last_n=10)
    candidates, _ = bank.score(index.numbers(CONTEXT), NOW_MS, limit=1_000, k=1_000)
    for number, proof in zip(candidates.tolist(), bank.evidence(candidates.tolist()), strict=True):
        item = index.names[number]
        held_by: list[list[list[tuple[str, str, int]]]] = [[], []]
        for _, visits in sessions:
            held = [name for name, _, _ in visits]
            rank = next((rank for rank, anchor in enumerate(CONTEXT) if anchor in held), None)
            if item in held and rank is not None:
                held_by[rank].append(visits)
        counts = [len(visits) for visits in held_by]
        rank = counts.index(max(counts))
        assert (proof.anchor, proof.sessions) == (rank, max(counts))
        oldest_ms = min(visits[-1][2] for visits in held_by[rank])
        assert proof.age_s == pytest.approx((NOW_MS - oldest_ms) / 1_000)
        after = 0
        for visits in held_by[rank]:
            newest_first = [name for name, _, _ in reversed(visits)]
            after += newest_first.index(item) < newest_first.index(CONTEXT[rank])
        assert proof.after == after


def test_an_item_without_sessions_has_no_anchor() -> None:
    index = index_of([("s1", [("a", "view", START_MS)]), ("s2", [("b", "view", START_MS)])])
    bank = KernelBank(index, [SESSION_KNN], last_n=10)
    bank.score(index.numbers(["a"]), NOW_MS, limit=10, k=10)
    assert [proof.anchor for proof in bank.evidence(index.numbers(["a", "b"]))] == [0, -1]


def test_only_the_newest_sessions_vote() -> None:
    sessions = [(f"s{n}", [("a", "view", START_MS + n), (f"x{n}", "view", START_MS + n)]) for n in range(30)]
    index = index_of(sessions)
    bank = KernelBank(index, [SESSION_KNN], last_n=10)
    candidates, _ = bank.score(index.numbers(["a"]), NOW_MS, limit=4, k=100)
    assert [index.names[number] for number in candidates.tolist()] == ["x26", "x27", "x28", "a", "x29"]
    candidates, _ = bank.score(index.numbers(["a"]), NOW_MS, limit=100, k=2)  # equal but for their age
    assert {index.names[number] for number in candidates.tolist()} == {"x28", "x29", "a"}


@pytest.mark.parametrize(
    "ago_ms", [lambda n: 60_000 * n, lambda n: n * n * n, lambda n: n if n < 599 else 10**11, lambda n: n // 3]
)
def test_many_sessions_vote_newest_first_however_they_lie_in_time(ago_ms: Callable[[int], int]) -> None:
    sessions = []
    for number in random.Random(1).sample(range(600), 600):
        time_ms = NOW_MS - ago_ms(number)
        sessions.append((f"s{number}", [("a", "view", time_ms), (f"x{number}", "view", time_ms)]))
    index = index_of(sessions)
    bank = KernelBank(index, [SESSION_KNN], last_n=10)
    candidates, _ = bank.score(index.numbers(["a"]), NOW_MS, limit=400, k=400)
    # Of one millisecond the one with the higher hash is the newer, as session_index.py has it.
    by_age = sorted(sessions, key=lambda one: (one[1][0][2], zlib.crc32(one[0].encode()) & 0x3FFFFF))
    newest = [visits[1][0] for _, visits in by_age[-400:]]
    assert [index.names[number] for number in candidates.tolist()] == [*newest[:-1], "a", newest[-1]]


@pytest.mark.parametrize("limit", [1, 7, 40])
def test_of_several_items_the_newest_sessions_of_all_vote(limit: int) -> None:
    sessions = random_sessions(300, 12)
    names = ["i3", "i0", "i5", "i1"]
    holding = [(key, visits) for key, visits in sessions if {name for name, _, _ in visits} & set(names)]
    whole, newest = index_of(sessions), index_of(sorted(holding, key=lambda pair: pair[1][-1][2])[-limit:])
    found = []
    for index in (whole, newest):
        items = index.numbers(names)
        support = np.array([1.0 + names.index(index.names[item]) for item in items])
        numbers, votes = score(scorer(), index, items, support, limit)
        found.append(dict(zip(index_names(index, numbers), np.frombuffer(votes).tolist(), strict=True)))
    assert found[0] == found[1]


def index_names(index: SessionIndex, numbers: bytearray) -> list[str]:
    return [index.names[number] for number in np.frombuffer(numbers, np.int64).tolist()]


def test_a_question_that_does_not_fit_the_index_is_refused_and_leaves_nothing_behind() -> None:
    index = index_of(random_sessions(20, 5))
    items, scores, weights = index.numbers(["i0"]), np.zeros(0), np.ones(5)
    known = (*index.arrays(), *index.item_figures()[:3])
    limits = (100, 100, 8_000, 200, 8, 100, 200, 1e-3)
    first, second = scorer(), scorer()

    def ranked(seen: list[int], banned: list[int], past: list[int], by: np.ndarray) -> list[int]:
        question = (seen, past, scores, banned, NOW_MS)
        return [found[0] for found in rank(first, second, known, question, limits, by, 3)]

    expected = ranked(items, [], [], weights)
    assert len(expected) == 3
    assert ranked(items, expected, [], weights)[:1] != expected[:1]
    for seen, banned, past, by in (
        ([10**6], [], [], weights),
        (items, [-1], [], weights),
        (items, [], items, weights),  # without a score
        (items, [], [], np.ones(4)),
    ):
        with pytest.raises(ValueError, match=r"not there|wanted"):
            ranked(seen, banned, past, by)
        assert ranked(items, [], [], weights) == expected
    with pytest.raises(ValueError, match="wanted a Scorer"):
        rank(first, index, known, (items, [], scores, [], NOW_MS), limits, weights, 3)  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        rank(first, second, known, (items, [], scores), limits, weights, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes 7 arguments"):
        rank(first)  # type: ignore[call-arg]


def test_the_events_that_vote_are_bounded() -> None:
    visits = [(f"s{n}", [("a", "view", START_MS + n)] + [(f"x{n}", "view", START_MS + n)] * 3) for n in range(9)]
    index = index_of(visits)
    wide = np.ones((1, 10))
    found = Scorer(wide, wide, np.ones((1, 101)), np.zeros((3, 1)))
    items = index.numbers(["a"])
    numbers, votes = found.score(
        *index.arrays(), np.ones(1), items, NOW_MS, 100, 500, 100, 9
    )  # four events a session, all equally near: the two newest sessions fit
    by_item = dict(zip(np.frombuffer(numbers, np.int64).tolist(), np.frombuffer(votes).tolist(), strict=True))
    assert {index.names[number]: vote for number, vote in by_item.items()} == {"a": 2.0, "x7": 3.0, "x8": 3.0}


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    index = index_of(random_sessions(20, 5))
    items = index.numbers(["i0"])
    support = np.ones(1)
    content, _, figures, posted, offsets, counts, _ = index.arrays()
    long = index_of([("s", [("a", "view", START_MS)] * 3)])
    refused: list[tuple[SessionIndex, list[int], np.ndarray, dict[str, np.ndarray], str]] = [
        (index, items, np.ones(2), {}, "one support an item"),
        (index, items * 11, np.ones(11), {}, "no more items than last_n"),
        (index, [10**6], support, {}, "an item is not there"),
        (index, [-1], support, {}, "an item is not there"),
        (index, items, support, {"offsets": offsets + 10**6}, "beyond the others"),
        (index, items, support, {"offsets": offsets - 10**6}, "beyond the others"),
        (index, items, support, {"counts": counts + 10**6}, "beyond the others"),
        (index, items, support, {"counts": counts[:1]}, "an item has no posting"),
        (index, items, support, {"posted": posted + 10**6}, "names a session that is not there"),
        (index, items, support, {"posted": posted - 10**6}, "names a session that is not there"),
        (index, items, support, {"posted": posted.astype(np.int32)}, "entries of another size"),
        (index, items, support, {"sessions": figures[:3]}, "a session has no figures"),
        (index, items, support, {"arena_items": content[:1]}, "beyond the arena"),
        (long, [0], support, {}, "too long"),
    ]
    tried, expected = scorer(), score(scorer(), index, items, support)
    assert expected[0]
    for asked, numbers, supports, other, words in refused:
        with pytest.raises(ValueError, match=words):
            score(scorer(reach=1) if asked is long else tried, asked, numbers, supports, **other)  # type: ignore[arg-type]
        assert score(tried, index, items, support) == expected  # nothing is left behind
    with pytest.raises(TypeError, match="takes 14 arguments"):
        scorer().score(1)  # type: ignore[call-arg, arg-type]


def test_parts_that_do_not_fit_are_refused_and_leave_nothing_behind() -> None:
    index = index_of(random_sessions(20, 5))
    some = np.array([0, 1], np.int64)

    def merged(parts: list[tuple[np.ndarray, np.ndarray, int]], banned: list[int]) -> list[int]:
        found = merge(parts, banned, [], *index.item_figures(), NOW_MS, 200)
        return [int(number) for number in np.frombuffer(found[0], np.int64)]

    refused = [
        ([(some, np.ones(3), 1)], [0], "a score an item"),
        ([(some, np.ones(2), 1)], [10**6], "an item is not there"),
        ([(some, np.ones(2), 1), (np.array([-1]), np.ones(1), 1)], [], "an item is not there"),
        ([(some, np.ones(18), 9)], [], "a score an item"),
    ]
    for parts, banned, words in refused:
        with pytest.raises(ValueError, match=words):
            merged(parts, banned)
        assert merged([(some, np.ones(2), 1)], []) == [0, 1]
    with pytest.raises(TypeError, match="takes 9 arguments"):
        merge([])  # type: ignore[call-arg]


def test_weights_must_fit_the_slate() -> None:
    shares, signals, rank = np.ones((6, 2)), np.ones((2, 2)), np.zeros(2, np.int64)
    assert np.frombuffer(fuse(shares, signals, rank, np.ones(8), 0.001)).tolist() == [0.5, 0.5]
    for weights in (np.ones(7), np.ones(9)):
        with pytest.raises(ValueError, match="one weight a source"):
            fuse(shares, signals, rank, weights, 0.001)
    with pytest.raises(TypeError, match="takes 5 arguments"):
        fuse(shares)  # type: ignore[call-arg]
