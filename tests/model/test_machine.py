"""Every state of the model holds the invariant; every deliberate mistake breaks it.

The invariant (search.py): an owner that serves holds the fold of a prefix of the log; so does the changelog alone; the
group's offset is not ahead of it; what is published is the row as of its stamp; and the newest owner, left alone,
applies and publishes everything.
"""

import pytest

from tests.model.machine import Disk, Marker, Mutant, Owner, Record, Rows, World, fold
from tests.model.search import search

ONE_EVENT: Rows = fold(1)
# An earlier owner has applied one event; what each of the two has on disk of it differs.
APPLIED_ONE = World(
    changelog=(
        Record(0, "fence", None),
        Record(1, "marker", Marker(-1, 1, 0)),
        *(Record(2 + index, key, row) for index, (key, row) in enumerate(ONE_EVENT)),
        Record(4, "marker", Marker(0, 1, 2)),
    ),
    end=5,
    epoch=1,
    written=1,
    owners=(Owner(disk=Disk(ONE_EVENT, Marker(0, 1, 2), 4)), Owner()),
)
STARTS = {
    "nothing yet": World(claims=2, crashes=1, compactions=0),
    "one event applied": APPLIED_ONE._replace(claims=2, crashes=1, compactions=0),
    "one event applied, compaction": APPLIED_ONE._replace(claims=2, crashes=0, compactions=1),
    "nothing yet, a commit": World(claims=2, crashes=1, compactions=0, commits=1),
}
# Where a mistake needs more than an empty changelog to show.
MUTANT_STARTS = {
    Mutant.NO_PROOF: APPLIED_ONE._replace(claims=2, crashes=0, compactions=1),
    Mutant.MARKER_GOES_BACK: STARTS["one event applied"],
    Mutant.COMMIT_BEFORE_SEND: STARTS["nothing yet, a commit"],
}


@pytest.mark.parametrize("start", STARTS)
def test_invariant_holds_in_every_state(start: str) -> None:
    result = search(None, STARTS[start])
    assert result.broken is None, result.way
    assert result.states > 10_000, "the search has lost states"


@pytest.mark.tier2
@pytest.mark.parametrize(("claims", "crashes", "compactions"), [(3, 1, 0), (3, 0, 1), (2, 1, 1)])
@pytest.mark.parametrize("start", [World(), APPLIED_ONE], ids=["nothing yet", "one event applied"])
def test_invariant_holds_with_more_faults(start: World, claims: int, crashes: int, compactions: int) -> None:
    result = search(None, start._replace(claims=claims, crashes=crashes, compactions=compactions))
    assert result.broken is None, result.way
    assert result.states > 100_000


@pytest.mark.parametrize("mutant", Mutant, ids=lambda mutant: mutant.name)
def test_mutant_breaks_the_invariant(mutant: Mutant) -> None:
    result = search(mutant, MUTANT_STARTS.get(mutant, STARTS["nothing yet"]))
    assert result.broken is not None, f"not caught in {result.states} states: {mutant.value}"
    assert result.way, "the first state is no mistake"
