"""Small logs for the tests of evaluation."""

import random

from reco_stream.evaluation.log import Logged

START_MS = 1_700_000_000_000


def chained_log(sessions: int, items: int = 30, seed: int = 1) -> list[Logged]:
    """Return overlapping sessions of 2 to 6 events; item n is mostly followed by item n + 1, now and then by itself."""
    chance = random.Random(seed)
    found = []
    for number in range(sessions):
        time_ms = START_MS + number * 20_000
        item = chance.randrange(items)
        for _ in range(chance.randint(2, 6)):
            found.append(Logged(f"s{number}", f"u{number % 40}", f"i{item}", "view", time_ms))
            time_ms += chance.randint(5_000, 30_000)
            step = chance.random()
            item = item if step < 0.1 else (item + 1) % items if step < 0.8 else chance.randrange(items)
    found.sort(key=lambda event: event.time_ms)
    return found
