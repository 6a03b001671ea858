import random

import pytest

from reco_stream.domain.context import Context, Interaction
from reco_stream.domain.fusion import SOURCES, BadWeights
from reco_stream.domain.recommender import Recommender, is_sampled
from reco_stream.domain.session_index import SessionIndex
from tests.domain.random_sessions import START_MS, Session, random_sessions

NOW_MS = START_MS + 10**8
SESSIONS = random_sessions(300, 40, seed=4)


def fed(sessions: list[tuple[str, Session]] = SESSIONS, **options: object) -> Recommender:
    recommender = Recommender(**options)  # type: ignore[arg-type]
    for key, events in sessions:
        recommender.update_session(key, events, events[-1][2])
    return recommender


def context_of(*items: str, history: tuple[Interaction, ...] = ()) -> Context:
    return Context(tuple(Interaction(item, "view", NOW_MS) for item in items), NOW_MS, history)


def test_the_list_is_ranked_by_probability_and_holds_no_item_twice() -> None:
    found = fed().recommend(context_of("i0", "i4"), 20)
    assert len(found) == 20
    assert len({one.item for one in found}) == 20
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert 0 < sum(scores) <= 1 + 1e-9


def test_excluded_items_never_come_back() -> None:
    out = {"i0", "i4", "i1", "i2"}
    assert not out & {one.item for one in fed().recommend(context_of("i0", "i4"), 40, out)}


def test_trending_fills_up_what_the_sources_do_not_know() -> None:
    recommender = fed()
    unknown = recommender.recommend(context_of("never seen"), 5)
    assert [one.reason.kind for one in unknown] == ["trending"] * 5
    nobody = recommender.recommend(Context((), NOW_MS), 5)
    assert [one.item for one in nobody] == [one.item for one in unknown]
    everything = recommender.recommend(context_of("i39"), 100)
    assert {one.item for one in everything} == set(recommender.index.number_of)


def test_knows_nothing_when_nothing_happened() -> None:
    assert Recommender().recommend(context_of("i0"), 5) == []


def test_a_session_is_visible_at_once_and_gone_when_removed() -> None:
    recommender = Recommender()
    recommender.update_session("s", [("a", "view", START_MS), ("b", "view", START_MS)], START_MS)
    assert [one.item for one in recommender.recommend(context_of("a"), 5, {"a"})] == ["b"]
    recommender.remove_session("s")
    assert recommender.recommend(context_of("a"), 5, {"a"}) == []


def test_the_order_in_which_sessions_came_does_not_matter() -> None:
    shuffled = list(SESSIONS)
    random.Random(1).shuffle(shuffled)
    straight, other = fed(), fed(shuffled)
    past = (Interaction("i7", "view", START_MS), Interaction("i30", "view", START_MS))
    for items in (("i0",), ("i3", "i1"), ("i9", "i2", "i0", "i33")):
        for out in (frozenset(), frozenset(items)):
            context = context_of(*items, history=past)
            assert straight.recommend(context, 20, out, explain=True) == other.recommend(context, 20, out, explain=True)


def test_known_users_get_items_of_their_history() -> None:
    past = (Interaction("i39", "view", NOW_MS - 10**7),)
    found = fed(pinned={"repeats": {"history": 1.0}}).recommend(context_of("i0", history=past), 1)
    assert [one.item for one in found] == ["i39"]
    alone = fed().recommend(context_of("never seen", history=past), 2)
    assert (alone[0].item, alone[0].reason.kind) == ("i39", "history")
    assert alone[1].reason.kind == "trending"


def test_pinned_weights_hold_whatever_is_learned() -> None:
    recommender = fed(pinned={"unseen": {"rules": 2.0}})
    recommender.observe(context_of("i0"), "i1")
    assert {name: weight for name, weight in recommender.weights("unseen").items() if weight} == {"rules": 2.0}
    assert recommender.weights("repeats") != Recommender().weights("repeats")


