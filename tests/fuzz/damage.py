"""Damage without knowledge of the file format: bits, truncation, blocks, numbers, and pieces of other files."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

Damage = Callable[[bytes, random.Random], bytes]

# Boundary values for counts and lengths: 0, 1, and the limits of 8, 16, 32 and 64 bits.
NUMBERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 32_767, 32_768, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)
LARGE = (*NUMBERS, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
MOST = 1 << 20  # bytes of an input


def flip(data: bytes, chance: random.Random) -> bytes:
    """Flip one to eight bits."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 8)) if data else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def overwrite(data: bytes, chance: random.Random) -> bytes:
    """Overwrite a short piece with random or extreme bytes."""
    start, size = place(data, chance, 16)
    new = chance.choice((b"\0", b"\xff", b"\x80", None))
    return data[:start] + (chance.randbytes(size) if new is None else new * size) + data[start + size :]


def cut(data: bytes, chance: random.Random) -> bytes:
    """Remove bytes at the end."""
    return data[: chance.randrange(len(data) + 1)]


def behead(data: bytes, chance: random.Random) -> bytes:
    """Remove bytes at the start."""
    return data[chance.randrange(min(len(data), 64) + 1) :]


def repeat(data: bytes, chance: random.Random) -> bytes:
    """Repeat a block 2, 3 or 50 times."""
    start, size = place(data, chance, 512)
    return (data[:start] + data[start : start + size] * chance.choice((2, 3, 50)) + data[start + size :])[:MOST]


def remove(data: bytes, chance: random.Random) -> bytes:
    """Remove a block."""
    start, size = place(data, chance, 512)
    return data[:start] + data[start + size :]


def exchange(data: bytes, chance: random.Random) -> bytes:
    """Swap two blocks."""
    (a, size), (b, _) = place(data, chance, 64), place(data, chance, 64)
    a, b = sorted((a, b))
    size = min(size, b - a, len(data) - b)
    return data[:a] + data[b : b + size] + data[a + size : b] + data[a : a + size] + data[b + size :]


def insert(data: bytes, chance: random.Random) -> bytes:
    """Insert bytes at a random position or at the end."""
    start = chance.choice((chance.randrange(len(data) + 1), len(data)))
    junk = chance.choice((bytes, chance.randbytes, lambda n: b"\xff" * n, lambda n: b"A" * n))
    return data[:start] + junk(chance.choice((1, 2, 4, 100, 5000))) + data[start:]


def renumber(data: bytes, chance: random.Random) -> bytes:
    """Replace 1, 2, 4 or 8 bytes, which may be a length, by a boundary value in either byte order."""
    size = chance.choice((1, 2, 4, 8))
    if len(data) < size:
        return data
    start = chance.randrange(chance.choice((min(len(data), 256), len(data))) - size + 1)
    return put_number(data, start, size, chance.choice(("little", "big")), chance)


def put_number(data: bytes, start: int, size: int, order: str, chance: random.Random) -> bytes:
    """Replace a number by a boundary value, a neighbour or a multiple."""
    old = int.from_bytes(data[start : start + size], order)
    near = (old + 1, old - 1, 2 * old, old // 2, -old, old ^ (1 << chance.randrange(8 * size)))
    new = chance.choice((*near, *LARGE, chance.randrange(256**size)))
    return data[:start] + (new % 256**size).to_bytes(size, order) + data[start + size :]


def place(data: bytes, chance: random.Random, most: int) -> tuple[int, int]:
    """Return the start and the size of a random piece of at most `most` bytes."""
    start = chance.randrange(len(data) + 1)
    return start, min(chance.randrange(1, most + 1), len(data) - start)


def splice(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Join the start of one file and the end of another."""
    return (data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :])[:MOST]


PLAIN: Sequence[Damage] = (flip, flip, overwrite, cut, behead, repeat, remove, exchange, insert, renumber, renumber)


def damaged(samples: Sequence[bytes], edits: Sequence[Damage], chance: random.Random) -> bytes:
    """Choose one of the files and damage it one to three times, about half of them with knowledge of the format."""
    data = chance.choice(samples)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        kind = chance.random()
        if kind < 0.1:
            data = splice(data, chance.choice(samples), chance)
        elif kind < 0.5 or not edits:
            data = chance.choice(PLAIN)(data, chance)
        else:
            data = chance.choice(edits)(data, chance)
    return data[:MOST]
