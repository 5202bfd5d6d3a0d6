"""Whether network access is switched off. Standard library only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


def is_offline() -> bool:
    """Return whether HF_HUB_OFFLINE is set; the option `--offline` sets it."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "ON", "YES", "TRUE")


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Switch network access off for a while."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before
