"""How far long work has come: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

LINE_EVERY_S = 5.0


class Progress:
    """Shows `done` of `total` with a note while the `with` block runs; on a terminal the bar goes away at its end.

    `stream` is stderr unless given, so that the output of a command can still be piped.
    """

    def __init__(
        self, title: str, total: float, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._title = title
        self._total = max(total, 1)
        self._stream = stream or sys.stderr
        self._clock = clock
        self._bar = _Bar(title, self._total, self._stream) if self._stream.isatty() else None
        self._next_line = clock() + LINE_EVERY_S

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
        return self

    def update(self, done: float, note: str = "") -> None:
        """Shows that `done` of the total is done. Cheap enough to call a thousand times a second."""
        if self._bar is not None:
            self._bar.update(done, note)
        elif self._clock() >= self._next_line:
            self._next_line = self._clock() + LINE_EVERY_S
            share = f"{self._title}: {min(done / self._total, 1):.0%}"
            print(f"{share}, {note}" if note else share, file=self._stream, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class _Bar:
    def __init__(self, title: str, total: float, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._rich = RichProgress(
            *columns, TextColumn("{task.fields[note]}"), console=Console(file=stream), transient=True
        )
        self._task = self._rich.add_task(title, total=total, note="")

    def start(self) -> None:
        self._rich.start()

    def update(self, done: float, note: str) -> None:
        self._rich.update(self._task, completed=done, note=note)

    def stop(self) -> None:
        self._rich.stop()
