"""Nearest neighbours in a catalogue's own embeddings: recall@50, time of a query, time to build and memory.

    python benchmarks/ann_recall.py ITEMS --vectors 100000

ITEMS is a catalogue file; where it has fewer items than `--vectors`, texts are made of the words of two items. annoy is
what a worker uses; usearch and hnswlib are measured beside it when they are installed. Exact search is the baseline.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from annoy import AnnoyIndex

from reco_stream.content.build import build, search_k
from reco_stream.content.encoder import DIMENSIONS, Floats
from reco_stream.content.hashed import HashedEncoder
from reco_stream.content.vectors import TREES
from reco_stream.event_files import read_items

NEIGHBOURS = 50
QUERIES = 300

Search = Callable[[Floats], Any]


def catalogue_vectors(path: Path, count: int) -> Floats:
    texts = [item.text for item in read_items(path) if item.text]
    chance = random.Random(7)
    while len(texts) < count:
        words = f"{chance.choice(texts[:50_000])} {chance.choice(texts[:50_000])}".split()
        texts.append(" ".join(chance.sample(words, max(3, len(words) // 2)) if len(words) > 3 else words))
    encoder = HashedEncoder.fit(texts[:count])
    return np.concatenate([encoder.encode(texts[at : min(at + 1_000, count)]) for at in range(0, count, 1_000)])


def report(name: str, rows: Floats, search: Search, built_s: float, size: int) -> None:
    chance = np.random.default_rng(3)
    hits, times = 0.0, []
    for number in chance.integers(0, len(rows), QUERIES):
        query = rows[number]
        scores = rows @ query
        limit = np.partition(scores, -NEIGHBOURS)[-NEIGHBOURS] - 1e-3
        began = time.perf_counter()
        found = search(query)
        times.append((time.perf_counter() - began) * 1000)
        hits += float((scores[np.asarray(found, np.int64)] >= limit).sum()) / NEIGHBOURS
    p50, p99 = np.percentile(times, [50, 99])
    print(
        f"{name:<22} recall@{NEIGHBOURS} {hits / QUERIES:.4f}  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms  "
        f"build {built_s:7.1f} s  index {size / 1e6:8.1f} MB",
        flush=True,
    )


def annoy(rows: Floats, folder: Path) -> None:
    file, out = folder / "vectors.f16", folder / "index.ann"
    file.write_bytes(rows.astype(np.float16).tobytes())
    began = time.perf_counter()
    build(file, 0, len(rows), out, TREES)
    built_s = time.perf_counter() - began
    index = AnnoyIndex(DIMENSIONS, "angular")
    index.load(str(out))
    for factor in (0.25, 1, 4):
        inspected = int(search_k(TREES) * factor)
        report(
            f"annoy {TREES} trees, {inspected}",
            rows,
            lambda query, inspected=inspected: index.get_nns_by_vector(query, NEIGHBOURS, inspected),  # type: ignore[misc]
            built_s,
            out.stat().st_size,
        )


def usearch(rows: Floats, folder: Path) -> None:
    index_type: Any = import_module("usearch.index").Index

    index = index_type(ndim=DIMENSIONS, metric="ip", dtype="f16", connectivity=16, expansion_search=128)
    began = time.perf_counter()
    index.add(np.arange(len(rows)), rows, threads=1)
    built_s = time.perf_counter() - began
    index.save(str(folder / "index.usearch"))
    report(
        "usearch f16",
        rows,
        lambda query: index.search(query, NEIGHBOURS).keys,
        built_s,
        (folder / "index.usearch").stat().st_size,
    )


def hnswlib(rows: Floats, folder: Path) -> None:
    library: Any = import_module("hnswlib")

    index = library.Index(space="ip", dim=DIMENSIONS)
    index.init_index(max_elements=len(rows), ef_construction=200, M=16)
    index.set_ef(128)
    began = time.perf_counter()
    index.add_items(rows, np.arange(len(rows)), num_threads=1)
    built_s = time.perf_counter() - began
    index.save_index(str(folder / "index.hnsw"))
    found = (folder / "index.hnsw").stat().st_size
    report("hnswlib", rows, lambda query: index.knn_query(query, NEIGHBOURS)[0][0], built_s, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("items", type=Path)
    parser.add_argument("--vectors", type=int, default=100_000)
    chosen = parser.parse_args()
    began = time.perf_counter()
    rows = catalogue_vectors(chosen.items, chosen.vectors)
    print(f"{len(rows):,} vectors encoded in {time.perf_counter() - began:.1f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for contender in (annoy, usearch, hnswlib):
            try:
                contender(rows, Path(folder))
            except ModuleNotFoundError as missing:
                print(f"{contender.__name__} is not installed: {missing.name}", flush=True)


if __name__ == "__main__":
    main()
