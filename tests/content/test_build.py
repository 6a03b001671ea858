from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from reco_stream.content.build import main
from reco_stream.content.encoder import DIMENSIONS, normalised


def test_the_index_appears_whole_and_its_recall_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = normalised(np.random.default_rng(1).standard_normal((200, DIMENSIONS)).astype(np.float32))
    file = tmp_path / "v.f16"
    file.write_bytes(rows.astype(np.float16).tobytes())
    main([str(file), "50", "150", str(tmp_path / "out.ann"), "5"])
    assert json.loads(capsys.readouterr().out)["recall"] >= 0.95
    assert sorted(os.listdir(tmp_path)) == ["out.ann", "v.f16"]
