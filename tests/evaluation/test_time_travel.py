import pytest

from reco_stream.evaluation.log import Logged
from reco_stream.evaluation.metrics import Answers
from reco_stream.evaluation.systems import DEFAULT_SYSTEMS, World
from reco_stream.evaluation.time_travel import PROTOCOLS, Plan, TimeTravel, Visibility
from tests.evaluation.logs import START_MS, chained_log

SYSTEMS = (*DEFAULT_SYSTEMS, "stan", "transitive")


def answered(events: list[Logged], plan: Plan, systems: tuple[str, ...] = SYSTEMS) -> dict[str, dict[str, Answers]]:
    return TimeTravel(events, World(systems), plan).run()


def visit(session: str, item: str, second: int) -> Logged:
    return Logged(session, session, item, "view", START_MS + second * 1_000)


def test_both_protocols_ask_for_every_event_after_the_first_of_its_session() -> None:
    events = chained_log(60)
    found = answered(events, Plan(test_from=0))
    sessions: dict[str, list[str]] = {}
    every = unseen = 0
    for event in events:
        past = sessions.setdefault(event.session, [])
        every += bool(past)
        unseen += bool(past) and event.item not in past
        past.append(event.item)
    for name in SYSTEMS:
        assert len(found["repeats"][name].ranks) == every
        assert len(found["unseen"][name].ranks) == unseen


@pytest.mark.parametrize(
    ("visibility", "share"), [("open", 0.0), ("open", 0.7), ("ended", 0.0), ("ended", 0.7), ("frozen", 0.7)]
)
def test_nothing_before_a_planted_event_changes(visibility: Visibility, share: float) -> None:
    """Leakage: the future is replaced, sessions in the middle of theirs included, and the past answers the same."""
    events = chained_log(150)
    cut = 400
    planted = [
        event._replace(item=f"i{(place * 7) % 30}" if place % 3 else "planted", session=event.session)
        for place, event in enumerate(events[cut:])
    ]
    plan = Plan(test_from=round(share * cut), visibility=visibility, learn_one_in=2)
    before, after = answered(events, plan), answered([*events[:cut], *planted], plan)
    asked = answered(events[:cut], plan)
    for protocol in PROTOCOLS:
        for name in SYSTEMS:
            count = len(asked[protocol][name].ranks)
            assert count > 50
            assert before[protocol][name].ranks[:count] == after[protocol][name].ranks[:count]
            assert before[protocol][name].ranks != after[protocol][name].ranks


def test_an_open_index_knows_sessions_that_still_go_on() -> None:
    events = [
        visit("one", "a", 0),
        visit("two", "a", 1),
        visit("one", "b", 2),
        visit("two", "b", 3),
        visit("one", "c", 4),
    ]
    ranks = {
        visibility: answered(events, Plan(0, visibility), ("session_knn",))["unseen"]["session_knn"].ranks
        for visibility in ("open", "ended", "frozen")
    }
    assert ranks == {"open": [0, 1, 0], "ended": [0, 0, 0], "frozen": [0, 0, 0]}


def test_an_ended_index_grows_and_a_frozen_one_does_not() -> None:
    events = [visit("train", "x", 0), visit("train", "y", 1)]
    events += [visit("one", "a", 2), visit("one", "b", 3), visit("two", "a", 4), visit("two", "b", 5)]
    ended = answered(events, Plan(2, "ended"), ("session_knn",))["unseen"]["session_knn"].ranks
    frozen = answered(events, Plan(2, "frozen"), ("session_knn",))["unseen"]["session_knn"].ranks
    assert (ended, frozen) == ([0, 1], [0, 0])


def test_a_frozen_run_learns_no_weights_from_the_test_part() -> None:
    events = chained_log(100)
    worlds = {visibility: World(("reco",)) for visibility in ("open", "frozen")}
    for visibility, world in worlds.items():
        TimeTravel(events, world, Plan(0, visibility, learn_one_in=1)).run()  # type: ignore[arg-type]
    assert worlds["frozen"].recommender.learners["repeats"].samples == 0
    assert worlds["open"].recommender.learners["repeats"].samples > 100


def test_a_sample_is_a_part_of_the_whole_and_the_same_each_time() -> None:
    events = chained_log(200)
    whole = answered(events, Plan(0), ("reco",))["repeats"]["reco"]
    parts = [answered(events, Plan(0, sample=0.3), ("reco",))["repeats"]["reco"] for _ in range(2)]
    assert parts[0].ranks == parts[1].ranks
    assert len(parts[0].ranks) == pytest.approx(0.3 * len(whole.ranks), rel=0.25)


def test_what_is_still_to_come_counts_for_precision_and_recall() -> None:
    train = [visit("t", item, second) for second, item in enumerate("abcd")]
    test = [visit("one", item, 10 + second) for second, item in enumerate("abac")]
    found = answered([*train, *test], Plan(4, "frozen"), ("session_knn",))
    assert found["unseen"]["session_knn"].to_come == [2, 1]  # b and c after a; c after a, b, a
    assert found["unseen"]["session_knn"].found == [2, 1]
    assert found["repeats"]["session_knn"].to_come == [3, 2, 1]


def test_earlier_sessions_of_a_user_are_history() -> None:
    past = [Logged("s1", "u", item, "view", START_MS + place) for place, item in enumerate("pq")]
    now = [Logged("s2", "u", item, "view", START_MS + 10**7 + place) for place, item in enumerate("xp")]
    assert answered([*past, *now], Plan(2), ("history",))["unseen"]["history"].ranks == [2]


def test_progress_is_told_up_to_the_end() -> None:
    told: list[int] = []
    events = chained_log(30)
    TimeTravel(events, World(("popularity",)), Plan(0)).run(told.append)
    assert told[-1] == len(events)
    assert told == sorted(told)
