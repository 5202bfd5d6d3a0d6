r"""Paths of photos as text that any tool can store.

A file name need not be valid UTF-8; Python then carries the odd bytes as lone surrogates, which UTF-8 files (Parquet,
JSON, CSV) cannot hold. In feature files each lone surrogate is written as its six-character escape, so the byte E9
reads `\udce9`. A backslash that happens to stand before such a text is written as `\udc5c`, which makes the escape
reversible. Every other path is written as it is.
"""

from __future__ import annotations

import re

_SURROGATE = re.compile(r"[\ud800-\udfff]|\\(?=ud[89a-f][0-9a-f]{2})")
_ESCAPE = re.compile(r"\\u(d[89a-f][0-9a-f]{2})")
_BACKSLASH = "dc5c"


def encode_path(path: str) -> str:
    """Return the path as valid Unicode; `decode_path` gives it back exactly."""
    return _SURROGATE.sub(lambda match: "\\u" + (_BACKSLASH if match[0] == "\\" else f"{ord(match[0]):04x}"), path)


def decode_path(text: str) -> str:
    """Return the path that `encode_path` was given."""
    return _ESCAPE.sub(lambda match: "\\" if match[1] == _BACKSLASH else chr(int(match[1], 16)), text)
