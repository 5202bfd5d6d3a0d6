"""The memory that this process may use, and glibc settings that keep freed memory for the next batch."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")  # a container's limit
_DEFAULT_MEMORY = 8 * 2**30  # bytes, on systems that do not report it

# Options of glibc's mallopt.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_TRIM_THRESHOLD = 2**30  # bytes of free memory that the process keeps
_MALLOC_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Make glibc keep the memory of one batch for the next. Return whether it does (False without glibc).

    By default glibc returns every large block to the system, which then zeroes and maps its pages again for each
    layer of a network; this took longer than the layers. Settings in the user's environment are not changed. The
    number of arenas stays at its default: with a single one, fragmentation grew over thousands of photos.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _MALLOC_VARIABLES):
        return False
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (raises AttributeError for another C library)
        options = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _TRIM_THRESHOLD}
        done = [library.mallopt(option, value) for option, value in options.items()]
        return all(done)
    return False


def memory_size() -> int:
    """Return the bytes of memory that this process may use: those of the machine, or the container's limit."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        total = _DEFAULT_MEMORY
    limit = _MEMORY_LIMIT.read_text().strip() if _MEMORY_LIMIT.is_file() else ""
    return min(total, int(limit)) if limit.isdecimal() else total
