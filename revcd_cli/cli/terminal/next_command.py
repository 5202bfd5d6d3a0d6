"""The command that a command proposes to run next, with the options that it was given itself."""

from __future__ import annotations

import shlex
from collections.abc import Mapping


def command_line(*words: object, options: Mapping[str, object], defaults: Mapping[str, object] | None = None) -> str:
    """Return a command for a POSIX shell, quoted where needed.

    options: name and value; a value of None, False or its default is left out, True is a flag.
    """
    line = [str(word) for word in words]
    for name, value in options.items():
        if value is None or value is False or value == (defaults or {}).get(name):
            continue
        line += [name] if value is True else [name, str(value)]
    return shlex.join(line)
