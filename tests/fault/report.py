"""What a fault run did and saw, as a row of the table in docs/faults.md."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from reco_stream.verify.verify import Report

# Test -> number of the fault in the plan (docs/faults.md).
FAULTS: Final = {
    "killed_at": 1,
    "serving_again_after_a_kill": 1,
    "random_kills": 2,
    "burst_of_kills": 3,
    "killed_in_the_middle_of_a_restore": 4,
    "killed_in_the_middle_of_a_rebalance": 4,
    "rolling_restart": 5,
    "zombie": 6,
    "zombie_that_nobody_fences_is_found": 6,
    "broker_away": 7,
    "leaders_are_killed": 7,
    "cut_off": 8,
    "slow_network": 8,
    "disk_full": 9,
    "file_limit": 9,
    "damaged_file": 10,
    "store_held_by_another_process": 10,
    "read_only_disk": 10,
    "partition_folder_deleted": 11,
    "changelog_made_anew": 11,
    "store_of_an_older_changelog_that_has_grown_past_it": 11,
    "changelog_compacted_between_crash_and_restart": 12,
    "clock_is_wrong": 13,
    "poison_pills": 14,
    "rule_that_raises_on_one_item": 15,
    "slow_rule": 16,
    "rule_slower_than_the_session": 16,
    "rebalance_storm": 17,
    "one_three_two": 18,
    "appends_lost_refused_and_late": 19,
    "no_append_succeeds": 19,
    "service_of_faust_dies": 19,
    "retention_overtakes_the_group": 20,
    "retention_overtakes_a_worker_that_may_skip": 20,
    "killed_owner": 21,
    "frozen_owner": 21,
    "database_is_killed_and_comes_back": 24,
    "vectors_are_shared_and_the_share_of_a_killed_worker_moves": 25,
}
HEAD: Final = (
    "| fault | test | date | seed | kills | events | rows compared | differences | twice in the log / refused / "
    "published again | serving again s (p50, p95, max) | rows restored at most | lag on the way | notes |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
)
_LAG_EVERY_S: Final = 1.0
_LAG_SHOWN: Final = 12


@dataclass
class Run:
    """One run of one fault; `passed` once its test has ended well, which it does not with a single difference."""

    test: str
    seed: int
    passed: bool = False
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
            FAULTS[self.test.partition("[")[0]],
            self.test,
            f"{datetime.now(UTC):%Y-%m-%d}",
            self.seed,
            self.kills,
            f"{self.events:,}",
            f"{self.rows:,}",
            "0" if self.passed else "**failed**",
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
    """Puts the runs into the table at the end of the page at `path`, each in place of an earlier run of its test."""
    page, head, table = path.read_text().partition(HEAD) if path.exists() else ("", HEAD, "")
    rows = {_test(line): line for line in [*table.splitlines(keepends=True), *(run.line() for run in runs)]}
    lines = sorted(rows.values(), key=lambda line: (int(line.split("|")[1]), _test(line)))
    path.write_text(page + (head or HEAD) + "".join(lines))


def _test(line: str) -> str:
    return line.split("|")[2].strip()
