"""Entry point of the command line: every error becomes one message and an exit code."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType

from .errors import RevcdError

FAILED, INTERRUPTED, TERMINATED = 1, 130, 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `revcd` with these arguments (default: the process's own) and return the exit code."""
    _make_streams_safe()
    _silence_libraries()
    from .cli.terminal import console

    with _sigterm_as_interrupt() as signals:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
    if code == INTERRUPTED:
        code = TERMINATED if signals else INTERRUPTED
        console.note("Terminated." if signals else "Interrupted.")
    try:
        sys.stdout.flush()
    except OSError as error:
        _discard_stdout()
        if code != FAILED:  # otherwise it was reported already
            _report(error)
        return code if code in (INTERRUPTED, TERMINATED) else FAILED
    return code


def _run(arguments: list[str]) -> int:
    from .cli.terminal import streams

    try:
        from .cli.app import app, global_options_first

        app(global_options_first(arguments), prog_name="revcd")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        _report(error)
        if streams.settings.verbosity >= 2:
            traceback.print_exc()
        return error.exit_code if isinstance(error, RevcdError) else FAILED
    return 0


def _report(error: Exception) -> None:
    from .cli.terminal import console

    if isinstance(error, BrokenPipeError):  # the reader of the pipe has ended
        return
    if isinstance(error, RevcdError):
        console.fail(error)
    elif isinstance(error, MemoryError):
        console.fail("out of memory.", hint="Try a smaller --batch-size, or fewer classes at once.")
    elif isinstance(error, OSError):
        console.fail(f"{error.filename or 'output'}: {error.strerror or error}.")
    else:
        console.fail(
            f"unexpected {type(error).__name__}: {error}",
            hint="This is a defect in revcd. Run the command again with -vv and report what it prints.",
        )


def _make_streams_safe() -> None:
    """Make printing safe for any character, encoding or closed descriptor."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the caller closed the descriptor
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 (open until the end)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _silence_libraries() -> None:
    """Silence warnings of libraries; problems of a file are in its row of the output, or in the error message."""
    if not sys.warnoptions:  # otherwise the user asked for them
        warnings.simplefilter("ignore")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[list[int]]:
    """Handle SIGTERM like Ctrl-C, so that the run can be resumed; yield the list of received signals."""
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main thread can handle signals
        yield received
        return
    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, previous)


def _discard_stdout() -> None:
    """Discard buffered output, on which the interpreter would fail again when it exits."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
