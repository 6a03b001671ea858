"""Nearest neighbours in a catalogue's own embeddings: recall@50, time of a query, time to build and memory.

    python -m benchmarks.ann_recall --vectors 1000000 [--items FILE] [--keep FOLDER] [--only annoy]

Vectors are those of a made-up shop (`benchmarks/shop.py`), or of the texts of FILE. annoy is what a worker uses;
usearch and hnswlib are measured beside it when they are installed, all with one thread. Exact search is the baseline.
With `--keep`, vectors and indexes are left in the folder and taken from there, to time queries on a quiet machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from annoy import AnnoyIndex

from benchmarks.shop import shop_item, shop_items
from reco_stream.content.build import build, search_k
from reco_stream.content.encoder import DIMENSIONS, Floats
from reco_stream.content.hashed import SAMPLE, HashedEncoder
from reco_stream.content.vectors import TREES
from reco_stream.event_files import read_items

NEIGHBOURS = 50
QUERIES = 300
_CHUNK = 20_000

Halves = Any  # memory-mapped rows of 384 halves
Search = Callable[[Floats], Any]


def texts_of(path: Path | None, count: int) -> tuple[list[str], Iterator[str]]:
    """Return a sample to fit on, and all texts."""
    if path is not None:
        texts = [item.text for item in read_items(path) if item.text][:count]
        return texts[:: -(-len(texts) // SAMPLE)], iter(texts)
    return [shop_item(number).text for number in range(0, count, -(-count // SAMPLE))], (
        item.text for item in shop_items(count)
    )


def write_vectors(out: Path, path: Path | None, count: int) -> None:
    sample, texts = texts_of(path, count)
    encoder = HashedEncoder.fit(sample)
    began = time.process_time()
    with out.open("wb") as file:
        while batch := list(islice(texts, 1_000)):
            file.write(encoder.encode(batch).astype(np.float16).tobytes())
    print(f"encoded in {time.process_time() - began:.0f} s of CPU", flush=True)


class Exact:
    """The queries, every 50th nearest score by exact search, and what a contender finds of it."""

    def __init__(self, rows: Halves) -> None:
        numbers = np.random.default_rng(3).integers(0, len(rows), QUERIES)
        self.queries = np.asarray(rows[numbers], np.float32)
        began = time.process_time()
        chunks = [self.queries @ np.asarray(rows[at : at + _CHUNK], np.float32).T for at in range(0, len(rows), _CHUNK)]
        self._scores = np.concatenate(chunks, axis=1)
        cost_ms = (time.process_time() - began) / QUERIES * 1_000
        self._limits = np.partition(self._scores, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS] - 1e-3
        print(f"exact search: {cost_ms:.0f} ms of CPU a query, {QUERIES} at once", flush=True)

    def report(self, name: str, search: Search, built_s: float, size: int) -> None:
        """Print recall and times; what scores like the 50th nearest is right, as equal texts have equal vectors."""
        hits, times, cpu = 0.0, [], []
        for query, scores, limit in zip(self.queries, self._scores, self._limits, strict=True):
            began, cpu_began = time.perf_counter(), time.thread_time()
            found = search(query)
            times.append((time.perf_counter() - began) * 1000)
            cpu.append((time.thread_time() - cpu_began) * 1000)
            hits += float((scores[np.asarray(found, np.int64)] >= limit).sum()) / NEIGHBOURS
        (p50, p99), (cpu_p50, cpu_p99) = np.percentile(times, [50, 99]), np.percentile(cpu, [50, 99])
        print(
            f"{name:<24} recall@{NEIGHBOURS} {hits / QUERIES:.4f}  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms  "
            f"CPU p50 {cpu_p50:6.2f} ms  p99 {cpu_p99:6.2f} ms  "
            f"build {built_s:6.0f} s of CPU  index {size / 1e6:8.0f} MB",
            flush=True,
        )


def built(out: Path, work: Callable[[], object]) -> float:
    """Return the seconds of CPU that the work took, 0 when its file was there."""
    if out.exists():
        return 0.0
    began = time.process_time()
    work()
    return time.process_time() - began


def annoy(exact: Exact, file: Path, count: int) -> None:
    out = file.with_suffix(".ann")
    built_s = built(out, lambda: build(file, 0, count, out, TREES))
    index = AnnoyIndex(DIMENSIONS, "angular")
    index.load(str(out))
    for factor in (0.5, 1, 1.5):
        inspected = int(search_k(count) * factor)
        exact.report(
            f"annoy, {inspected} inspected",
            lambda query, inspected=inspected: index.get_nns_by_vector(query, NEIGHBOURS, inspected),  # type: ignore[misc]
            built_s,
            out.stat().st_size,
        )


def usearch(exact: Exact, file: Path, count: int) -> None:
    index_type: Any = import_module("usearch.index").Index
    out = file.with_suffix(".usearch")
    rows = np.memmap(file, np.float16, "r").reshape(-1, DIMENSIONS)

    def work() -> None:
        index = index_type(ndim=DIMENSIONS, metric="ip", dtype="f16", connectivity=16, expansion_add=128)
        for at in range(0, count, _CHUNK):
            chunk = np.asarray(rows[at : at + _CHUNK], np.float32)
            index.add(np.arange(at, at + len(chunk)), chunk, threads=1)
        index.save(str(out))

    built_s = built(out, work)
    index = index_type.restore(str(out), view=True)
    for expansion in (128, 256):
        index.expansion_search = expansion
        exact.report(
            f"usearch f16, {expansion}",
            lambda query: index.search(query, NEIGHBOURS).keys,
            built_s,
            out.stat().st_size,
        )


def hnswlib(exact: Exact, file: Path, count: int) -> None:
    library: Any = import_module("hnswlib")
    out = file.with_suffix(".hnsw")
    rows = np.memmap(file, np.float16, "r").reshape(-1, DIMENSIONS)
    index = library.Index(space="ip", dim=DIMENSIONS)

    def work() -> None:
        index.init_index(max_elements=count, ef_construction=128, M=16)
        for at in range(0, count, _CHUNK):
            chunk = np.asarray(rows[at : at + _CHUNK], np.float32)
            index.add_items(chunk, np.arange(at, at + len(chunk)), num_threads=1)
        index.save_index(str(out))

    built_s = built(out, work)
    if not built_s:
        index.load_index(str(out), max_elements=count)
    for expansion in (128, 256):
        index.set_ef(expansion)
        exact.report(
            f"hnswlib f32, {expansion}",
            lambda query: index.knn_query(query, NEIGHBOURS, num_threads=1)[0][0],
            built_s,
            out.stat().st_size,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--items", type=Path, default=None)
    parser.add_argument("--keep", type=Path, default=None)
    parser.add_argument("--only", choices=("annoy", "usearch", "hnswlib"), default=None)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        file = (chosen.keep or Path(temporary)) / f"{chosen.vectors}.f16"
        if not file.exists():
            write_vectors(file, chosen.items, chosen.vectors)
        rows = np.memmap(file, np.float16, "r").reshape(-1, DIMENSIONS)
        exact = Exact(rows)
        for contender in (annoy, usearch, hnswlib):
            if chosen.only in (None, contender.__name__):
                try:
                    contender(exact, file, len(rows))
                except ModuleNotFoundError as missing:
                    print(f"{contender.__name__} is not installed: {missing.name}", flush=True)


if __name__ == "__main__":
    main()
