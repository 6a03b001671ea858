"""How malloc treats what was freed: it goes back to the system instead of waiting for buffers of the same size."""

from __future__ import annotations

import ctypes

# Numbers of malloc.h, and what a worker sets them to.
_TRIM_THRESHOLD = (-1, 16 << 20)  # free bytes at the end of the heap that are kept
_MMAP_THRESHOLD = (-3, 256 << 10)  # a block from so many bytes on has its own pages, which go when it is freed
_ARENA_MAX = (-8, 1)  # heaps; by default each thread of RocksDB and of Kafka's clients may have its own


def return_freed_memory() -> bool:
    """Lets this process give freed memory back; False where malloc is not glibc's, which then stays as it is.

    Once a large buffer was freed, glibc takes later ones of up to that size from the heap, where small blocks that live
    on keep the gaps from being given back: 56 of 157 MB after 170,000 events. A worker had 411 MB then instead of 471.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all(mallopt(name, value) for name, value in (_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX))
