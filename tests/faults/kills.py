"""Kill commands at random times and resume them: python -m tests.faults.kills [COMMAND ...] [--moments N]

Commands are extract, predict, train and tune (default: all).

Every command is a new process. Three runs finish undisturbed; the fastest gives the CPU time of the work and the
expected bytes. Then that time is divided into N equal parts. For each part the command starts in an empty folder, is
killed with SIGKILL at a random time of the part, is resumed and killed once more, and is resumed a third time without a
kill. The output must be the same, byte for byte, and every file found in between must be complete. Progress is saved
often (`hooks.py`). The tests run the same commands in forked processes (fault 92).
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .cases.interruptions import photos, predicting, searching, training
from .runner import ROOT, Workspace

PHOTOS = 120
COMMANDS: dict[str, Callable[[Workspace], list[str]]] = {
    "extract": partial(photos, count=PHOTOS),
    "predict": partial(predicting, count=PHOTOS),
    "train": training,
    "tune": searching,
}
PROGRAM = """
import sys
from revcd_cli.__main__ import main
from tests.faults import hooks
hooks.save_often()
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Ended:
    """How a process ended, and the CPU time of its work."""

    code: int
    seconds: float  # CPU time, which does not depend on other programs
    output: str


class Command:
    """A command with its inputs and a folder of outputs that can be emptied."""

    def __init__(self, name: str, root: Path) -> None:
        root.mkdir()
        self.workspace = Workspace(root)
        self.arguments = COMMANDS[name](self.workspace)

    def run(self, kill_after: float | None = None) -> Ended:
        """Run it; `kill_after` counts seconds of CPU time from when it holds its output's lock and its work begins."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        environment |= {"XDG_CACHE_HOME": str(self.workspace.home / "cache")}
        with tempfile.TemporaryFile() as printed:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *self.arguments], env=environment, stdout=printed, stderr=printed
            )
            while process.poll() is None and not any(self.workspace.outputs.glob(".*.lock")):
                time.sleep(0.002)
            started = seconds = used(process.pid)
            while process.poll() is None:
                if any(self.workspace.outputs.glob(".*.lock")):  # not while the process shuts down
                    seconds = max(seconds, used(process.pid))
                if kill_after is not None and seconds - started >= kill_after:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                time.sleep(0.002)
            printed.seek(0)
            return Ended(process.returncode, max(seconds - started, 0), printed.read().decode(errors="replace"))

    def written(self) -> dict[str, bytes]:
        """Return the final files; the record of a search is left out because it contains times."""
        found = {path.name: path.read_bytes() for path in self.workspace.outputs.iterdir() if path.is_file()}
        return {name: content for name, content in found.items() if not name.startswith(".") and name != "t.jsonl"}

    def empty(self) -> None:
        for path in sorted(self.workspace.outputs.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def used(pid: int) -> float:
    """Return the CPU time of a process in seconds; 0 once it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def undisturbed(command: Command, times: int = 3) -> Ended:
    """Run the command to its end a few times and return the fastest, so that no kill comes after the end."""
    runs = []
    for _ in range(times):
        command.empty()
        runs.append(command.run())
        assert runs[-1].code == 0, runs[-1].output
    return min(runs, key=lambda run: run.seconds)


def killed(command: Command, moment: Callable[[], float], times: int = 20) -> Ended:
    """Start the command in an empty folder and kill it; try again at another time if it ended before."""
    for _ in range(times):
        command.empty()
        ended = command.run(kill_after=moment())
        if ended.code == -signal.SIGKILL:
            break
    return ended


def try_moments(command: Command, moments: int, chance: random.Random) -> list[str]:
    """Kill the command at `moments` times and print a line for each; return the failures."""
    alone = undisturbed(command)
    whole, faults = command.written(), []
    print(f"  undisturbed: {alone.seconds:.2f} s of work, {', '.join(sorted(whole))}", flush=True)
    for part in range(moments):
        first = killed(command, lambda part=part: (part + chance.random()) / moments * alone.seconds)
        kept = sorted(path.name for path in command.workspace.outputs.rglob("*") if path.is_file())
        second = command.run(kill_after=chance.random() * alone.seconds)
        between = {name: content for name, content in command.written().items() if name in whole}
        last = command.run() if second.code else second
        line = f"  killed after {first.seconds:.2f} s ({first.code}) and {second.seconds:.2f} s ({second.code})"
        # A command that ended before the second kill refuses to overwrite its own output.
        complete = last.code == 0 or "exists already" in last.output
        wrong = [] if complete else [f"exit code {last.code}: {last.output[-500:]}"]
        # The settings file beside a model is written after it, so the model may be there alone.
        wrong += [f"{name} was incomplete" for name, content in between.items() if content != whole[name]]
        wrong += ["other bytes"] if command.written() != whole else []
        # Leftovers of a run that was killed after its output was complete stay until a run may write there again.
        left = [path.name for path in command.workspace.outputs.rglob("*") if path.name not in whole and last.code == 0]
        left = [name for name in left if name != "t.jsonl"]  # the record of a search is kept
        wrong += [f"left behind: {left}"] if left else []
        print(f"{line}, kept {len(kept)} files: {'; '.join(wrong) or 'same bytes'}", flush=True)
        faults += wrong
    return faults


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kills", description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(given)
    faults = []
    with tempfile.TemporaryDirectory(prefix="revcd-kills-") as folder:
        for name in options.commands or COMMANDS:
            print(name, flush=True)
            faults += try_moments(Command(name, Path(folder) / name), options.moments, random.Random(options.seed))
    print(f"{len(faults)} faults")
    return min(len(faults), 1)


if __name__ == "__main__":
    sys.exit(main())
