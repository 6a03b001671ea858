"""What makes vectors of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
DIMENSIONS: Final = 384


class Encoder(Protocol):
    """Vectors of one name and version compare with each other, and with no others."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return one row of 384 numbers a text, of length 1; all zeros for a text that says nothing."""
        ...


def normalised(rows: Floats) -> Floats:
    """Return the rows with length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found: Floats = (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return found
