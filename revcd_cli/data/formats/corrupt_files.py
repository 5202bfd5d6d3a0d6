"""Convert the exceptions that libraries raise for a corrupt file to `InputFileError`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputFileError, RevcdError, brief


@contextlib.contextmanager
def reading(path: Path | str, what: str, *, hint: str | None = None) -> Iterator[None]:
    """Raise `InputFileError` with the message `what` for exceptions in this block.

    Libraries raise many types for corrupt bytes (TokenError, UnicodeDecodeError, UnboundLocalError and OverflowError
    occurred), so the block should contain only their calls. `RevcdError` and MemoryError are not converted.
    """
    try:
        yield
    except (RevcdError, MemoryError):
        raise
    except Exception as error:
        raise InputFileError(path, f"{what} ({brief(error)}).", hint=hint) from error
