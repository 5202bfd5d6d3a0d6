"""Runs a case of a fault as a process of its own, and asserts what must hold for every command whatever it is fed."""

from __future__ import annotations

import atexit
import csv
import functools
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from revcd_cli.data.formats.path_text import decode_path

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = "answers.csv"
MEGABYTE = 1 << 20
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class NotHere(Exception):
    """A case that this machine cannot try, and why."""


@dataclass(frozen=True)
class Process:
    """How the command's process differs from a plain one that reads nothing and may do everything."""

    streams: tuple[str | None, str | None, str | None] = ("/dev/null", "", "")  # "" is a file; None is closed
    environment: Mapping[str, str] = field(default_factory=dict)
    umask: int = 0o022
    limits: Mapping[str, int] = field(default_factory=dict)  # of the module `resource`
    unprivileged: bool = False  # root is held to permissions as others are
    hook: Sequence[Any] = ()  # module, function and values: what is called before the command
    cold: bool = False  # the shipped model and its backbone are read from disk again
    inside: bool = False  # its folder is the one of the user's files


PLAIN = Process()


@dataclass(frozen=True)
class Run:
    """How a command ended: its exit code (negative: the signal), what it printed, and the memory it took."""

    code: int
    stdout: str
    stderr: str
    memory: int  # bytes at the peak; compare with another run

    @property
    def said(self) -> str:
        return self.stdout + self.stderr


class Place:
    """Where a case happens: the user's own files, the folder of outputs, and folders that must stay empty."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inputs, self.outputs, self.folder, self.temporary, self.home = (
            root / name for name in ("in", "out", "work", "tmp", "home")
        )
        for path in (self.inputs, self.outputs, self.folder, self.temporary, self.home):
            path.mkdir()
        self.answers = self.outputs / ANSWERS
        self._runs = 0

    def write(self, name: str | bytes, data: bytes | str) -> str:
        """Make a file of the user's and return its path."""
        path = self.inputs / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return str(path)

    def good(self, name: str | bytes = "good.png", seed: int = 0) -> str:
        """Make a small sound photo and return its path."""
        path = Path(self.write(name, b""))
        colours = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((48, 48), Image.Resampling.NEAREST).save(path, "PNG")
        return str(path)

    def predict(self, *arguments: object, top_k: int = 1) -> list[str]:
        """Return the command that names photos and writes a row for each."""
        return ["predict", *map(str, arguments), "--top-k", str(top_k), "-o", str(self.answers)]

    def start(self, arguments: Sequence[str], process: Process = PLAIN) -> int:
        """Begin a command and return its process number."""
        self._runs += 1
        printed = [str(self.root / f"{name}-{self._runs}") for name in ("stdin", "stdout", "stderr")]
        streams = [own if path == "" else path for own, path in zip(printed, process.streams, strict=True)]
        request = {
            "arguments": [os.fsencode(argument).hex() for argument in arguments],
            "folder": str(self.inputs if process.inside else self.folder),
            "streams": streams,
            "environment": self._environment() | dict(process.environment),
            "umask": process.umask,
            "limits": dict(process.limits),
            "unprivileged": process.unprivileged,
            "hook": list(process.hook),
            "cold": process.cold,
            "network": str(self.root / "network"),
            "seconds": 120,
        }
        pid = server().ask({"run": request})["pid"]
        self._printed = getattr(self, "_printed", {}) | {pid: printed[1:]}
        return pid

    def finish(self, pid: int) -> Run:
        """Wait for a command that was begun."""
        ended = server().ask({"wait": pid})
        stdout, stderr = (_text(Path(path)) for path in self._printed[pid])
        return Run(ended["code"], stdout, stderr, ended["memory"])

    def run(self, arguments: Sequence[str], process: Process = PLAIN) -> Run:
        return self.finish(self.start(arguments, process))

    def rows(self, path: Path | None = None) -> list[tuple[str, str]]:
        """Return (photo, "ok" or the reason) of each row of the answers; photos in `inputs` are named from there."""
        with (path or self.answers).open(newline="", encoding="utf-8") as stream:
            table = list(csv.DictReader(stream))
        prefix = f"{self.inputs.as_posix()}/"
        return [
            (decode_path(row["path"]).removeprefix(prefix), row["reason"] if row["status"] == "failed" else "ok")
            for row in table
        ]

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "XDG_DATA_HOME": str(self.home / "data"),
            "OMP_NUM_THREADS": "1",
        }


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape") if path.is_file() else ""


