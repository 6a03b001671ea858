"""The encoder that needs no download: hashed n-grams of words and characters, TF-IDF, reduced to 384 by SVD.

    feature   crc32 of a word, a pair of words, or 3 to 5 characters of a word, modulo 16,384
    weight    (1 + ln count) * ln((1 + texts) / (1 + texts with the feature)) + 1, the row scaled to length 1
    vector    row * V, V = the first 384 right singular vectors of the rows of at most 4,000 texts, scaled to length 1

The SVD is the randomised one with two power iterations (Halko, Martinsson, Tropp, SIAM Review 2011); the weights follow
Salton and Buckley (1988). The same texts give the same encoder.
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final
from zlib import crc32

import numpy as np

from reco_stream.content.encoder import DIMENSIONS, Floats, normalised

BUCKETS: Final = 16_384
SAMPLE: Final = 4_000
MAX_CHARS: Final = 4_000  # of a text; the rest says the same again
_SPARE: Final = 16
Row = tuple[list[int], Floats]  # features that occur, each once, and their weights
_WORD = re.compile(r"\w+")


class HashedEncoder:
    """Encodes by what the fitted texts have in common.

    >>> encoder = HashedEncoder.fit(["blue lamp", "red lamp", "oak table", "pine table"])
    >>> lamps, table = encoder.encode(["green lamp"])[0] @ encoder.encode(["blue lamp", "oak table"]).T
    >>> bool(lamps > 0.5 > table)
    True
    """

    name = "hashed"

    def __init__(self, idf: Floats, projection: Floats, fitted_on: int) -> None:
        self._idf = idf
        self._projection = projection
        self.fitted_on = fitted_on
        self.version = blake2b(idf.tobytes() + projection.tobytes(), digest_size=8).hexdigest()

    @classmethod
    def fit(cls, texts: Sequence[str]) -> HashedEncoder:
        """Return the encoder of these texts; of more than 4,000, evenly spread ones are taken."""
        step = max(1, math.ceil(len(texts) / SAMPLE))
        counts = [features(text) for text in texts[::step]]
        held = np.zeros(BUCKETS)
        for found in counts:
            held[list(found)] += 1
        idf = (np.log((1 + len(counts)) / (1 + held)) + 1).astype(np.float32)
        rows = [_weights(found, idf) for found in counts]
        # Half precision, as it is stored: the encoder that is loaded again must be this one.
        projection = _right_singular_vectors(rows).astype(np.float16).astype(np.float32)
        return cls(idf, projection, len(texts))

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return one row a text."""
        found = np.zeros((len(texts), DIMENSIONS), np.float32)
        for row, text in zip(found, texts, strict=True):
            columns, weights = _weights(features(text), self._idf)
            if len(columns):
                row[: self._projection.shape[1]] = weights @ self._projection[columns]
        return normalised(found)

    def dump(self) -> bytes:
        """Return the parameters, about 13 MB."""
        out = io.BytesIO()
        np.savez(out, idf=self._idf, projection=self._projection.astype(np.float16), fitted_on=self.fitted_on)
        return out.getvalue()

    @classmethod
    def load(cls, data: bytes) -> HashedEncoder:
        """Return the encoder of `dump`, name and version included."""
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            return cls(found["idf"], found["projection"].astype(np.float32), int(found["fitted_on"]))


def features(text: str) -> Counter[int]:
    """Return the hashed features of a text and how often each occurs."""
    words = _WORD.findall(text[:MAX_CHARS].casefold())
    found: Counter[int] = Counter()
    before = ""
    for word in words:
        found[crc32(word.encode()) % BUCKETS] += 1
        if before:
            found[crc32(f"{before} {word}".encode()) % BUCKETS] += 1
        before = word
        marked = f"<{word}>"
        for size in (3, 4, 5):
            for start in range(len(marked) - size + 1):
                found[crc32(marked[start : start + size].encode()) % BUCKETS] += 1
    return found


def _weights(found: Counter[int], idf: Floats) -> Row:
    columns = list(found)
    weights = (1 + np.log(np.fromiter(found.values(), np.float32, len(found)))) * idf[columns]
    length = float(np.linalg.norm(weights)) or 1.0
    return columns, (weights / length).astype(np.float32)


def _right_singular_vectors(rows: Sequence[Row]) -> Floats:
    """Returns at most 384 columns of the right singular vectors, those of the largest singular values.

    A row has some 200 numbers that are not 0: going through these is 30 times less work than through all 16,384.
    """
    wanted = min(DIMENSIONS, len(rows))
    random = np.random.default_rng(7)
    probe = random.standard_normal((BUCKETS, min(wanted + _SPARE, len(rows)))).astype(np.float32)
    basis = _orthogonal(_times(rows, probe))
    for _ in range(2):
        basis = _orthogonal(_times(rows, _transposed_times(rows, basis)))
    projected = _transposed_times(rows, basis)  # the rows in the basis, transposed: 16,384 by at most 400
    return np.ascontiguousarray(_orthogonal(projected)[:, ::-1][:, :wanted])  # the largest come last


def _orthogonal(columns: Floats) -> Floats:
    """Returns orthogonal columns that span the same, by their Gram matrix: less work than QR."""
    values, vectors = np.linalg.eigh((columns.T @ columns).astype(np.float64))
    kept = values > max(values.max(initial=0.0) * 1e-6, 1e-12)
    found: Floats = columns @ (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)
    return found


def _times(rows: Sequence[Row], matrix: Floats) -> Floats:
    found = np.zeros((len(rows), matrix.shape[1]), np.float32)
    for number, (columns, weights) in enumerate(rows):
        found[number] = weights @ matrix[columns]
    return found


def _transposed_times(rows: Sequence[Row], matrix: Floats) -> Floats:
    found = np.zeros((BUCKETS, matrix.shape[1]), np.float32)
    for number, (columns, weights) in enumerate(rows):
        found[columns] += weights[:, None] * matrix[number]  # no column twice in a row
    return found
