"""What an interrupted piece of work depends on, compared with what it is asked to go on with."""

from __future__ import annotations

from typing import Any


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Return one sentence for each leaf in which two nested dictionaries differ."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, now = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            found += differences(before, now, f"{prefix}{key}.")
        elif before != now:
            found.append(f"{prefix}{key} was {before!r} and is {now!r}")
    return found
