"""The command that a command proposes to run next, with the options that it was given itself."""

from __future__ import annotations

import shlex
from collections.abc import Mapping


def command_line(
    *words: object, options: Mapping[str, object] | None = None, defaults: Mapping[str, object] | None = None
) -> str:
    """Return a command for a POSIX shell, quoted where needed.

    options: name and value; a value of None, False or its default is left out, True is a flag, and a list repeats the
    option.
    """
    line = [str(word) for word in words]
    for name, value in (options or {}).items():
        if value is None or value is False or value == (defaults or {}).get(name):
            continue
        values = value if isinstance(value, list) else [value]
        line += [name] if value is True else [word for each in values for word in (name, str(each))]
    return shlex.join(line)
