"""Fault 89: full disks. The old file stays unchanged; only what was finished is left, for the next run."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..runner import Fault, Process, Run, Unavailable, Workspace
from ..shapes_model import shapes
from .outputs import HOOKS, OLD, extraction, many_photos


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of 16 kB; only root may do this."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        raise Unavailable("no disk can be mounted here (only root may)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def on_a_full_disk(workspace: Workspace, arguments: Sequence[str], process: Process) -> Run:
    """Write more than a small disk holds; assert that the old file is unchanged; finished photos may lie beside it."""
    with small_disk(workspace.root / "disk") as disk:
        output = disk / "answers.json"
        output.write_text(OLD)
        command = [str(output) if part == str(workspace.answers) else part for part in arguments]
        run = workspace.run([*command, "--overwrite", "--format", "json"], process)
        assert {path.name for path in disk.iterdir()} <= {"answers.json", "answers.json.partial"}
        assert output.read_text() == OLD
    return run


def a_full_disk_for(name: str) -> Callable[[Workspace, Sequence[str], Process], Run]:
    """Return a driver whose output is an old file on a disk too small for a new file and for saved progress."""

    def drive(workspace: Workspace, arguments: Sequence[str], process: Process) -> Run:
        with small_disk(workspace.root / "disk") as disk:
            (disk / name).write_text(OLD)
            command = [str(disk / name) if part.endswith(f"/{name}") else part for part in arguments]
            run = workspace.run([*command, "--overwrite"], process)
            assert {path.name for path in disk.iterdir()} <= {name, f"{name}.partial"}
            assert (disk / name).read_text() == OLD
        return run

    return drive


def trained_model(workspace: Workspace) -> list[str]:
    return shapes().train(workspace, shapes().copy(workspace))


FAULTS: Sequence[Fault] = (
    Fault(89, "a full disk", many_photos, 1, says=("No space left on device",), drive=on_a_full_disk),
    Fault(
        89,
        "a full disk, to extract",
        extraction,
        1,
        says=("need about", "MB are free"),
        drive=a_full_disk_for("f.npz"),
    ),
    Fault(
        89,
        "a disk that fills up while features are written",
        extraction,
        1,
        says=("No space left on device",),
        process=Process(hook=(HOOKS, "skip_space_check")),
        drive=a_full_disk_for("f.npz"),
    ),
    Fault(
        89,
        "a full disk, to train",
        trained_model,
        1,
        says=("No space left on device",),
        drive=a_full_disk_for("m.safetensors"),
    ),
    Fault(
        89,
        "a full disk, when a training state is saved",
        trained_model,
        1,
        says=("No space left on device",),
        process=Process(hook=(HOOKS, "save_often")),
        drive=a_full_disk_for("m.safetensors"),
    ),
)
