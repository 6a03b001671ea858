"""Named places where a test may kill the process, to prove that no step order loses or repeats an event."""

from __future__ import annotations

import os
import signal

# In the order of a partition's life: claim, recovery, checkpoint.
CRASH_POINTS = (
    "claim.claimed",  # the broker has handed out the epoch, nothing is fenced yet
    "claim.fenced",  # the fence is in the changelog, recovery has not begun
    "recovery.partly",  # some changelog rows are in the store, the fence is not reached
    "checkpoint.folded",  # rows exist in memory only
    "checkpoint.left",  # what leaves its row is published, the rows are still in memory only
    "checkpoint.sent",  # rows and marker are in the changelog, not in the store
    "checkpoint.written",  # rows and marker are in both, nothing is committed
    "checkpoint.published",  # values are published, the publication floor is not yet stored
)

_armed: tuple[str, int] | None = None
_seen = 0


def arm(point: str | None) -> None:
    """Kills this process with SIGKILL at `point`, or at its n-th passing with "point:n". None disarms."""
    global _armed, _seen
    _seen = 0
    if point is None:
        _armed = None
        return
    name, _, nth = point.partition(":")
    if name not in CRASH_POINTS:
        raise ValueError(f"RECO_CRASH_AT: found {point!r}, wanted one of {', '.join(CRASH_POINTS)} (or name:count)")
    _armed = (name, int(nth or 1))


def crash_point(name: str) -> None:
    """Does nothing unless armed for `name`."""
    if _armed is None or _armed[0] != name:
        return
    global _seen
    _seen += 1
    if _seen >= _armed[1]:
        os.kill(os.getpid(), signal.SIGKILL)
