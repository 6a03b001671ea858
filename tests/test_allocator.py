"""What is freed goes back to the system, which it would not do by itself."""

import subprocess
import sys

HOLES = """
import sys
from reco_stream.allocator import return_freed_memory

def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

if sys.argv[1] == "set":
    assert return_freed_memory()
bytearray(4_000_000)  # freed at once: from now on malloc takes blocks of that size from the heap
before = resident_mb()
large, small = [], []
for _ in range(300):
    large.append(bytearray(b"x" * 400_000))
    small.append(bytearray(5_000))
large.clear()
print(resident_mb() - before)
"""


def left_mb(how: str) -> float:
    """MB still resident after 120 MB in 300 buffers were freed, with small blocks between them that live on."""
    run = subprocess.run([sys.executable, "-c", HOLES, how], capture_output=True, text=True, check=True)
    return float(run.stdout)


def test_large_buffers_leave_no_holes_in_the_heap() -> None:
    assert left_mb("set") < 20
    assert left_mb("as it is") > 60
