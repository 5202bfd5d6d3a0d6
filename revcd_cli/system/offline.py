"""Whether network access is switched off. Standard library only."""

from __future__ import annotations

import os


def is_offline() -> bool:
    """Return whether HF_HUB_OFFLINE is set; the option `--offline` sets it."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "ON", "YES", "TRUE")
