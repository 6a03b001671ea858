"""VMIS-kNN and (V)STAN written down from their publications, slowly and literally, on plain lists.

`sessions` are (items, last_ms), oldest first; the context is a list of distinct items, newest last.
"""

import math

Sessions = list[tuple[list[str], int]]


def vmis(context: list[str], sessions: Sessions, m: int, k: int, last_n: int, idf_weight: float) -> dict[str, float]:
    evolving = context[::-1][:last_n]
    similarity: dict[int, float] = {}
    matching = [n for n, (items, _) in enumerate(sessions) if set(items) & set(evolving)]
    for n in sorted(matching, key=lambda n: sessions[n][1])[-m:]:
        for position, item in enumerate(evolving):
            if item in sessions[n][0]:
                similarity[n] = similarity.get(n, 0.0) + (len(evolving) - position) / len(evolving)
    nearest = sorted(similarity, key=lambda n: (similarity[n], sessions[n][1]))[-k:]
    scores: dict[str, float] = {}
    for n in nearest:
        items = set(sessions[n][0])
        q = next(position for position, item in enumerate(evolving, start=1) if item in items)
        for item in items:
            scores[item] = scores.get(item, 0.0) + max(0.0, 1 - 0.1 * q) * similarity[n]
    if idf_weight > 0:
        for item in scores:
            holding = sum(item in items for items, _ in sessions)
            scores[item] *= idf_weight * math.log(len(sessions) / holding)
    return scores


def vstan(
    context: list[str],
    now_ms: int,
    sessions: Sessions,
    sample: int,
    k: int,
    spw: float,
    snh_days: float,
    inh: float,
    ipw: float | None,
    idf_weight: float,
) -> dict[str, float]:
    size = len(context)
    position_of = {item: place for place, item in enumerate(context, start=1)}
    matching = [n for n, (items, _) in enumerate(sessions) if set(items) & set(context)]
    similarity = {}
    for n in sorted(matching, key=lambda n: sessions[n][1])[-sample:]:
        items, last_ms = sessions[n]
        shared = [item for item in context if item in items]
        dot = sum(math.exp((position_of[item] - size) / spw) for item in shared)
        norm = math.sqrt(sum(math.exp((place - size) / spw) ** 2 for place in range(1, size + 1)))
        age_days = (now_ms - last_ms) / 86_400_000
        similarity[n] = dot / (norm * math.sqrt(len(items))) * math.exp(-age_days / snh_days)
        if ipw is not None:
            similarity[n] *= math.exp((max(position_of[item] for item in shared) - size) / ipw)
    nearest = sorted(similarity, key=lambda n: (similarity[n], sessions[n][1]))[-k:]
    scores: dict[str, float] = {}
    for n in nearest:
        items = sessions[n][0]
        last_match = max(place for place, item in enumerate(items) if item in position_of)
        for item in set(items):
            place = max(place for place, held in enumerate(items) if held == item)
            scores[item] = scores.get(item, 0.0) + similarity[n] * math.exp(-abs(place - last_match) / inh)
    if idf_weight > 0:
        for item in scores:
            holding = sum(item in items for items, _ in sessions)
            scores[item] *= 1 + idf_weight * math.log(len(sessions) / holding)
    return scores


def kernel(
    context: list[str],
    now_ms: int,
    sessions: Sessions,
    rank_decay: float,
    support_power: float,
    match_decay: float,
    age_power: float,
    length_power: float,
    distance_scale: float,
    backward: float,
) -> dict[str, float]:
    """The formula of `Kernel`, for sessions that all fit."""
    newest_first = context[::-1]
    scores: dict[str, float] = {}
    for items, last_ms in sessions:
        shared = [rank for rank, item in enumerate(newest_first) if item in items]
        if not shared:
            continue
        similarity = 0.0
        for rank in shared:
            support = sum(newest_first[rank] in held for held, _ in sessions)
            similarity += math.exp(-rank / rank_decay) * support**-support_power
        hours = (now_ms - last_ms) / 3_600_000
        similarity *= math.exp(-shared[0] / match_decay) * (1 + hours) ** -age_power * len(items) ** -length_power
        match = max(place for place, item in enumerate(items) if item == newest_first[shared[0]])
        for place, item in enumerate(items):
            nearness = (backward if place < match else 1.0) / (1 + abs(place - match) / distance_scale)
            scores[item] = scores.get(item, 0.0) + similarity * nearness
    return scores
