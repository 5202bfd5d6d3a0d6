"""Whether the network may be used at all. Standard library only."""

from __future__ import annotations

import os


def is_offline() -> bool:
    """Tell whether the user forbids the network: HF_HUB_OFFLINE, which `--offline` sets too."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "ON", "YES", "TRUE")
