"""Damage to images with knowledge of the format: PNG chunks, JPEG segments, TIFF entries, WebP and AVIF boxes."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

from .damage import PLAIN, put_number

PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_NAMES = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL")
PNG_NAMES += (b"fdAT", b"sRGB", b"cHRM", b"pHYs", b"bKGD", b"sBIT", b"CgBI", b"abcd")
TIFF_TAGS = (254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 285, 301, 317, 320, 322, 323, 324, 325)
TIFF_TAGS += (330, 338, 339, 347, 512, 529, 530, 531, 532, 700, 34665, 34675, 34853)
BOXES = (b"ftyp", b"meta", b"hdlr", b"pitm", b"iloc", b"iinf", b"infe", b"iprp", b"ipco", b"ispe", b"av1C", b"mdat")


def edit_png(data: bytes, chance: random.Random) -> bytes:
    """Change, drop, repeat, move or add a chunk, or change its length; checksums are corrected."""
    chunks, start = [], len(PNG_START)
    while start + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, start)
        chunks.append((data[start + 4 : start + 8], data[start + 8 : start + 8 + size]))
        start += 12 + size
    if not chunks:
        return data
    number = chance.randrange(len(chunks))
    name, body = chunks[number]
    chunks[number : number + 1] = _changed(name, body, PNG_NAMES, chance)
    if chance.random() < 0.1:
        chance.shuffle(chunks)
    liar = chance.randrange(len(chunks)) if chunks and chance.random() < 0.15 else None
    return PNG_START + b"".join(_png_chunk(*chunk, chance if k == liar else None) for k, chunk in enumerate(chunks))


def _png_chunk(name: bytes, body: bytes, lies: random.Random | None) -> bytes:
    size = struct.pack(">I", len(body))
    if lies:
        size = put_number(size, 0, 4, "big", lies)
    return size + name + body + struct.pack(">I", zlib.crc32(name + body))


def _changed(name: bytes, body: bytes, names: tuple[bytes, ...], chance: random.Random) -> list[tuple[bytes, bytes]]:
    kind = chance.randrange(8)
    if kind == 0:
        return []
    if kind == 1:
        return [(name, body)] * 2
    if kind == 2:
        return [(chance.choice(names), body)]
    if kind == 3:
        return [(name, body), (chance.choice(names), chance.randbytes(chance.randrange(40)))]
    if name == b"IDAT" and chance.random() < 0.5:  # rows that decompress, but are damaged
        try:
            return [(name, zlib.compress(chance.choice(PLAIN)(zlib.decompress(body), chance)))]
        except zlib.error:
            pass
    return [(name, chance.choice(PLAIN)(body, chance))]


def edit_jpeg(data: bytes, chance: random.Random) -> bytes:
    """Change a segment before the scan: its body, its length, or all of it."""
    segments, start = [], 2
    while start + 4 <= len(data) and data[start] == 0xFF and data[start + 1] != 0xDA:
        (size,) = struct.unpack_from(">H", data, start + 2)
        segments.append((start, start + 2 + max(size, 2)))
        start += 2 + max(size, 2)
    if not segments:
        return data
    begin, end = chance.choice(segments)
    marker, body = data[begin : begin + 2], data[begin + 4 : end]
    kind = chance.randrange(6)
    if kind == 0:
        new = b""
    elif kind == 1:
        new = data[begin:end] * chance.choice((2, 30))
    elif kind == 2:
        new = put_number(data[begin:end], 2, 2, "big", chance)
    else:
        if kind == 3:
            marker = bytes((0xFF, chance.choice((0xC0, 0xC2, 0xC4, 0xC9, 0xDB, 0xDD, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE))))
        body = chance.choice(PLAIN)(body, chance)[:65_533]
        new = marker + struct.pack(">H", len(body) + 2) + body
    return data[:begin] + new + data[end:]


def edit_tiff(data: bytes, chance: random.Random) -> bytes:
    """Change the tag, type, count or value of an entry of the first directory."""
    order = {b"II": "little", b"MM": "big"}.get(data[:2])
    if order is None or len(data) < 8:
        return data
    big = data[2:4] in (b"+\0", b"\0+")
    word, width, entry = (8, 8, 20) if big else (4, 2, 12)
    first = int.from_bytes(data[8:16] if big else data[4:8], order)
    count = int.from_bytes(data[first : first + width], order)
    if not 0 < count < 1000 or first + width + count * entry > len(data):
        return put_number(data, 4, 4, order, chance)
    start = first + width + chance.randrange(count) * entry
    kind = chance.randrange(5)
    if kind == 0:
        tag = chance.choice(TIFF_TAGS).to_bytes(2, order)
        return data[:start] + tag + data[start + 2 :]
    if kind == 1:
        return data[: start + 2] + chance.randrange(20).to_bytes(2, order) + data[start + 4 :]
    if kind == 2:
        return put_number(data, start + 4, word, order, chance)
    if kind == 3:
        return put_number(data, first, width, order, chance)
    return put_number(data, start + 4 + word, chance.choice((2, word)), order, chance)


def edit_riff(data: bytes, chance: random.Random) -> bytes:
    """Change a chunk of a WebP; the total length is corrected in 9 of 10 cases."""
    chunks, start = [], 12
    while start + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, start + 4)
        chunks.append((data[start : start + 4], data[start + 8 : start + 8 + size]))
        start += 8 + size + size % 2
    if not chunks:
        return data
    number = chance.randrange(len(chunks))
    names = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"ICCP", b"XMP ")
    chunks[number : number + 1] = _changed(*chunks[number], names, chance)
    body = b"".join(name + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2) for name, part in chunks)
    size = struct.pack("<I", len(body) + 4)
    return b"RIFF" + (put_number(size, 0, 4, "little", chance) if chance.random() < 0.1 else size) + b"WEBP" + body


def edit_boxes(data: bytes, chance: random.Random) -> bytes:
    """Change the name, the length or the first numbers of a box of an AVIF."""
    found = [at for name in BOXES for at in _all(data, name)]
    if not found:
        return data
    at = chance.choice(found)
    kind = chance.randrange(4)
    if kind == 0:
        return data[:at] + chance.choice(BOXES) + data[at + 4 :]
    if kind == 1:
        return put_number(data, at - 4, 4, "big", chance) if at >= 4 else data
    return put_number(data, min(at + 4 + chance.randrange(16), len(data) - 1), chance.choice((1, 2, 4)), "big", chance)


def _all(data: bytes, name: bytes) -> list[int]:
    found, at = [], data.find(name)
    while at >= 0:
        found.append(at)
        at = data.find(name, at + 1)
    return found


def header_of(size: int, order: str = "little") -> Callable[[bytes, random.Random], bytes]:
    """Return a function that changes a number in the first `size` bytes."""

    def edit(data: bytes, chance: random.Random) -> bytes:
        width = chance.choice((1, 2, 4))
        if len(data) < size:
            return data
        return put_number(data, chance.randrange(size - width + 1), width, order, chance)

    return edit
