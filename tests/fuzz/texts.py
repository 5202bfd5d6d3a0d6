"""Damage to text files: CSV tables, TOML, JSON and lists of paths."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from .damage import LARGE

NAMES = (
    *("", " ", "nan", "inf", "-inf", "1e400", "1e-400", "-0", "0x1", "1_0", "0,5", "50%", "NULL", "None", "true"),
    *(
        "\u0663",
        "\u2212 1",
        "1 2",
        "=1+1",
        "#",
        "//",
        "a" * 200,
        "é",
        "e\u0301",
        "\u202egpj",
        "\ufeff",
        "\0",
        "\x1b[31m",
    ),
    *('"', "'", '""', "\\", "\\udce9", "[red]", "{}", "[]", "..", "../../x", "/etc/passwd", "C:\\x", "~", "*", "-"),
    *("class", "path", "split", "trainval", "features", "zebra", "none of these"),
)
MARKS = (
    ",",
    ";",
    "\t",
    "\n",
    "\r",
    "\r\n",
    '"',
    "\0",
    "#",
    "=",
    "[",
    "]",
    "{",
    "}",
    ".",
    "\u2028",
    "\x1f",
    "\ufeff",
    ":",
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "x", "nan", [], {}, [[]], {"a": 1}, 0, -1, 0.5, -0.0, 1e308, 10**400, [0] * 50),
    *(["a", "a"], [None], "x" * 3000, "\ud800", "\0", float("nan"), float("inf")),
)


def edit_text(data: bytes, chance: random.Random) -> bytes:
    """Change a word, a separator, a line or the encoding."""
    text = data.decode("utf-8", "surrogateescape")
    kind = chance.randrange(6)
    if kind == 0:
        words = list(re.finditer(r"[^\s,;=\"\[\]]+", text))
        if words:
            word = chance.choice(words)
            text = text[: word.start()] + _name(chance) + text[word.end() :]
    elif kind == 1:
        start = chance.randrange(len(text) + 1)
        text = text[:start] + chance.choice((*MARKS, *NAMES)) + text[start:]
    elif kind == 2:
        lines = text.splitlines(keepends=True)
        if lines:
            number = chance.randrange(len(lines))
            lines[number : number + 1] = chance.choice(([], [lines[number]] * 2, [lines[number].strip()], ["\n"]))
            chance.shuffle(lines) if chance.random() < 0.2 else None
        text = "".join(lines)
    elif kind == 3:
        old = chance.choice(MARKS)
        text = text.replace(old, chance.choice(MARKS), chance.choice((1, -1)))
    elif kind == 4:
        text = "".join(character + chance.choice(("", "", " ")) for character in text)
    else:
        encoding = chance.choice(("utf-16", "utf-16-le", "utf-8-sig", "latin-1", "utf-32", "cp037"))
        return text.encode(encoding, "replace")
    return text.encode("utf-8", "surrogateescape")


def _name(chance: random.Random) -> str:
    return chance.choice((*NAMES, str(chance.choice(LARGE)), repr(chance.uniform(-1, 1)), str(chance.randrange(300))))


def edit_json(data: bytes, chance: random.Random) -> bytes:
    """Change one value, key or branch of a JSON document; invalid JSON is changed as text."""
    try:
        document = json.loads(data)
    except ValueError:
        return edit_text(data, chance)
    return dump(edited(document, chance))


def dump(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("utf-8", "surrogatepass")


def edited(value: Any, chance: random.Random) -> Any:
    """Return the value with a change at a random depth, or another value."""
    if isinstance(value, str) and value.startswith("{") and chance.random() < 0.9:  # a document inside
        return edit_json(value.encode(), chance).decode("utf-8", "replace")
    if isinstance(value, dict | list) and value and chance.random() < 0.9:
        entries = list(value.items()) if isinstance(value, dict) else [("", each) for each in value]
        number, kind = chance.randrange(len(entries)), chance.randrange(8)
        key, inside = entries[number]
        if kind == 0:
            del entries[number]
        elif kind == 1:
            entries.insert(number, (chance.choice((*NAMES, key)), chance.choice((*VALUES, inside))))
        elif kind == 2:
            entries[number] = (chance.choice((*NAMES, *(name for name, _ in entries))), inside)
        else:
            entries[number] = (key, edited(inside, chance))
        return dict(entries) if isinstance(value, dict) else [each for _, each in entries]
    if isinstance(value, int | float) and not isinstance(value, bool) and chance.random() < 0.7:
        return chance.choice((value + 1, value - 1, -value, 2 * value, value / 3 if abs(value) < 1e300 else 0, *LARGE))
    return chance.choice((*VALUES, *NAMES))