@dataclass(frozen=True)
class Fault:
    """One case of a fault: how it is made, and what the user gets."""

    number: int
    case: str
    make: Callable[[Place], Sequence[str]]  # makes the input and returns the arguments of `revcd`
    code: int = 0
    rows: Mapping[str, str] | None = None  # of the answers: each photo with "ok" or its reason; None: there are none
    says: Sequence[str] = ()  # words of the output or the messages
    then: Callable[[Place, Run], None] | None = None  # what else holds
    drive: Callable[[Place, Sequence[str], Process], Run] = lambda place, *command: place.run(*command)  # runs it
    leaves: Sequence[str] = ()  # patterns of what else is in the folder of outputs afterwards
    changes: Sequence[str] = ()  # the user's files that another program changes during the run
    process: Process | Callable[[Place], Process] = PLAIN
    differs: str = ""  # why this is not what would be ideal

    def __str__(self) -> str:
        return f"{self.number}-{self.case}".replace(" ", "-")


def attempt(fault: Fault, root: Path) -> None:
    """Try a case in an empty folder. Raises `AssertionError` if something does not hold, `NotHere`."""
    place = Place(root)
    arguments = fault.make(place)
    before, there = snapshot(place.inputs, fault.changes), _names(place.outputs)
    process = fault.process if isinstance(fault.process, Process) else fault.process(place)
    run = fault.drive(place, arguments, process)
    assert run.code == fault.code, f"exit code {run.code}, expected {fault.code}\n{run.said[-2000:]}"
    assert_tidy(place, run, fault, before)
    if "FORCE_COLOR" not in process.environment and not any("/pts/" in (path or "") for path in process.streams):
        assert not _CONTROL.search(run.said), f"a name reaches the terminal as it is: {run.said!r}"
    for words in fault.says:
        assert words in run.said, f"{words!r} is not said:\n{run.said[-2000:]}"
    expected = there | {ANSWERS} if fault.rows is not None else there
    left = {name for name in _names(place.outputs) if not any(Path(name).match(p) for p in fault.leaves)}
    assert left == expected - {name for name in expected if any(Path(name).match(p) for p in fault.leaves)}
    if fault.rows is not None:
        found = place.rows()
        assert dict(found) == dict(fault.rows), f"rows {found}"
        assert len(found) == len(fault.rows), f"a photo has several rows: {found}"
    if fault.then is not None:
        fault.then(place, run)
        assert snapshot(place.inputs, fault.changes) == before


def assert_tidy(place: Place, run: Run, fault: Fault, before: dict[str, tuple]) -> None:
    """What holds after every command, whatever it was fed."""
    assert "Traceback" not in run.said, run.said[-3000:]
    if not any("unexpected" in words for words in fault.says):
        assert "defect in revcd" not in run.said, run.said[-3000:]
    assert "Warning:" not in run.stderr, run.stderr[-3000:]  # of a library; they are not for users
    assert (
        snapshot(place.inputs, ignored=[n for n in _names(place.inputs) if n not in before]).items() <= before.items()
    )
    for folder in (place.folder, place.temporary):
        left = {name for name in _names(folder) if not name.startswith("torchinductor_")}  # torch's own, and empty
        assert not left, f"left in {folder}: {left}"
    stray = [name for name in _names(place.outputs) if name.endswith((".tmp", ".lock", ".partial"))]
    assert not stray or run.code in (130, 143, -9), f"left behind: {stray}"
    assert not (place.root / "network").exists(), "a connection was tried"


def snapshot(folder: Path, ignored: Sequence[str] = ()) -> dict[str, tuple]:
    """Return, for everything in a folder, what would show a change: kind and mode, size, time, and content."""
    return {name: _state(folder / name) for name in _names(folder) if name not in ignored}


def _names(folder: Path) -> set[str]:
    return {os.path.relpath(path, folder) for path in _walk(folder)}


def _walk(folder: Path) -> Iterator[str]:
    for root, folders, files in os.walk(folder):
        yield from (os.path.join(root, name) for name in (*folders, *files))  # noqa: PTH118


def _state(path: Path) -> tuple:
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        return (status.st_mode,)
    content = ""
    if stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)  # noqa: PTH115 (a name that is not UTF-8)
    elif stat.S_ISREG(status.st_mode) and 0 < status.st_size < 8 * MEGABYTE:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    return status.st_mode, status.st_size, status.st_mtime_ns, content


class _Server:
    """The other end of `server.py`."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
        environment.pop("HF_HUB_OFFLINE", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        atexit.register(self.close)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("the server of the tests has ended; its own messages say why")
        return json.loads(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=30)


@functools.cache
def server() -> _Server:
    if not hasattr(os, "fork"):
        raise NotHere("processes cannot be forked here")
    return _Server()


@functools.cache
def shared_folder() -> Path:
    """Return a folder for what several cases use; it goes when the tests end."""
    folder = tempfile.TemporaryDirectory(prefix="revcd-faults-")
    atexit.register(folder.cleanup)
    return Path(folder.name)
