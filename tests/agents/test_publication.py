"""What one worker publishes, another takes in: the same rows, keyed so that nothing is mixed up."""

from typing import Any

from agents.publication import Publication, read_catalogue, read_item_stats, read_sessions
from reco_stream.catalogue import Catalogue, Item, encode_item
from reco_stream.domain.canary_ids import item_id, user_id
from reco_stream.domain.recommender import Recommender
from reco_stream.engine.light_records import LightRecord
from reco_stream.engine.published import Stamp, seal, unseal
from reco_stream.engine.table import MemoryRows
from reco_stream.events import Event
from tables import ALL_TABLES
from tables.fold import fold_event
from tables.item_model import ItemModel
from tables.rules import TableRules

NOW_MS = 1_700_000_000_000
ITEM_STATS, SESSIONS_TOPIC = "t.item-stats", "t.sessions"


def folded(*visits: tuple[str, str, int]) -> MemoryRows:
    rows = MemoryRows()
    for user, item, time_ms in visits:
        rows.stream_time_ms = max(rows.stream_time_ms, time_ms)
        fold_event(rows, Event(user=user, item=item, type="view", time_ms=time_ms, weight=1.0), TableRules())
    return rows


def published(rows: MemoryRows) -> dict[str, dict[bytes, bytes | None]]:
    publication = Publication(ITEM_STATS, SESSIONS_TOPIC)
    found: dict[str, dict[bytes, bytes | None]] = {ITEM_STATS: {}, SESSIONS_TOPIC: {}}
    for key, row in rows.snapshot().items():
        if key[:1] in Publication.prefixes:
            for topic, out_key, value in publication.expand(key, row):
                sealed = None if value is None else seal(Stamp(1, 7, NOW_MS), value)
                found[topic][out_key] = sealed
    return found


def test_only_item_rows_and_sessions_are_published() -> None:
    assert Publication.prefixes < {table.prefix for table in ALL_TABLES}
    assert Publication.prefixes == {b"p", b"c", b"s"}


def test_item_rows_of_two_partitions_add_up_in_the_reader() -> None:
    model = ItemModel(TableRules())
    apply = read_item_stats(model)
    for partition, rows in enumerate((folded(("u1", "a", NOW_MS), ("u1", "b", NOW_MS)), folded(("u2", "a", NOW_MS)))):
        for key, value in published(rows)[ITEM_STATS].items():
            apply(partition, [LightRecord(0, key, value)] * 2)  # a replay changes nothing
    found = model.popularity("a")
    assert found is not None
    assert found.weighted == 2.0
    assert [neighbour.item for neighbour in model.neighbours("a", NOW_MS, 5)] == ["b"]


def test_each_session_has_a_key_of_its_own_and_its_last_value_counts() -> None:
    hour_ms = 3_600_000
    one = published(folded(("u1", "a", NOW_MS)))[SESSIONS_TOPIC]
    grown = published(folded(("u1", "a", NOW_MS), ("u1", "b", NOW_MS + 1_000), ("u1", "c", NOW_MS + hour_ms)))[
        SESSIONS_TOPIC
    ]
    assert len(one) == 1
    assert len(grown) == 2
    assert one.keys() < grown.keys()

    recommender = Recommender()
    apply = read_sessions(recommender)
    for values in (one, grown):
        for key, value in values.items():
            apply(0, [LightRecord(0, key, value)])
    assert len(recommender.index) == 2
    for key in grown:
        apply(0, [LightRecord(0, key, None)])
    assert len(recommender.index) == 0


def test_forgotten_user_publishes_nothing() -> None:
    assert list(Publication(ITEM_STATS, SESSIONS_TOPIC).expand(b"su1", None)) == []


def test_catalogue_follows_its_topic() -> None:
    catalogue = Catalogue()
    key, value = encode_item(Item(item_id="a", title="Lamp"))
    read_catalogue(catalogue)(0, [LightRecord(0, key, value)])
    assert catalogue.title_of("a") == "Lamp"
    read_catalogue(catalogue)(0, [LightRecord(1, key, None)])
    assert catalogue.title_of("a") is None


def test_popularity_moves_by_weight_and_co_view_by_each_new_pair() -> None:
    def measures(*visits: tuple[str, str, int]) -> dict[bytes, Any]:
        return {
            key: Publication(ITEM_STATS, SESSIONS_TOPIC).measure(key, row)
            for key, row in folded(*visits).snapshot().items()
        }

    one = measures(("u1", "a", NOW_MS), ("u1", "b", NOW_MS))
    more = measures(("u1", "a", NOW_MS), ("u1", "b", NOW_MS), ("u2", "a", NOW_MS), ("u2", "c", NOW_MS))
    assert (one[b"pa"], more[b"pa"]) == ((0, 1.0), (0, 2.0))
    assert one[b"ca"][0] != more[b"ca"][0]
    assert more[b"ca"][1] == 2 * one[b"ca"][1]
    assert one[b"su1"] is None


def test_a_session_outside_the_sample_is_not_published() -> None:
    rows, rules = MemoryRows(), TableRules(sessions_shared=1)
    for number in range(200):
        event = Event(user=f"u{number}", item="hot", type="view", time_ms=NOW_MS, weight=1.0)
        fold_event(rows, event, rules)
    shared = published(rows)[SESSIONS_TOPIC]
    assert b"u0\0%d\0" % NOW_MS in shared
    assert len(shared) < 20  # 1 + 1/2 + ... + 1/200 are expected: 6
    fold_event(rows, Event(user="u199", item="rare", type="view", time_ms=NOW_MS + 1, weight=1.0), rules)
    assert b"u199\0%d\0" % NOW_MS in published(rows)[SESSIONS_TOPIC]


def test_canaries_are_in_no_session_index_and_have_neighbours_but_no_popularity() -> None:
    item, user = item_id("host", 1), user_id("host", 1)
    found = published(folded((user, item, NOW_MS), (user, "a", NOW_MS)))
    model, recommender = ItemModel(TableRules()), Recommender()
    for apply, topic in ((read_item_stats(model), ITEM_STATS), (read_sessions(recommender), SESSIONS_TOPIC)):
        apply(0, [LightRecord(0, key, value) for key, value in found[topic].items()])
    assert (len(recommender.index), model.popularity(item), len(model)) == (0, None, 1)
    assert [neighbour.item for neighbour in model.neighbours(item, NOW_MS, 5)] == ["a"]


def test_a_session_of_an_older_owner_does_not_replace_that_of_a_newer_one() -> None:
    (key, longer), *_ = published(folded(("u1", "a", NOW_MS), ("u1", "b", NOW_MS + 1)))[SESSIONS_TOPIC].items()
    shorter = published(folded(("u1", "a", NOW_MS)))[SESSIONS_TOPIC][key]
    assert longer is not None
    assert shorter is not None
    recommender = Recommender()
    apply = read_sessions(recommender)
    for partition, version, value in ((3, 8, longer), (3, 7, shorter)):
        apply(partition, [LightRecord(0, key, seal(Stamp(version, 9, NOW_MS), unseal(value)[1]))])
    assert recommender.index.items_of(key.decode()) == ["a", "b"]
    apply(4, [LightRecord(0, b"u2\0%d\0" % NOW_MS, seal(Stamp(7, 9, NOW_MS), unseal(shorter)[1]))])  # by partition
    assert len(recommender.index) == 2
