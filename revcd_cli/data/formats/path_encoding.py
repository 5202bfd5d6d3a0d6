r"""Encode paths of photos as valid Unicode for text formats, and decode them.

A file name need not be valid UTF-8. Python represents its other bytes as lone surrogates, which UTF-8 files (Parquet,
JSON, CSV) cannot hold. Each lone surrogate is written as a six-character escape: the byte E9 as `\udce9`. A backslash
before such a text is written as `\udc5c`, so that the encoding is reversible. Other paths are not changed.
"""

from __future__ import annotations

import re

_SURROGATE = re.compile(r"[\ud800-\udfff]|\\(?=ud[89a-f][0-9a-f]{2})")
_ESCAPE = re.compile(r"\\u(d[89a-f][0-9a-f]{2})")
_BACKSLASH = "dc5c"


def encode_path(path: str) -> str:
    """Return the path as valid Unicode; `decode_path` is the inverse."""
    if path.isascii() and "\\" not in path:
        return path
    return _SURROGATE.sub(lambda match: "\\u" + (_BACKSLASH if match[0] == "\\" else f"{ord(match[0]):04x}"), path)


def decode_path(text: str) -> str:
    """Return the path that `encode_path` encoded."""
    return _ESCAPE.sub(lambda match: "\\" if match[1] == _BACKSLASH else chr(int(match[1], 16)), text)
