"""Results: a table for people, JSON for the record, and the machine that they were measured on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any


def machine() -> dict[str, str]:
    """Processor, cores, memory, kernel and Python: what a figure depends on besides the code."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": str(os.cpu_count()),
        "memory_gb": f"{pages / 2**30:.0f}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure over the rounds.

    >>> medians([{"x": 1.0}, {"x": 5.0}, {"x": 2.0}])
    {'x': 2.0}
    """
    return {name: median(figures[name] for figures in rounds) for name in rounds[0]}


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; numbers are shown with three or more digits.

    >>> print(table(["what", "us"], [["fold", 12.345], ["rows", 1234567]]))
    | what | us |
    |---|---|
    | fold | 12.3 |
    | rows | 1,234,567 |
    """
    lines = [header, ["---"] * len(header), *[[_cell(value) for value in row] for row in rows]]
    return "\n".join(
        "|" + "|".join(line) + "|" if line[0] == "---" else "| " + " | ".join(line) + " |" for line in lines
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def emit(name: str, text: str, figures: Mapping[str, Any], folder: Path | None) -> None:
    """Prints the table; writes `{name}.json` with all figures and the machine when a folder is given."""
    print(text, flush=True)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        body = {"benchmark": name, "machine": machine(), **figures}
        (folder / f"{name}.json").write_text(json.dumps(body, indent=1) + "\n")
