"""Damage inside container files, with the checksums and lengths around it corrected."""

from __future__ import annotations

import contextlib
import io
import json
import random
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

from .damage import PLAIN, Damage, put_number
from .texts import NAMES, dump, edit_json, edit_text, edited

MAT_HEADER, MAT_COMPRESSED = 128, 15
_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_FIELDS = {_LOCAL: ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2))}
_FIELDS[_CENTRAL] = ((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (38, 4), (42, 4))
_FIELDS[_END] = ((4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))


def edit_zip(data: bytes, chance: random.Random) -> bytes:
    """Change a header field of a zip: of a member, of the directory or of the end record."""
    signature = chance.choice((_LOCAL, _CENTRAL, _END))
    places = [at for at in range(len(data) - 3) if data[at : at + 4] == signature]
    if not places:
        return data
    at = chance.choice(places)
    offset, size = chance.choice(_FIELDS[signature])
    return put_number(data, at + offset, size, "little", chance)


def in_zip(edit: Damage) -> Damage:
    """Return a function that damages, renames, drops or repeats a member of a zip."""

    def change(data: bytes, chance: random.Random) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        except Exception:  # damaged before
            return chance.choice(PLAIN)(data, chance)
        if members:
            number = chance.randrange(len(members))
            name, content = members[number]
            kind = chance.randrange(12)
            if kind == 0:
                del members[number]
            elif kind == 1:
                members.append((name, content))
            elif kind == 2:
                members[number] = (chance.choice(NAMES) or "x", content)
            else:
                members[number] = (name, edit(content, chance))
        stream, method = io.BytesIO(), chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", method) as archive:
            warnings.simplefilter("ignore")  # of names that occur twice
            for name, content in members:
                archive.writestr(zipfile.ZipInfo(name.encode("utf-8", "replace").decode()), content, method)
        return stream.getvalue()

    return change


def edit_npy(data: bytes, chance: random.Random) -> bytes:
    """Change the header of an array, with a correct length, or its values."""
    if chance.random() < 0.3 or len(data) < 10:
        return chance.choice(PLAIN)(data, chance)
    (size,) = struct.unpack_from("<H", data, 8)
    header = edit_text(data[10 : 10 + size], chance)[:60_000]
    return data[:8] + struct.pack("<H", len(header)) + header + data[10 + size :]


def edit_tar(data: bytes, chance: random.Random) -> bytes:
    """Change a header field of a tar, with a correct checksum."""
    places = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    if not places:
        return data
    at = chance.choice(places)
    start, size = chance.choice(((0, 100), (100, 8), (108, 8), (124, 12), (136, 12), (156, 1), (157, 100), (345, 155)))
    new = chance.choice((b"7" * size, b"\xff" * size, b"\x80" + b"\0" * (size - 2) + b"\1", b"-1", b"\0" * size, None))
    new = chance.randbytes(size) if new is None else new
    if start == 156:
        new = chance.choice(b"0123456789gxLKSVD\0").to_bytes(1, "big")
    if start in (0, 157, 345):
        new = chance.choice(NAMES).encode("utf-8", "replace")
    header = bytearray(data[at : at + 512])
    header[start : start + size] = new[:size].ljust(size, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return data[:at] + bytes(header) + data[at + 512 :]


def recompressed(unpack: Callable[[bytes], bytes], pack: Callable[[bytes], bytes], edits: tuple[Damage, ...]) -> Damage:
    """Return a function that damages the content of a compressed file."""

    def change(data: bytes, chance: random.Random) -> bytes:
        with contextlib.suppress(Exception):  # damaged before
            return pack(chance.choice(edits)(unpack(data), chance))
        return data

    return change


def edit_safetensors(data: bytes, chance: random.Random) -> bytes:
    """Change the JSON header, with a correct length, or the tensors after it."""
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size], data[8 + size :]
    if chance.random() < 0.15:
        return data[:8] + header + chance.choice(PLAIN)(body, chance)
    try:
        document = json.loads(header)
        if chance.random() < 0.1:  # names of tensors change places
            names = [name for name in document if name != "__metadata__"]
            a, b = chance.choice(names), chance.choice(names)
            document[a], document[b] = document[b], document[a]
            header = dump(document)
        elif chance.random() < 0.5 and isinstance(document.get("__metadata__"), dict):
            metadata = edited(document["__metadata__"], chance)
            header = dump({**document, "__metadata__": metadata})
        else:
            header = dump(edited(document, chance))
    except (ValueError, IndexError, KeyError, TypeError, AttributeError):  # damaged before
        header = edit_json(header, chance)
    return len(header).to_bytes(8, "little") + header + body


def edit_mat(data: bytes, chance: random.Random) -> bytes:
    """Change the tag of an element, or the content of a compressed one."""
    order, elements, start = ("little" if data[126:128] == b"IM" else "big"), [], MAT_HEADER
    while start + 8 <= len(data):
        kind, size = (int.from_bytes(data[start + k : start + k + 4], order) for k in (0, 4))
        elements.append((start, kind, size))
        start += 8 + size + (0 if kind == MAT_COMPRESSED else -size % 8)
    if not elements:
        return data
    start, kind, size = chance.choice(elements)
    if kind == MAT_COMPRESSED and chance.random() < 0.8:
        try:
            inside = zlib.decompress(data[start + 8 : start + 8 + size])
        except zlib.error:
            return data
        packed = zlib.compress(_inside_mat(inside, order, chance))
        tag = kind.to_bytes(4, order) + len(packed).to_bytes(4, order)
        return data[:start] + tag + packed + data[start + 8 + size :]
    if chance.random() < 0.5:
        return data[: start + 8] + _inside_mat(data[start + 8 :], order, chance)
    return put_number(data, start + chance.choice((0, 4)), 4, order, chance)


def _inside_mat(inside: bytes, order: str, chance: random.Random) -> bytes:
    """Damage a matrix, preferably in its first bytes, which are tags, flags, shape and name."""
    if chance.random() < 0.25 or len(inside) < 16:
        return chance.choice(PLAIN)(inside, chance)
    start = 4 * chance.randrange(chance.choice((min(len(inside), 80), len(inside))) // 4)
    size = chance.choice((1, 2, 4))
    new = chance.choice((*range(20), None))
    if new is None:
        return put_number(inside, start, size, order, chance)
    return inside[:start] + new.to_bytes(size, order) + inside[start + size :]


def edit_parquet_footer(data: bytes, chance: random.Random) -> bytes:
    """Damage the footer, which contains the file's metadata."""
    size = int.from_bytes(data[-8:-4], "little")
    start = len(data) - 8 - size
    if not 4 <= start <= len(data) - 8:
        return data
    footer = chance.choice(PLAIN)(data[start:-8], chance)
    return data[:start] + footer + len(footer).to_bytes(4, "little") + data[-4:]


def edit_parquet_table(data: bytes, chance: random.Random) -> bytes:
    """Write a valid file with other metadata, columns, types or rows."""
    try:
        table = pq.read_table(pa.BufferReader(data))
        table.validate(full=True)
    except Exception:  # damaged before
        return data
    kind, name = chance.randrange(6), chance.choice(table.column_names)
    metadata = dict(table.schema.metadata or {})
    if kind <= 1:
        metadata = {key: edit_json(value, chance) for key, value in metadata.items()}
    elif kind == 2:
        table = table.drop_columns([name])
    elif kind == 3:
        types = (pa.string(), pa.int32(), pa.binary(), pa.list_(pa.float32()), pa.float64(), pa.large_string())
        values = pa.array([None] * len(table), type=chance.choice(types))
        table = table.set_column(table.column_names.index(name), name, values)
    elif kind == 4:
        start = chance.randrange(len(table) + 1)
        table = table.slice(start, chance.choice((0, 1, 9)))
    else:
        table = table.append_column(chance.choice((name, "odd")), table[name])
    stream = io.BytesIO()
    with contextlib.suppress(Exception):  # not every change can be written
        pq.write_table(
            table.replace_schema_metadata(metadata),
            stream,
            row_group_size=chance.choice((1, 4, 1000)),
            compression=chance.choice(("none", "snappy", "zstd", "gzip")),
            version=chance.choice(("1.0", "2.6")),
        )
        return stream.getvalue()
    return data


def make_tar(members: list[tuple[str, bytes]], form: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()
