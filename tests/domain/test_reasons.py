import pytest

from reco_stream.domain.neighbourhood import Neighbours, Workspace
from reco_stream.domain.reasons import SessionReason, evidence
from tests.domain.random_sessions import START_MS, index_of, random_sessions

NOW_MS = START_MS + 10**9


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            SessionReason("sessions", "A", "purchase", 1, True, 30.0),
            "people who bought A then viewed this: 1 session in 1 minute",
        ),
        (
            SessionReason("sessions", "A", "odd", 2, False, 7_200.0),
            "people who chose A also viewed this: 2 sessions in 2 hours",
        ),
        (SessionReason("transitive"), "near what similar people viewed"),
        (SessionReason("transitive", "A"), "near what people who chose A viewed"),
        (SessionReason("repeat"), "you looked at it a moment ago"),
        (SessionReason("history"), "you chose it before"),
        (SessionReason("trending"), "popular now"),
    ],
)
def test_words(reason: SessionReason, words: str) -> None:
    assert reason.words() == words


def test_items_are_named_by_title() -> None:
    reason = SessionReason("sessions", "A", "view", 2, True, 60.0)
    assert reason.words({"A": "Blue lamp"}.get).startswith("people who viewed Blue lamp then")


def test_evidence_counts_the_sessions_behind_an_item() -> None:
    sessions = random_sessions(200, 15)
    index = index_of(sessions)
    context = ["i0", "i2"]
    neighbours = Neighbours.gather(Workspace(index), index.numbers(context), NOW_MS, 1_000)
    assert neighbours is not None
    events = neighbours.expand()
    distance = events.from_newest_match()
    wanted = events.candidates.argsort()[:8]
    proof = evidence(events, neighbours.age_s, distance, wanted)
    for place, candidate in enumerate(wanted.tolist()):
        item = index.names[events.candidates[candidate]]
        counts = [0, 0]
        for _, visits in sessions:
            held = [name for name, _, _ in visits]
            if item in held:
                for rank, anchor in enumerate(context):
                    if anchor in held:
                        counts[rank] += 1
                        break
        assert proof.sessions[place] == max(counts)
        anchor = context[counts.index(max(counts))]
        assert proof.anchor[place] == context.index(anchor)
        with_both = [
            visits
            for _, visits in sessions
            if item in (held := [name for name, _, _ in visits])
            and next((name for name in context if name in held), None) == anchor
        ]
        oldest_ms = min(visits[-1][2] for visits in with_both)
        assert proof.age_s[place] == pytest.approx((NOW_MS - oldest_ms) / 1_000)
        after = 0
        for visits in with_both:
            held = [name for name, _, _ in visits]
            after += len(held) - held[::-1].index(item) > len(held) - held[::-1].index(anchor)
        assert proof.after[place] == after
