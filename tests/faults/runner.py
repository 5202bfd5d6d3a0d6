"""Run a fault's case in a process of its own, and assert what must hold after every command."""

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

from revcd_cli.data.formats.path_encoding import decode_path

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = "answers.csv"
MEGABYTE = 1 << 20
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Unavailable(Exception):
    """Raised when this machine cannot run a case; the message says why."""


@dataclass(frozen=True)
class Process:
    """How the command's process differs from a default one, which reads nothing and has all permissions."""

    streams: tuple[str | None, str | None, str | None] = ("/dev/null", "", "")  # "" is a file; None is closed
    environment: Mapping[str, str] = field(default_factory=dict)
    umask: int = 0o022
    limits: Mapping[str, int] = field(default_factory=dict)  # of the module `resource`
    unprivileged: bool = False  # drop root's privileges, so that file permissions apply
    hook: Sequence[Any] = ()  # module, function and arguments: called before the command
    cold: bool = False  # load the shipped model and its backbone again instead of using the server's
    inside: bool = False  # the working folder is the folder of the inputs


PLAIN = Process()


@dataclass(frozen=True)
class Run:
    """The result of a command: exit code (negative: the signal), output and memory."""

    code: int
    stdout: str
    stderr: str
    memory: int  # peak resident bytes; only comparable with another run

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


class Workspace:
    """The folders of a case: inputs, outputs, and others that must stay empty."""

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
        """Write an input file and return its path."""
        path = self.inputs / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return str(path)

    def good(self, name: str | bytes = "good.png", seed: int = 0) -> str:
        """Write a small valid photo and return its path."""
        path = Path(self.write(name, b""))
        colours = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((48, 48), Image.Resampling.NEAREST).save(path, "PNG")
        return str(path)

    def predict(self, *arguments: object, top_k: int = 1) -> list[str]:
        """Return the arguments that predict the classes of photos and write a row for each."""
        return ["predict", *map(str, arguments), "--top-k", str(top_k), "-o", str(self.answers)]

    def start(self, arguments: Sequence[str], process: Process = PLAIN) -> int:
        """Start a command and return its process id."""
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
            "seconds": 600,
        }
        pid = server().ask({"run": request})["pid"]
        self._printed = getattr(self, "_printed", {}) | {pid: printed[1:]}
        return pid

    def finish(self, pid: int) -> Run:
        """Wait for a started command."""
        ended = server().ask({"wait": pid})
        stdout, stderr = (_text(Path(path)) for path in self._printed[pid])
        return Run(ended["code"], stdout, stderr, ended["memory"])

    def run(self, arguments: Sequence[str], process: Process = PLAIN) -> Run:
        return self.finish(self.start(arguments, process))

    def rows(self, path: Path | None = None) -> list[tuple[str, str]]:
        """Return (photo, "ok" or the reason) for each row of the output; paths are relative to `inputs`."""
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
    """One case of a fault: how its input is made, and the expected result."""

    number: int
    case: str
    make: Callable[[Workspace], Sequence[str]]  # writes the inputs and returns the arguments of `revcd`
    code: int = 0  # the expected exit code
    rows: Mapping[str, str] | None = None  # the expected output: "ok" or the reason for each photo; None: no output
    says: Sequence[str] = ()  # texts that stdout or stderr must contain
    then: Callable[[Workspace, Run], None] | None = None  # further assertions
    drive: Callable[[Workspace, Sequence[str], Process], Run] = lambda workspace, *command: workspace.run(
        *command
    )  # runs it
    leaves: Sequence[str] = ()  # patterns of further files in the output folder afterwards
    changes: Sequence[str] = ()  # inputs that another program changes during the run
    process: Process | Callable[[Workspace], Process] = PLAIN
    differs: str = ""  # why the behaviour differs from the specification's

    def __str__(self) -> str:
        return f"{self.number}-{self.case}".replace(" ", "-")


def run_case(fault: Fault, root: Path) -> None:
    """Run a case in an empty folder. Raises `AssertionError` if it fails, `Unavailable` if it cannot run here."""
    workspace = Workspace(root)
    arguments = fault.make(workspace)
    before, there = snapshot(workspace.inputs, fault.changes), _names(workspace.outputs)
    process = fault.process if isinstance(fault.process, Process) else fault.process(workspace)
    run = fault.drive(workspace, arguments, process)
    assert run.code == fault.code, f"exit code {run.code}, expected {fault.code}\n{run.output[-2000:]}"
    assert_clean(workspace, run, fault, before)
    if "FORCE_COLOR" not in process.environment and not any("/pts/" in (path or "") for path in process.streams):
        assert not _CONTROL.search(run.output), f"control characters reach the terminal: {run.output!r}"
    for words in fault.says:
        assert words in run.output, f"{words!r} is missing in:\n{run.output[-2000:]}"
    expected = there | {ANSWERS} if fault.rows is not None else there
    left = {name for name in _names(workspace.outputs) if not any(Path(name).match(p) for p in fault.leaves)}
    assert left == expected - {name for name in expected if any(Path(name).match(p) for p in fault.leaves)}
    if fault.rows is not None:
        found = workspace.rows()
        assert dict(found) == dict(fault.rows), f"rows {found}"
        assert len(found) == len(fault.rows), f"several rows for one photo: {found}"
    if fault.then is not None:
        fault.then(workspace, run)
        assert snapshot(workspace.inputs, fault.changes) == before


def assert_clean(workspace: Workspace, run: Run, fault: Fault, before: dict[str, tuple]) -> None:
    """Assert what must hold after every command: no traceback, no changed input, no stray file, no connection."""
    assert "Traceback" not in run.output, run.output[-3000:]
    if not any("unexpected" in words for words in fault.says):
        assert "defect in revcd" not in run.output, run.output[-3000:]
    assert "Warning:" not in run.stderr, run.stderr[-3000:]  # a library's warnings are not for users
    assert (
        snapshot(workspace.inputs, ignored=[n for n in _names(workspace.inputs) if n not in before]).items()
        <= before.items()
    )
    for folder in (workspace.folder, workspace.temporary):
        left = {name for name in _names(folder) if not name.startswith("torchinductor_")}  # torch's own empty folders
        assert not left, f"left in {folder}: {left}"
    stray = [
        name
        for name in _names(workspace.outputs)
        if name.endswith((".tmp", ".lock", ".partial")) and not any(Path(name).match(p) for p in fault.leaves)
    ]
    assert not stray or run.code in (130, 143, -9), f"left behind: {stray}"
    assert not (workspace.root / "network").exists(), "a connection was tried"


def snapshot(folder: Path, ignored: Sequence[str] = ()) -> dict[str, tuple]:
    """Return the state of every path in a folder: mode, size, modification time and content hash."""
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
        content = os.readlink(path)  # noqa: PTH115 (the name may not be UTF-8)
    elif stat.S_ISREG(status.st_mode) and 0 < status.st_size < 8 * MEGABYTE:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    return status.st_mode, status.st_size, status.st_mtime_ns, content


class _Server:
    """The client of `fork_server.py`."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
        environment.pop("HF_HUB_OFFLINE", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.fork_server"],
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
            raise RuntimeError("the fork server has ended; see its messages")
        return json.loads(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=30)


@functools.cache
def server() -> _Server:
    if not hasattr(os, "fork"):
        raise Unavailable("processes cannot be forked here")
    return _Server()


@functools.cache
def shared_folder() -> Path:
    """Return a folder for files that several cases use; it is removed at exit."""
    folder = tempfile.TemporaryDirectory(prefix="revcd-faults-")
    atexit.register(folder.cleanup)
    return Path(folder.name)
