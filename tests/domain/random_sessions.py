"""Small random sessions for the tests of everything that works on a session index."""

import random

from reco_stream.domain.session_index import SessionIndex

Session = list[tuple[str, str, int]]
START_MS = 1_700_000_000_000


def random_sessions(count: int, items: int, seed: int = 1) -> list[tuple[str, Session]]:
    """Return sessions of 1 to 8 events, popular items more often, repeats included, oldest first."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        start = START_MS + number * 60_000
        length = chance.randint(1, 8)
        events = [(f"i{int(items * chance.random() ** 2)}", "view", start + place * 5_000) for place in range(length)]
        found.append((f"s{number}", events))
    return found


def index_of(sessions: list[tuple[str, Session]], sessions_per_item: int = 500) -> SessionIndex:
    """Return an index of whole sessions."""
    index = SessionIndex(sessions_per_item=sessions_per_item)
    for key, events in sessions:
        index.put(key, events, events[-1][2])
    return index
