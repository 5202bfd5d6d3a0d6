"""The one way in which a damaged file, whatever a library makes of it, becomes an error with the file's name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputFileError, RevcdError, brief


@contextlib.contextmanager
def refused(path: Path, what: str, *, hint: str | None = None) -> Iterator[None]:
    """Turn what libraries raise about the bytes of a file in this block into `InputFileError`.

    Readers raise nearly anything on damaged bytes (TokenError, UnicodeDecodeError, UnboundLocalError, OverflowError
    were seen), so the block should hold little but their calls. Errors of revcd, and of memory, pass.
    """
    try:
        yield
    except (RevcdError, MemoryError):
        raise
    except Exception as error:
        raise InputFileError(path, f"{what} ({brief(error)}).", hint=hint) from error
