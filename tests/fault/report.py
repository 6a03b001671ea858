"""What a fault run did and saw, as rows of a table in Markdown."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reco_stream.verify.verify import Report

HEAD: Final = (
    "| fault | seed | kills | events | rows compared | duplicates in the log / refused / sent again | "
    "serving again s (p50, p95, max) | rows restored (max) | lag curve, each second | notes |\n"
    "|---|---|---|---|---|---|---|---|---|---|\n"
)
_LAG_EVERY_S: Final = 1.0
_LAG_SHOWN: Final = 40


@dataclass
class Run:
    """One run of one fault."""

    fault: str
    seed: int
    kills: int = 0
    events: int = 0
    rows: int = 0
    duplicate_events: int = 0
    refused: int = 0
    sent_again: int = 0
    serving_s: list[float] = field(default_factory=list)
    restored_rows: list[int] = field(default_factory=list)
    lags: list[tuple[float, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def killed(self, count: int = 1) -> None:
        self.kills += count

    def served_after(self, seconds: float) -> None:
        """Notes how long it took from a fault until the partition was served again."""
        self.serving_s.append(seconds)

    def lag(self, behind: int) -> None:
        """Notes how many records are not applied now, at most once a second."""
        now = time.monotonic()
        if not self.lags or now - self.lags[-1][0] >= _LAG_EVERY_S or behind == 0:
            self.lags.append((now, behind))

    def verified(self, report: Report) -> None:
        """Notes a verification; each counts the whole log again, so the last one stands."""
        self.events, self.duplicate_events, self.refused = report.events, report.duplicates, report.refused
        self.rows += report.rows + report.published

    def restored(self, rows: Iterable[int]) -> None:
        self.restored_rows.extend(rows)

    def duplicates(self, published: int) -> None:
        self.sent_again += published

    def note(self, text: str) -> None:
        self.notes.append(text)

    def line(self) -> str:
        """Returns the run as one row of the table."""
        serving = sorted(self.serving_s)
        times = f"{_at(serving, 0.5):.1f}, {_at(serving, 0.95):.1f}, {serving[-1]:.1f}" if serving else "-"
        curve = [behind for _, behind in self.lags]
        if len(curve) > _LAG_SHOWN:
            curve = [curve[index * len(curve) // _LAG_SHOWN] for index in range(_LAG_SHOWN)] + curve[-1:]
        cells = (
            self.fault,
            self.seed,
            self.kills,
            f"{self.events:,}",
            f"{self.rows:,}",
            f"{self.duplicate_events:,} / {self.refused:,} / {self.sent_again:,}",
            times,
            f"{max(self.restored_rows, default=0):,}",
            " ".join(map(str, curve)) or "-",
            "; ".join(self.notes) or "-",
        )
        return "| " + " | ".join(map(str, cells)) + " |\n"


def _at(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def write(runs: Sequence[Run], path: Path) -> None:
    """Appends the runs to the table at `path`, which is made when missing."""
    if not runs:
        return
    head = "" if path.exists() else HEAD
    with path.open("a") as file:
        file.write(head + "".join(run.line() for run in runs))
