import pytest

from reco_stream.domain.context import Context, Interaction
from reco_stream.evaluation.log import Logged
from reco_stream.evaluation.systems import DEFAULT_SYSTEMS, OURS, UnknownSystem, World
from tests.evaluation.logs import chained_log

ALL = (
    *DEFAULT_SYSTEMS,
    *("vmis_knn", "stan", "vstan", "session_knn", "sequence", "rules", "co_view", "transitive", "trending", "rrf"),
    *("co_view_row", "co_view_llr"),
)


@pytest.fixture(scope="module")
def world() -> World:
    found = World(ALL)
    sessions: dict[str, list[Logged]] = {}
    for event in chained_log(200):
        session = sessions.setdefault(event.session, [])
        session.append(event)
        found.apply(session, len(session) - 1)
    return found


@pytest.mark.parametrize("name", ALL)
def test_every_system_answers_without_what_is_excluded(world: World, name: str) -> None:
    last_ms = chained_log(200)[-1].time_ms
    context = Context((Interaction("i3", "view", last_ms), Interaction("i4", "view", last_ms)), last_ms)
    found = world.systems[name](context, 10, {"i3", "i4"})
    assert 0 < len(found) <= 10
    assert len(set(found)) == len(found)
    assert not {"i3", "i4"} & set(found)


@pytest.mark.parametrize("name", [OURS, "co_view_last", "rules_last", "vmis_serenade", "session_knn"])
def test_what_mostly_follows_comes_first(world: World, name: str) -> None:
    last_ms = chained_log(200)[-1].time_ms
    context = Context((Interaction("i4", "view", last_ms),), last_ms)
    assert "i5" in world.systems[name](context, 3, {"i4"})


def test_serenade_never_shows_the_current_item(world: World) -> None:
    context = Context((Interaction("i4", "view", 0),), chained_log(200)[-1].time_ms)
    assert "i4" not in world.systems["vmis_serenade"](context, 30, frozenset())
    assert "i4" in world.systems[OURS](context, 30, frozenset())


def test_unknown_systems_are_told() -> None:
    with pytest.raises(UnknownSystem, match="systems are magic, wanted some of popularity"):
        World(("reco", "magic"))
