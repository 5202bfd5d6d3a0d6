"""Run a command in this process with a pseudo-terminal of a given width as stdout."""

from __future__ import annotations

import os
import re
import threading

import pytest

from revcd_cli.__main__ import main

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(*arguments: object, columns: int = 80, encoding: str = "utf-8", **environment: str) -> tuple[int, str]:
    """Run `revcd` with a terminal as stdout. Returns the exit code and the output, escape sequences included."""
    drawn: list[bytes] = []
    terminal, end = os.openpty()

    def read() -> None:
        while True:
            try:
                piece = os.read(terminal, 1 << 16)
            except OSError:  # Linux: the other end was closed
                return
            if not piece:
                return
            drawn.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            os.fdopen(end, "w", encoding=encoding, errors="backslashreplace") as screen,
        ):
            for name in ("NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS"):
                patch.delenv(name, raising=False)
            for name, value in {"COLUMNS": str(columns), "TERM": "xterm-256color", **environment}.items():
                patch.setenv(name, value)
            patch.setattr("sys.stdout", screen)
            code = main([*map(str, arguments), "-q"])
    finally:
        reader.join(timeout=30)
        os.close(terminal)
    return code, b"".join(drawn).decode().replace("\r\n", "\n")


def plain(drawn: str) -> str:
    """Return the output without escape sequences."""
    return _ESCAPES.sub("", drawn)
