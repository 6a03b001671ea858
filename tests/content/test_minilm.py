from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reco_stream.content.minilm import MiniLm, NoModel


class Model:
    def encode(self, texts: list[str], normalize_embeddings: bool, show_progress_bar: bool) -> Any:
        assert normalize_embeddings
        return np.ones((len(texts), 384)) / 384**0.5


def test_it_passes_texts_on() -> None:
    encoder = MiniLm(Model())
    assert encoder.encode(["a", "b"]).shape == (2, 384)
    assert encoder.encode([]).shape == (0, 384)
    assert encoder.encode(["a"]).dtype == np.float32


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(NoModel, match=r"pip install 'reco-stream\[minilm\]'"):
        MiniLm()
