"""Read inputs in a forked worker process with limited memory and time; if it dies, the input counts as a crash."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from revcd_cli.__main__ import _silence_libraries
from revcd_cli.data.photos.images import ImageFailure
from revcd_cli.errors import RevcdError

from .kinds import Kind

SECONDS, PATIENCE = 10, 120  # limits for one input: CPU time and wall-clock time
LONGEST = 4000  # characters of a message
ACCEPTED, REFUSED, CRASH = "accepted", "refused", "crash"
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Outcome:
    """The outcome of one input."""

    number: int
    status: str  # ACCEPTED, REFUSED or CRASH
    what: str = ""  # the error class or failure reason, or the kind of crash
    detail: str = ""  # the message, or the traceback
    seconds: float = 0.0  # CPU time
    megabytes: float = 0.0  # growth of the resident memory


def outcomes(kind: Kind, seed: int, numbers: Iterable[int]) -> Iterator[Outcome]:
    """Read inputs in turn; start a new process after an input that ends the current one."""
    waiting = list(numbers)
    while waiting:
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(reading)
            _work(kind, seed, waiting, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            for line in stream:
                yield Outcome(**json.loads(line))
                waiting.pop(0)
        _, status = os.waitpid(pid, 0)
        if waiting:
            yield Outcome(waiting.pop(0), CRASH, _end(os.waitstatus_to_exitcode(status)))


def _end(code: int) -> str:
    if code in (-signal.SIGPROF, -signal.SIGALRM):
        return "took too long"
    return f"killed the process ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"


def _work(kind: Kind, seed: int, numbers: list[int], answers: int) -> None:
    """Run the worker process; never returns."""
    root = Path(tempfile.mkdtemp(prefix="revcd-fuzz-"))
    try:
        torch.set_num_threads(1)
        _silence_libraries()
        said = os.open(root / "said", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(said, stream)
        folder = root / "in"
        os.environ |= {"XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder)}
        _limit_memory(kind.megabytes)
        for number in numbers:
            folder.mkdir()
            os.chdir(folder)
            outcome = _try(kind, seed, number, folder, said)
            os.write(answers, json.dumps(asdict(outcome)).encode() + b"\n")
            os.chdir(root)
            shutil.rmtree(folder)
    except BaseException as error:  # an error outside the reader, such as an input that cannot be made
        outcome = Outcome(number, CRASH, type(error).__name__, traceback.format_exc())
        os.write(answers, json.dumps(asdict(outcome)).encode() + b"\n")
    finally:
        shutil.rmtree(root, ignore_errors=True)
    os._exit(0)


def _limit_memory(megabytes: int) -> None:
    """Limit the growth of the process's writable memory."""
    taken = int(re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (taken + megabytes * MEGABYTE,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _try(kind: Kind, seed: int, number: int, folder: Path, said: int) -> Outcome:
    data = kind.input(seed, number)
    before = _resident(reset=True)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(PATIENCE)
    started = time.process_time()
    try:
        found = kind.read(data, folder, number)
        failed = isinstance(found, ImageFailure)
        status, what, detail = (REFUSED, found.reason, found.detail) if failed else (ACCEPTED, "", "")
    except RevcdError as error:
        status, what, detail = REFUSED, type(error).__name__, str(error)
    except Exception as error:
        status, what, detail = CRASH, type(error).__name__, traceback.format_exc()
    seconds = time.process_time() - started
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.alarm(0)
    megabytes = (_resident() - before) / MEGABYTE
    printed = os.pread(said, 2000, 0)
    if printed:
        os.ftruncate(said, 0)
        status, what, detail = CRASH, "a library printed", printed.decode("utf-8", "replace")
    if status != CRASH and len(detail) > LONGEST:
        status, what = CRASH, f"a message of {len(detail):,} characters"
    return Outcome(number, status, what, detail[-LONGEST:], seconds, megabytes)


def _resident(*, reset: bool = False) -> int:
    """Return the resident bytes: the peak since the last reset, or, with `reset`, the current value."""
    if reset:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    name = "VmRSS" if reset else "VmHWM"
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024


def quiet() -> None:
    """Set the warning filters of a command's process."""
    warnings.resetwarnings()
    for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", category)
