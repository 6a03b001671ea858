"""Fits the hashed encoder: `python -m reco_stream.content.fit TEXTS OUT`, TEXTS a JSON list, OUT the encoder's `dump`.

A process of its own with one thread: on a worker's machine, the threads of a linear algebra library that wait for each
other made the same work take 5 times as long (1,682 texts: 24 s against 5 s).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import msgspec

from reco_stream.content.hashed import HashedEncoder

ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def fit(texts: Path, out: Path) -> None:
    """Write the encoder of the texts; it appears under its name when it is complete."""
    encoder = HashedEncoder.fit(msgspec.json.decode(texts.read_bytes(), type=list[str]))
    part = out.with_suffix(".part")
    part.write_bytes(encoder.dump())
    os.replace(part, out)


if __name__ == "__main__":
    os.nice(10)  # requests come first
    fit(Path(sys.argv[1]), Path(sys.argv[2]))
