"""Regression tests: minimal files that crashed an earlier version. Each must be refused with a RevcdError."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io

from revcd_cli.backbones.weights import read_state_dict
from revcd_cli.data.datasets.published_split import read_published_split
from revcd_cli.data.features.files import read_features
from revcd_cli.data.formats.mat_file import load_mat
from revcd_cli.data.formats.mat_structure import check_structure
from revcd_cli.data.photos.archives import archive_sources
from revcd_cli.data.photos.image_source import failed_source
from revcd_cli.data.photos.images import ImageFailure
from revcd_cli.errors import InputFileError, RevcdError, WeightsError, brief
from revcd_cli.pipeline.extract.journal import FeatureJournal
from revcd_cli.system import probes
from tests.fuzz import samples
from tests.fuzz.containers import in_zip
from tests.makers.benchmark_files import splits, write
from tests.makers.feature_files import BACKBONE, saved_npz

HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
MATRIX, COMPRESSED, DOUBLES, INTS, BYTES, FLAGS = 14, 15, 9, 5, 1, 6


def element(kind: int, value: bytes) -> bytes:
    return struct.pack("<II", kind, len(value)) + value + b"\0" * (0 if kind == COMPRESSED else -len(value) % 8)


def matrix(*content: bytes, kind: int = 6, sides: tuple[int, ...] = (1, 1), name: bytes = b"features") -> bytes:
    shape = struct.pack(f"<{len(sides)}i", *sides)
    parts = (element(FLAGS, struct.pack("<II", kind, 0)), element(INTS, shape), element(BYTES, name), *content)
    return element(MATRIX, b"".join(parts))


def packed(content: bytes) -> bytes:
    return element(COMPRESSED, zlib.compress(content))


ONE = element(DOUBLES, bytes(8))
CELL = 1
DEEP = matrix(ONE, name=b"")
for _ in range(40):
    DEEP = matrix(DEEP, kind=CELL, name=b"")
MATRICES = {  # scipy crashes the process or allocates without limit on all but the first
    "values of an unknown type": matrix(element(99, bytes(8))),
    "a matrix in place of values": matrix(matrix(ONE)),
    "a missing imaginary part": matrix(ONE, kind=6 | 1 << 11),
    "no sides": matrix(ONE, sides=()),
    "cells that are not matrices": matrix(ONE, kind=CELL),
    "a billion cells": matrix(matrix(ONE, name=b""), kind=CELL, sides=(10**9, 1)),
    "a negative side": matrix(ONE, sides=(-1, 1)),
    "deeply nested cells": DEEP,
    "a value beyond the end": matrix(ONE[:4] + b"\xff\0\0\0" + bytes(8)),
}


@pytest.mark.parametrize("wrap", [bytes, packed], ids=["stored", "compressed"])
@pytest.mark.parametrize("case", MATRICES)
def test_a_matrix_that_would_crash_the_process_is_refused(tmp_path: Path, case: str, wrap):
    (tmp_path / "f.mat").write_bytes(HEADER + wrap(MATRICES[case]))
    with pytest.raises(InputFileError, match="damaged"):
        read_features(tmp_path / "f.mat")


def test_a_file_that_claims_to_unpack_to_gigabytes_is_refused(tmp_path: Path):
    content = struct.pack("<II", MATRIX, 1 << 31) + matrix(ONE)[8:]
    (tmp_path / "f.mat").write_bytes(HEADER + packed(content))
    with pytest.raises(InputFileError, match="claim to expand to 2,147,483,648"):
        read_features(tmp_path / "f.mat")


@pytest.mark.parametrize("is_packed", [True, False])
def test_files_written_by_scipy_are_read_and_structures_are_refused(tmp_path: Path, is_packed: bool):
    path = tmp_path / "f.mat"
    cell = np.array([np.ones(2), "a", np.array([1, "b"], dtype=object)], dtype=object)
    sound = {
        "numbers": np.eye(3),
        "imaginary": 1j * np.ones(2),
        "text": "abc",
        "nothing": "",
        "flags": np.ones(2, bool),
    }
    scipy.io.savemat(path, {**sound, "cell": cell, "struct": {"x": 1}}, do_compression=is_packed)
    assert check_structure(path) == {"struct"}
    assert load_mat(path, ["numbers", "cell"])["cell"].shape == (1, 3)
    with pytest.raises(InputFileError, match="struct is a structure"):
        load_mat(path, ["struct"])


def test_a_description_beyond_32_bits_is_not_finite(tmp_path: Path):
    write(tmp_path, splits(att=np.full((3, 4), 1e300)))
    with pytest.raises(InputFileError, match="att has 12 values that are not finite"):
        read_published_split(tmp_path)


def test_a_truncated_array_header_is_refused(tmp_path: Path):
    def break_off(data: bytes, chance: object) -> bytes:
        return data[:8] + struct.pack("<H", 20) + b"{'descr': ('<f4',".ljust(20) + data[30:]

    class First:
        """A source of random choices that always takes the first option, and edits the member."""

        randrange, choice = staticmethod(lambda n: 0 if n < 12 else 5), staticmethod(lambda items: items[0])

    (tmp_path / "f.npz").write_bytes(in_zip(break_off)(saved_npz(), First()))
    with pytest.raises(InputFileError, match=r"not a readable \.npz"):
        read_features(tmp_path / "f.npz")


def test_column_names_that_are_not_utf8_are_refused(tmp_path: Path):
    data = samples.parquet()[0].replace(b"feature", b"featur\xff")
    (tmp_path / "f.parquet").write_bytes(data)
    with pytest.raises(InputFileError):
        read_features(tmp_path / "f.parquet")


def test_a_torch_file_that_claims_to_be_on_several_disks_is_refused(tmp_path: Path):
    data = bytearray(samples.torch_files()[0])
    locator = data.rindex(b"PK\6\7")  # of the zip64 directory; its last field is the number of disks
    data[locator + 16 : locator + 20] = b"\5\0\0\0"
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(WeightsError):
        read_state_dict(tmp_path / "w.pth")


def tar_of(size: int, kind: bytes) -> bytes:
    """Return the header of a member of that size, without its content."""
    member = tarfile.TarInfo("a.png")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(512)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
@pytest.mark.parametrize("size", [1 << 40, 1 << 62, 1 << 80])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_tar_member_that_claims_terabytes_is_refused(tmp_path: Path, name: str, size: int, kind: bytes):
    data = tar_of(size, kind)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    *_, last = archive_sources(str(tmp_path / name), name)
    assert last.path == name and last.read().reason in ("corrupt", "truncated")


def test_error_messages_are_shortened():
    assert len(brief(ValueError("x" * 10_000))) <= 200
    assert brief(ValueError("\n\n first. \nsecond")) == "first"
    assert brief(KeyError()) == "KeyError"
    error = RevcdError("a" * 5_000 + "z", hint="h" * 5_000)
    assert len(error.message) <= 2_000 and error.message.startswith("aaa") and error.message.endswith("z")
    assert len(str(error)) < 4_002


@pytest.mark.parametrize("column", ["signature", "detail"])
@pytest.mark.parametrize("change", ["missing", "twice", "null", "numbers"])
def test_a_shard_with_wrong_columns_is_computed_again(tmp_path: Path, column: str, change: str):
    journal = FeatureJournal(tmp_path / "f.npz", BACKBONE, {"format": 1, "batch_size": 2})
    table = pq.read_table(io.BytesIO(samples.shards()[0]))
    place, texts = table.column_names.index(column), pa.array(["x"] * 3)
    if change == "missing":
        table = table.drop_columns([column])
    elif change == "twice":
        table = table.append_column(column, texts)
    else:
        table = table.set_column(
            place, column, pa.array([None] * 3, pa.string()) if change == "null" else pa.array([1] * 3)
        )
    journal.folder.mkdir()
    (journal.folder / "manifest.json").write_bytes(samples.manifests()[0])
    journal.open(fresh=False)
    pq.write_table(table, journal.folder / "shard-000000.parquet")
    journal.survey([failed_source(f"{k}.png", ImageFailure("not_found", "no such file")) for k in range(3)])
    assert not journal.finished
    with pytest.raises(InputFileError):
        journal.load(0)


WRONG = {
    "seconds": "x",
    "trial": "0",
    "stage": 7,
    "figures": {"H": []},
    "merit": 2,
    "settings": {"train.epochs": "x"},
    "settings ": 0.5,
    "error": 0,
}


@pytest.mark.parametrize("field", WRONG)
def test_an_invalid_record_of_a_search_is_refused(tmp_path: Path, field: str):
    dataset, settings = samples.training()
    header, line, *_ = samples.records()[0].decode().splitlines()
    (tmp_path / "t.jsonl").write_text(f"{header}\n{json.dumps(json.loads(line) | {field.strip(): WRONG[field]})}\n")
    with pytest.raises(InputFileError, match=r"t\.jsonl:2: is not the record of a search"):
        samples.tune(dataset, settings, tmp_path / "t.toml", trials=1, device="cpu", resume=True)


@pytest.mark.parametrize("change", [lambda data: data.replace(b"5", b'"x"'), lambda data: data[:-3], bytes.upper])
def test_a_damaged_cache_of_micro_benchmarks_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change):
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / name))
    assert probes.cached(["a"], lambda: 5) == 5
    probes.cache_file().write_bytes(change(probes.cache_file().read_bytes()))
    assert probes.cached(["a"], lambda: 6) == 6
