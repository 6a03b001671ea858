"""Child processes that never outlive what started them."""

import contextlib
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

POLL_S = 0.05


def allow_open_files() -> None:
    """Raises the soft limit of open files to the hard one: each connection is one, and 1,024 are soon used up."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems refuse what they call the hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def kill_with_me(pid: int) -> subprocess.Popen[bytes]:
    """Kills process `pid` when this process ends in whatever way, SIGKILL included; `release` calls it off.

    A shell waits for a line on its input. The input closes without one only when this process is gone.
    """
    command = ["sh", "-c", 'read -r line || kill -9 "$1"', "sh", str(pid)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def release(guard: subprocess.Popen[bytes]) -> None:
    """Ends a guard of `kill_with_me` without killing anything; a second time does nothing."""
    if guard.poll() is None:
        guard.communicate(b"\n")


def send(pid: int, number: signal.Signals) -> None:
    """Sends a signal to a process that may have ended by itself a moment ago."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def exists(pid: int) -> bool:
    """False once the process has let go of its files and ports, though nobody may have asked for its exit code yet."""
    try:
        os.kill(pid, 0)
        proc = Path(f"/proc/{pid}")
        if not proc.exists():
            return True  # a system without /proc
        zombie = (proc / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        return not zombie or len(list((proc / "task").iterdir())) > 1  # its other threads may live on for a moment
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_until_ended(pid: int, timeout_s: float) -> bool:
    """True when the process has ended within `timeout_s`. For a process that may be no child of this one."""
    deadline = time.monotonic() + timeout_s
    while exists(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def end(pid: int, how: signal.Signals, timeout_s: float) -> None:
    """Returns when the process has ended: by `how`, or by SIGKILL when it takes longer than `timeout_s`."""
    send(pid, how)
    send(pid, signal.SIGCONT)  # a frozen process would never see a SIGTERM
    if not wait_until_ended(pid, timeout_s):
        send(pid, signal.SIGKILL)
        wait_until_ended(pid, 10)


def command_line(pid: int) -> str:
    """The command line of a process, empty when there is no such process (or only its remains)."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    shown = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout


def tail(file: Path, lines: int = 15) -> str:
    """The last lines of a log, or a note that there is none."""
    if not file.exists():
        return f"(no {file})"
    return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
