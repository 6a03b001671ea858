from __future__ import annotations

import json
from pathlib import Path

from reco_stream.content.fit import fit
from reco_stream.content.hashed import HashedEncoder


def test_the_encoder_is_the_one_that_is_fitted_here(tmp_path: Path) -> None:
    texts = ["red lamp", "oak table", "garden chair"]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    fit(tmp_path / "texts.json", tmp_path / "out.npz")
    assert HashedEncoder.load((tmp_path / "out.npz").read_bytes()).version == HashedEncoder.fit(texts).version
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.npz", "texts.json"]
