"""Fuzz a few inputs of each kind, and check that the worker detects every kind of crash."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from revcd_cli.data.photos.images import ImageFailure
from revcd_cli.errors import ConfigError
from tests.fuzz.kinds import BY_NAME, KINDS, shares
from tests.fuzz.readers import Reader
from tests.fuzz.worker import ACCEPTED, CRASH, outcomes

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def test_damaged_files_are_read_or_refused():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", "300", "--seed", "7"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    lines = [line for line in run.stdout.splitlines() if not line.startswith(("kind ", "in all"))]
    assert [line[:24].strip() for line in lines if line] == [kind.name for kind in KINDS]
    read = [re.match(r".{24}\s*(\d+)\s+(\d+)", line) for line in lines if line]
    assert all(int(match[2]) for match in read if match), "no input of a kind was accepted"


def test_an_input_is_determined_by_seed_and_number():
    kind = BY_NAME["png"]
    assert kind.input(3, 40) == kind.input(3, 40) != kind.input(4, 40)
    assert kind.input(3, 0) == kind.input(4, 0) == kind.sound[0]
    assert sum(shares(20_000).values()) == pytest.approx(20_000, abs=30)


def bad_reader(act: Callable[[], object]) -> Reader:
    """Return a reader that calls `act` on its second input."""
    return lambda data, folder, number: act() if number == 1 else ACCEPTED


def fail(error: Exception) -> None:
    raise error


CRASHES = {
    "SIGSEGV": lambda: ctypes.string_at(0),
    "exit code 3": lambda: os._exit(3),
    "KeyError": lambda: fail(KeyError("x")),
    "MemoryError": lambda: bytearray(4 << 30),
    "a library printed": lambda: os.write(2, b"x"),
    "a message of 5,001 characters": lambda: ImageFailure("corrupt", "x" * 5001),
}


@pytest.mark.parametrize("what", CRASHES)
def test_every_kind_of_crash_is_detected_and_the_next_input_is_read(what: str):
    found = list(outcomes(replace(BY_NAME["bmp"], read=bad_reader(CRASHES[what])), 0, range(3)))
    assert [outcome.number for outcome in found] == [0, 1, 2]
    assert (found[0].status, found[1].status, found[2].status) == (ACCEPTED, CRASH, ACCEPTED)
    assert what in found[1].what


def test_revcd_errors_are_not_crashes():
    refused = [lambda: fail(ConfigError("x")), lambda: ImageFailure("corrupt", "x")]
    kinds = [replace(BY_NAME["bmp"], read=bad_reader(act)) for act in refused]
    assert [next(islice(outcomes(kind, 0, range(2)), 1, None)).what for kind in kinds] == ["ConfigError", "corrupt"]
