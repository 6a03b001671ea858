from reco_stream.domain.context import Context, Interaction
from reco_stream.domain.retrievers.transitive import Transitive
from tests.domain.random_sessions import START_MS, index_of, random_sessions

CHAIN = [
    ("s1", [("a", "view", START_MS), ("b", "view", START_MS + 1)]),
    ("s2", [("b", "view", START_MS + 2), ("c", "view", START_MS + 3)]),
]
CONTEXT = Context((Interaction("a", "view", START_MS + 9),), START_MS + 9)


def test_reaches_items_that_no_session_shares_with_the_context() -> None:
    found = Transitive(index_of(CHAIN)).recommend(CONTEXT, 5, exclude={"a", "b"})
    assert [candidate.item for candidate in found] == ["c"]


def test_does_not_run_where_the_first_hop_found_enough() -> None:
    assert Transitive(index_of(CHAIN), enough=2).recommend(CONTEXT, 5) == []
    sessions = random_sessions(300, 40)
    context = Context((Interaction("i0", "view", START_MS),), START_MS)
    assert Transitive(index_of(sessions), enough=5).recommend(context, 5) == []
