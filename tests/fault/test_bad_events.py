"""Faults 14 and 15: records that break the contract, and an event on which a rule raises each time."""

from __future__ import annotations

from collections import Counter

from reco_stream.dead_letters import OFFSET, PARTITION, REASON, TOPIC
from tests.fault.conftest import MakeCluster
from tests.fault.load import BAD, Sent, huge
from tests.fault.report import Run


def test_poison_pills(make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster()
    good = cluster.load.take(600)
    pills = [cluster.load.bad(kind) for kind in sorted(BAD)] + [huge(cluster.load)]
    mixed: list[Sent] = []
    for at, record in enumerate(good):
        mixed.append(record)
        if at % 30 == 0 and pills:
            mixed.append(pills.pop())
    assert not pills
    cluster.worker().start()
    cluster.send(mixed)
    cluster.worker().wait_ready()
    report = cluster.finish()
    assert report.refused == sum(1 for record in mixed if record.reason is not None)

    topic = cluster.settings.topic("events")
    sources = {
        (number, record.offset): record
        for number in range(cluster.settings.partitions)
        for record in cluster.read(topic, number)
    }
    letters = cluster.read(cluster.settings.topic("dead-letters"), 0)
    found: Counter[str] = Counter()
    for letter in letters:
        headers = dict(letter.headers)
        at_partition, at_offset = int(headers[PARTITION]), int(headers[OFFSET])
        assert headers[TOPIC].decode() == topic
        assert letter.key == f"{topic}/{at_partition}/{at_offset}".encode()
        assert letter.value == sources[at_partition, at_offset].value
        found[headers[REASON].decode()] += 1
    assert found == Counter(record.reason for record in mixed if record.reason is not None)
    assert len({letter.key for letter in letters}) == len(letters)
    run.note(f"{len(letters)} records of {len(found)} reasons in the dead letters, each once")


def test_rule_that_raises_on_one_item(make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster()
    cursed = 0
    records: list[Sent] = []
    for at, record in enumerate(cluster.load.take(900)):
        records.append(record)
        if at % 200 == 50:
            records.append(cluster.load.event(item_id="cursed", event_id=None))
            cursed += 1
    cluster.send(records)
    worker = cluster.worker().start(hooks={"raise": {"item": "cursed"}})
    worker.wait_ready()
    cluster.drain()
    report = cluster.finish()  # the same process all along, or it would not end well
    assert report.skipped == cursed
    letters = [dict(letter.headers) for letter in cluster.read(cluster.settings.topic("dead-letters"), 0)]
    failed = [headers for headers in letters if headers[REASON] == b"fold_failed"]
    assert len(failed) == cursed
    assert worker.log().count("attempt 2 of 2") == cursed
    assert "attempt 3" not in worker.log()
    run.note(f"{cursed} events on which a rule raises: two attempts each, then the dead letters; no restart")