def test_bad_pins_and_methods_are_refused() -> None:
    with pytest.raises(BadWeights, match="magic"):
        Recommender(pinned={"unseen": {"magic": 1.0}})
    with pytest.raises(ValueError, match="method is 'sum'"):
        Recommender(method="sum")


def test_learning_makes_what_comes_next_more_likely() -> None:
    recommender = fed()
    context = context_of("i0", "i4")
    before = {one.item: one.score for one in recommender.recommend(context, 40, {"i0", "i4"})}
    unlikely = min(before, key=lambda item: (before[item], item))
    for _ in range(30):
        recommender.observe(context, unlikely)
    after = {one.item: one.score for one in recommender.recommend(context, 40, {"i0", "i4"})}
    assert after[unlikely] > 1.5 * before[unlikely]


def test_reciprocal_rank_fusion_is_available() -> None:
    recommender = fed(method="rrf")
    found = recommender.recommend(context_of("i0"), 5, explain=True)
    top = found[0]
    assert top.score == pytest.approx(sum(1 / (60 + rank) for rank in top.source_ranks.values()))
    assert fed().recommend(context_of("i0"), 5, method="rrf") == recommender.recommend(context_of("i0"), 5)


def test_explain_tells_parts_ranks_and_evidence() -> None:
    recommender = fed()
    plain = recommender.recommend(context_of("i0", "i4"), 10, {"i0", "i4"})
    explained = recommender.recommend(context_of("i0", "i4"), 10, {"i0", "i4"}, explain=True)
    assert [(one.item, one.score, one.reason) for one in plain] == [(o.item, o.score, o.reason) for o in explained]
    assert all(set(one.parts) == set(SOURCES) for one in explained)
    assert explained[0].source_ranks["session_knn"] >= 1
    assert min(one.source_ranks.get("rules", 99) for one in explained) == 1
    reason = explained[0].reason
    assert reason.kind == "sessions"
    assert reason.anchor in {"i0", "i4"}
    held = [{item for item, _, _ in events} for _, events in SESSIONS]
    assert 0 < reason.sessions <= sum({explained[0].item, reason.anchor} <= items for items in held)


@pytest.mark.parametrize(("limit", "k"), [(1_000, 500), (20, 5)])
def test_the_compiled_way_gives_what_the_steps_give_one_by_one(limit: int, k: int) -> None:
    recommender = fed(limit=limit, k=k)
    known = sorted(recommender.index.numbers([f"i{number}" for number in range(40)]))
    names = [recommender.index.names[number] for number in known]
    for at in range(len(names)):
        session = tuple(Interaction(name, "view", NOW_MS - 10) for name in names[at : at + 1 + at % 4])
        past = tuple(Interaction(name, "view", NOW_MS - 10**9) for name in names[at // 2 :: 7])
        context = Context((*session, Interaction("unknown", "view", NOW_MS)), NOW_MS, past)
        for exclude in (frozenset[str](), frozenset(names[::3]), frozenset(names)):
            plain = recommender.recommend(context, 12, exclude)
            steps = recommender.recommend(context, 12, exclude, explain=True)
            assert [one[:3] for one in plain] == [one[:3] for one in steps]


def test_an_item_of_the_session_itself_is_called_a_repeat() -> None:
    found = {one.item: one.reason.kind for one in fed().recommend(context_of("i0", "i4"), 40)}
    assert found["i0"] == found["i4"] == "repeat"


def test_shares_an_index_that_is_given() -> None:
    index = SessionIndex(sessions_per_item=7)
    recommender = Recommender(index)
    recommender.update_session("s", [("a", "view", START_MS)], START_MS)
    assert recommender.index is index
    assert len(index) == 1


def test_samples_are_drawn_by_the_key_alone() -> None:
    drawn = [key for key in map(str, range(8_000)) if is_sampled(key, 8)]
    assert drawn == [key for key in map(str, range(8_000)) if is_sampled(key, 8)]
    assert len(drawn) == pytest.approx(1_000, rel=0.15)
