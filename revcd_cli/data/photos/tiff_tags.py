"""Read the tags of a TIFF file, also of raw photos and of variants that Pillow cannot open."""

from __future__ import annotations

import struct

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, MAKE = 256, 257, 258, 259, 262, 271
STRIP_OFFSETS, ORIENTATION, SAMPLES, STRIP_BYTES = 273, 274, 277, 279
TILE_OFFSETS, TILE_BYTES, SUB_IFDS, SAMPLE_FORMAT, DNG_VERSION = 324, 325, 330, 339, 50706

_ORDERS = {b"II*\0": "<", b"MM\0*": ">", b"IIRO": "<", b"IIRS": "<", b"MMOR": ">", b"IIU\0": "<"}
_KINDS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I"}  # integer types
_MOST_DIRECTORIES, _MOST_TAGS, _MOST_VALUES = 16, 512, 4096

Tags = dict[int, tuple[int, ...]]


def read_directories(data: bytes) -> list[Tags]:
    """Return the integer tags of each directory (IFD) of a TIFF file, with those of sub-directories.

    Damaged entries are left out; the list is empty if the data are no TIFF file.
    """
    order = _ORDERS.get(data[:4])
    if order is None or len(data) < 8:
        return []
    found: list[Tags] = []
    waiting, visited = [struct.unpack_from(f"{order}I", data, 4)[0]], set[int]()
    while waiting and len(found) < _MOST_DIRECTORIES:
        start = waiting.pop(0)
        if start in visited or not 8 <= start <= len(data) - 2:
            continue
        visited.add(start)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        end = start + 2 + 12 * count
        if count > _MOST_TAGS or end > len(data):
            continue
        tags = dict(entry for at in range(start + 2, end, 12) if (entry := _entry(data, at, order)) is not None)
        found.append(tags)
        waiting += tags.get(SUB_IFDS, ())
        if end + 4 <= len(data):
            waiting.append(struct.unpack_from(f"{order}I", data, end)[0])
    return found


def _entry(data: bytes, at: int, order: str) -> tuple[int, tuple[int, ...]] | None:
    tag, kind, count = struct.unpack_from(f"{order}HHI", data, at)
    if kind not in _KINDS or not 0 < count <= _MOST_VALUES:
        return (tag, ()) if kind == 2 else None  # texts are only noted
    form = f"{order}{count}{_KINDS[kind]}"
    size = struct.calcsize(form)
    place = at + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, at + 8)[0]
    if place + size > len(data):
        return None
    return tag, struct.unpack_from(form, data, place)


def is_whole(data: bytes, tags: Tags) -> bool:
    """Return whether a directory describes an image whose data lie inside the file."""
    offsets = tags.get(STRIP_OFFSETS) or tags.get(TILE_OFFSETS) or ()
    counts = tags.get(STRIP_BYTES) or tags.get(TILE_BYTES) or ()
    if not offsets or len(offsets) != len(counts) or not tags.get(WIDTH) or not tags.get(HEIGHT):
        return False
    return all(offset + count <= len(data) for offset, count in zip(offsets, counts, strict=True))
