"""Rules for every file that is committed: text files end with one newline, and no file is large."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 1 << 20  # bytes
LARGER = {"weights/animals.safetensors"}  # the shipped model


def committed_files() -> Iterator[tuple[str, Path]]:
    """Yield the name and the path of each file that git tracks; skip the test outside a checkout."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file():  # not deleted in the working tree
            yield name, path


def test_text_files_end_with_one_newline_and_no_line_with_spaces():
    wrong = []
    for name, path in committed_files():
        content = path.read_bytes()
        if not content or b"\0" in content:
            continue
        if not content.endswith(b"\n") or content.endswith(b"\n\n"):
            wrong.append(f"{name}: ends without a newline, or with several")
        lines = enumerate(content.split(b"\n"), start=1)
        wrong += [f"{name}:{number}: ends with a space" for number, line in lines if line.endswith((b" ", b"\t"))]
    assert not wrong, "\n".join(wrong)


def test_no_file_is_larger_than_a_megabyte():
    large = [name for name, path in committed_files() if path.stat().st_size > LARGEST and name not in LARGER]
    assert not large, "\n".join(large)
