import numpy as np

from reco_stream.domain.neighbourhood import Neighbours, Workspace, strongest
from reco_stream.domain.session_index import SessionIndex
from tests.domain.random_sessions import START_MS, index_of, random_sessions

NOW_MS = START_MS + 10**9


def gathered(index: SessionIndex, items: list[str], limit: int = 1_000) -> Neighbours:
    found = Neighbours.gather(Workspace(index), index.numbers(items), NOW_MS, limit)
    assert found is not None
    return found


def keys(index: SessionIndex, neighbours: Neighbours) -> list[str]:
    return [index._keys.names[slot] for slot in neighbours.slots.tolist()]


def test_gather_finds_every_session_with_any_of_the_items_oldest_first() -> None:
    index = index_of(random_sessions(60, 10))
    neighbours = gathered(index, ["i0", "i3"])
    expected = [key for key in index.session_keys() if {"i0", "i3"} & set(index.items_of(key))]
    assert keys(index, neighbours) == expected


def test_gather_keeps_the_newest_when_there_are_too_many() -> None:
    index = index_of(random_sessions(60, 10))
    everything = keys(index, gathered(index, ["i0", "i3"]))
    limited = gathered(index, ["i0", "i3"], limit=5)
    assert keys(index, limited) == everything[-5:]
    assert limited.shared.max() == 4


def test_best_is_the_newest_shared_item() -> None:
    index = index_of(random_sessions(60, 10))
    neighbours = gathered(index, ["i4", "i0"])
    for key, best in zip(keys(index, neighbours), neighbours.best.tolist(), strict=True):
        assert best == (0 if "i4" in index.items_of(key) else 1)


def test_summed_adds_the_weight_of_each_shared_item_once() -> None:
    index = index_of(random_sessions(60, 10))
    neighbours = gathered(index, ["i4", "i0"])
    sums = neighbours.summed(np.array([1.0, 10.0])).tolist()
    for key, total in zip(keys(index, neighbours), sums, strict=True):
        held = set(index.items_of(key))
        assert total == ("i4" in held) + 10 * ("i0" in held)


def test_expand_lays_out_the_sessions_and_their_candidates() -> None:
    index = index_of(random_sessions(60, 10))
    neighbours = gathered(index, ["i1"])
    events = neighbours.expand()
    laid = [
        [index.names[number] for number in events.item[events.session == place]] for place in range(events.sessions)
    ]
    assert laid == [index.items_of(key) for key in keys(index, neighbours)]
    assert sorted(index.names[number] for number in events.candidates) == sorted({item for row in laid for item in row})
    assert (events.candidates[events.candidate] == events.item).all()


def test_distances_count_from_the_last_match() -> None:
    index = index_of([("s", [(item, "view", START_MS + place) for place, item in enumerate("abacad")])])
    events = gathered(index, ["b", "c"]).expand()
    assert events.from_last_match().tolist() == [-3, -2, -1, 0, 1, 2]


def test_once_marks_the_last_event_of_each_item() -> None:
    index = index_of([("s", [(item, "view", START_MS + place) for place, item in enumerate("abacad")])])
    assert gathered(index, ["a"]).expand().once().tolist() == [False, True, False, True, True, True]


def test_scratch_arrays_are_left_clean_for_the_next_query() -> None:
    index = index_of(random_sessions(60, 10))
    workspace = Workspace(index)
    fresh = [gathered(index, [item]).expand().rank.tolist() for item in ("i1", "i2", "i1")]
    shared = []
    for item in ("i1", "i2", "i1"):
        found = Neighbours.gather(workspace, index.numbers([item]), NOW_MS, 100)
        assert found is not None
        shared.append(found.expand().rank.tolist())
    assert shared == fresh


def test_no_known_item_gives_no_neighbours() -> None:
    assert Neighbours.gather(Workspace(SessionIndex()), [], NOW_MS, 10) is None


def test_strongest_prefers_the_newer_among_equals() -> None:
    similarity = np.array([1.0, 2.0, 1.0, 1.0])
    assert strongest(similarity, 4) is None
    chosen = strongest(similarity, 2)
    assert chosen is not None
    assert chosen.tolist() == [1, 3]
