"""A fork server: it imports revcd once and forks for each command, so that a real process costs about 0.2 s.

A child has its own descriptors, working folder, environment and limits, runs `main`, and ends as Python does.
Requests are lines of JSON on stdin, answers are lines on stdout: {"run": ...} returns the child's pid, {"wait": pid}
waits for it to end.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import resource
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]


def warm_up() -> Callable[[], None]:
    """Load the shipped model and its backbone once; return a function that restores the normal loading."""
    import matplotlib.pyplot  # noqa: F401
    import scipy.io  # noqa: F401

    from revcd_cli.__main__ import main
    from revcd_cli.data.datasets import benchmarks, open  # noqa: F401
    from revcd_cli.data.photos import archives  # noqa: F401
    from revcd_cli.pipeline.evaluate import evaluate  # noqa: F401
    from revcd_cli.pipeline.predict import predictor as predict
    from revcd_cli.pipeline.tables import check  # noqa: F401
    from revcd_cli.pipeline.train import train  # noqa: F401
    from revcd_cli.reports.evaluation import metrics  # noqa: F401
    from revcd_cli.reports.predictions import files as prediction_files  # noqa: F401

    load_checkpoint, load_recorded = predict.load_checkpoint, predict.load_recorded
    checkpoint = load_checkpoint("animals")
    usual = {"weights": None, "device": "auto", "precision": "auto"}
    backbone = load_recorded(checkpoint.backbone, **usual)

    def checkpoint_once(name: str) -> Any:
        return checkpoint if name == "animals" else load_checkpoint(name)

    def backbone_once(record: Any, **options: Any) -> Any:
        return backbone if record == checkpoint.backbone and options == usual else load_recorded(record, **options)

    def cool_down() -> None:
        predict.load_checkpoint, predict.load_recorded = load_checkpoint, load_recorded

    predict.load_checkpoint, predict.load_recorded = checkpoint_once, backbone_once
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())), contextlib.redirect_stderr(io.StringIO()):
        main(["predict", str(ROOT / "examples" / "cat.jpg"), "/nothing.jpg"])  # imports what is only imported on use
    return cool_down


def serve() -> None:
    """Answer requests until stdin is closed."""
    cool_down = warm_up()
    gc.freeze()  # a child's garbage collector would copy every page
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    for line in iter(requests.readline, b""):
        request = json.loads(line)
        if "wait" in request:
            _, status, usage = os.wait4(request["wait"], 0)
            answer = {"code": os.waitstatus_to_exitcode(status), "memory": usage.ru_maxrss * 1024}
        else:
            pid = os.fork()
            if pid == 0:
                answers.close()
                requests.close()
                if request["run"]["cold"]:
                    cool_down()
                try:
                    code = _command(request["run"])
                except BaseException:  # an error of the test; the command handles its own
                    traceback.print_exc()
                    code = 70
                _end(code)
            answer = {"pid": pid}
        answers.write(json.dumps(answer).encode() + b"\n")


def _end(code: int) -> NoReturn:
    """End as Python does, but skip the teardown of loaded modules, which takes seconds."""
    threading._shutdown()  # wait for threads
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            code = 120  # as Python does when flushing fails
    os._exit(code)


def _command(request: dict[str, Any]) -> int:
    """Set up the requested process and run its command."""
    signal.alarm(request["seconds"])  # end a command that hangs
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in background processes
    os.chdir(request["folder"])
    for descriptor, path in enumerate(request["streams"]):
        _open_as(descriptor, path)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.umask(request["umask"])
    for name, limit in request["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    _renew_python(os.environ.get("PYTHONIOENCODING", "utf-8"))
    _guard_network(request["network"])
    if request["hook"]:
        module, name, *values = request["hook"]
        getattr(importlib.import_module(module), name)(*values)
    if request["unprivileged"]:
        _drop_privileges()
    from revcd_cli.__main__ import main

    return main([os.fsdecode(bytes.fromhex(argument)) for argument in request["arguments"]])


def _open_as(descriptor: int, path: str | None) -> None:
    if path is None:
        os.close(descriptor)
        return
    flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_APPEND
    if not os.path.exists(path):  # noqa: PTH110
        flags |= os.O_CREAT
    opened = os.open(path, flags | os.O_NOCTTY, 0o666)
    os.dup2(opened, descriptor)
    os.close(opened)


def _renew_python(encoding: str) -> None:
    """Reset the standard streams and the warning filters to those of a new interpreter."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        stream = None
        with contextlib.suppress(OSError):  # Python has None for a closed descriptor
            os.fstat(descriptor)
            raw = io.FileIO(descriptor, "r" if descriptor == 0 else "w", closefd=False)
            buffered = io.BufferedReader(raw) if descriptor == 0 else io.BufferedWriter(raw)
            errors = "backslashreplace" if name == "stderr" else "strict"
            stream = io.TextIOWrapper(buffered, encoding, errors, line_buffering=name == "stderr" or raw.isatty())
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    warnings.resetwarnings()
    for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", category)


def _guard_network(report: str) -> None:
    """Refuse every connection, and write a file if one is tried."""

    def refuse(*where: object, **options: object) -> NoReturn:
        Path(report).write_text(f"{where}")
        raise OSError("a test has no network")

    socket.socket.connect = refuse
    socket.getaddrinfo = refuse


def _drop_privileges() -> None:
    """Drop root's capabilities, so that file permissions apply."""
    if os.geteuid() == 0:
        header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None).capset(header, nothing):
            raise OSError("root keeps its privileges here")


if __name__ == "__main__":
    serve()
    os._exit(0)  # some of torch's libraries print errors at a normal exit
