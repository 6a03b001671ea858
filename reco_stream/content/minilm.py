"""sentence-transformers/all-MiniLM-L6-v2: better for prose, 90 MB of weights that must be on this machine already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from reco_stream.content.encoder import DIMENSIONS, Floats

MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"


class NoModel(RuntimeError):
    """The package or the weights are not here; the message says what to install."""


class MiniLm:
    """Encodes with the pretrained model; nothing is downloaded."""

    name = "minilm"
    version = "all-MiniLM-L6-v2"

    def __init__(self, model: Any = None) -> None:
        """Raises NoModel. `model` is anything with sentence-transformers' `encode`."""
        self._model = _installed() if model is None else model

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return one row a text."""
        if not texts:
            return np.zeros((0, DIMENSIONS), np.float32)
        found: Floats = np.asarray(
            self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False), np.float32
        )
        return found


def _installed() -> Any:
    try:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(MODEL, local_files_only=True)
    except (ImportError, OSError, ValueError) as error:
        raise NoModel(
            f"RECO_CONTENT=minilm needs the package (pip install 'reco-stream[minilm]') and the weights of {MODEL} in "
            f"its cache: {error}"
        ) from None
