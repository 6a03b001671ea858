from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reco_stream.content.build import build
from reco_stream.content.encoder import DIMENSIONS, Floats, normalised
from reco_stream.content.vectors import EXACT_BELOW, Vectors


def random_rows(count: int, seed: int = 1) -> Floats:
    """Vectors in 40 clusters, as texts of a catalogue are."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((40, DIMENSIONS))
    rows = centres[np.arange(count) % 40] + 0.7 * random.standard_normal((count, DIMENSIONS))
    return normalised(rows.astype(np.float32))


def filled(folder: Path, rows: Floats) -> Vectors:
    vectors = Vectors(folder / "v.f16")
    for number, row in enumerate(rows):
        vectors.put(f"i{number}", row)
    return vectors


def index(vectors: Vectors) -> None:
    """Builds the index that is wanted now; its name tells its first row."""
    segment = vectors.next_segment()
    assert segment is not None
    first, count = segment
    vectors.flush()
    out = vectors.file.with_name(f"{first}-{count}.ann")
    vectors.use_index(out, first, count, build(vectors.file, first, count, out, 10))


def exact(rows: Floats, query: Floats, count: int) -> list[str]:
    return [f"i{number}" for number in np.argsort(-(rows @ query), kind="stable")[:count]]


def test_without_an_index_the_answer_is_exact(tmp_path: Path) -> None:
    rows = random_rows(1_500)  # more than the file has at first
    vectors = filled(tmp_path, rows)
    found = vectors.nearest(rows[7] * 3, 20)
    assert found[0][0] == "i7"
    assert found[0][1] == pytest.approx(1.0, abs=2e-3)
    assert len({item for item, _ in found} & set(exact(rows, rows[7], 20))) >= 19
    assert vectors.nearest(np.zeros(DIMENSIONS, np.float32), 5) == []
    assert [item for item, _ in vectors.nearest(rows[7], 3, lambda item: item == "i7")] == ["i7"]


def test_an_index_with_newer_changed_and_deleted_items(tmp_path: Path) -> None:
    rows = random_rows(EXACT_BELOW + 400)
    vectors = filled(tmp_path, rows[:EXACT_BELOW])
    assert (vectors.next_segment(), vectors.recall) == ((0, EXACT_BELOW), None)
    index(vectors)
    assert vectors.recall is not None
    assert vectors.recall >= 0.95
    for number in range(EXACT_BELOW, len(rows)):  # newer than what the index was built from
        vectors.put(f"i{number}", rows[number])
    assert (vectors.next_segment(), vectors.indexed) == (None, EXACT_BELOW)

    def hits(query: Floats) -> int:
        return len({item for item, _ in vectors.nearest(query, 50)} & set(exact(rows, query, 50)))

    assert np.mean([hits(query) for query in rows[::80]]) >= 0.95 * 50
    vectors.remove("i3")
    vectors.put("i4", rows[5])
    near = [item for item, _ in vectors.nearest(rows[3], 50)]
    assert "i3" not in near
    assert vectors.get("i3") is None
    assert vectors.nearest(rows[5], 2)[0][1] == pytest.approx(vectors.nearest(rows[5], 2)[1][1])
    assert {item for item, _ in vectors.nearest(rows[5], 2)} == {"i4", "i5"}
    assert len([item for item, _ in vectors.nearest(rows[4], 50) if item == "i4"]) <= 1
    assert len(vectors) == len(rows) - 1


def test_segments_of_like_size_are_joined_and_large_ones_left(tmp_path: Path) -> None:
    rows = random_rows(14 * EXACT_BELOW)
    vectors = filled(tmp_path, rows[: 10 * EXACT_BELOW])
    index(vectors)
    built = []
    for number in range(10 * EXACT_BELOW, len(rows)):
        vectors.put(f"i{number}", rows[number])
        if vectors.next_segment() is not None:
            built.append(vectors.next_segment())
            index(vectors)
    size = EXACT_BELOW
    assert built == [(10 * size, size), (10 * size, 2 * size), (0, 13 * size), (13 * size, size)]
    assert len(vectors.files) == 3
    assert vectors.indexed == len(rows)
    for place in (5, 10 * size + 5, 14 * size - 5):
        assert vectors.nearest(rows[place], 1)[0][0] == f"i{place}"


def test_marks_say_which_text_a_vector_is_of(tmp_path: Path) -> None:
    vectors = filled(tmp_path, random_rows(2))
    vectors.put("i1", np.zeros(DIMENSIONS, np.float32), 2**63 - 1)
    assert [vectors.mark_of(item) for item in ("i0", "i1", "i2")] == [0, 2**63 - 1, None]
    assert vectors.get("i1") is None
    assert "i1" in vectors
