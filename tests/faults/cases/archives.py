"""Faults 45 to 47: hostile archives, which are never unpacked to disk, and slow disks."""

from __future__ import annotations

import io
import os
import re
import select
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.makers.archives import BAD_ZIPS, in_directory, make_tar, make_zip
from tests.makers.pictures import PNG

from ..runner import MEGABYTE, Fault, Process, Run, Workspace

HOSTILE = {"../evil.png": PNG, "/etc/evil.png": PNG, "C:\\evil.png": PNG, "a/../../evil.png": PNG}
HOSTILE_ROWS = ("../evil.png", "etc/evil.png", "C:\\evil.png", "a/../../evil.png")


def archive(name: str, members: Mapping[str, bytes], spoil: Callable[[bytes], bytes] = bytes) -> Callable:
    def make(workspace: Workspace) -> list[str]:
        path = workspace.inputs / name
        (make_zip if name.endswith(".zip") else make_tar)(str(path), members)
        path.write_bytes(spoil(path.read_bytes()))
        return workspace.predict(path)

    return make


def rows(name: str, members: Mapping[str, str]) -> dict[str, str]:
    return {f"{name}/{member}": reason for member, reason in members.items()}


def zipped(case: str, members: Mapping[str, bytes], outcome: Mapping[str, str], code: int = 0, **more: object) -> Fault:
    return Fault(45, case, archive("z.zip", members, more.pop("spoil", bytes)), code, rows("z.zip", outcome), **more)


def damaged_zip(case: str) -> Fault:
    offset, new, reason = BAD_ZIPS[case]
    return zipped(
        f"one member: {case}",
        {"a.png": PNG, "b.png": PNG},
        {"a.png": reason, "b.png": "ok"},
        3,
        spoil=lambda data: in_directory(data, offset, new),
    )


def nested() -> dict[str, bytes]:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as opened:
        opened.writestr("hidden.png", PNG)
    return {"inner.zip": inner.getvalue(), "a.png": PNG}


def bomb(workspace: Workspace) -> list[str]:
    """Write a zip of 300 kB with two members that each unpack to 300 MB of zeros."""
    path = workspace.inputs / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in ("a.png", "b.png"):
            with opened.open(name, "w", force_zip64=True) as stream:
                for _ in range(300):
                    stream.write(bytes(MEGABYTE))
        opened.writestr("c.png", PNG)
    return workspace.predict(path)


def little_memory(workspace: Workspace, run: Run) -> None:
    usual = workspace.run(workspace.predict(workspace.good(), "--overwrite"))
    (workspace.inputs / "good.png").unlink()
    assert run.memory < usual.memory + 100 * MEGABYTE


LINKS = {
    "device.png": (tarfile.CHRTYPE, ""),
    "passwd.png": (tarfile.SYMTYPE, "/etc/passwd"),
    "outside.png": (tarfile.LNKTYPE, "../../outside.png"),
    "pipe.png": (tarfile.FIFOTYPE, ""),
}


def tar_of_links(workspace: Workspace) -> list[str]:
    path = workspace.inputs / "z.tar"
    with tarfile.open(path, "w") as opened:
        for name, (kind, target) in LINKS.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            opened.addfile(member)
        member = tarfile.TarInfo("a.png")
        member.size = len(PNG)
        opened.addfile(member, io.BytesIO(PNG))
    return workspace.predict(path)


def two_photos(workspace: Workspace) -> list[str]:
    return workspace.predict(workspace.good("a.png"), workspace.good("slow.png", seed=1))


def slow(workspace: Workspace) -> Process:
    workspace.terminal, workspace.screen = os.openpty()
    return Process(
        streams=("/dev/null", "", os.ttyname(workspace.screen)),
        environment={"TERM": "xterm", "COLUMNS": "120"},
        hook=("tests.faults.hooks", "block_reading", "slow.png", str(workspace.root / "go")),
    )


def watch_progress_then_unblock(workspace: Workspace, arguments: Sequence[str], process: Process) -> Run:
    """Read the terminal while the disk hangs; unblock it after the progress bar has been drawn three times.

    If the progress bar stops, the command's alarm ends it.
    """
    pid, output, screen = workspace.start(arguments, process), b"", workspace.screen
    while select.select([workspace.terminal], [], [], 60)[0]:
        try:
            output += os.read(workspace.terminal, 4096)
        except OSError:  # the command has ended
            break
        if screen:  # the command has opened it by now; reading ends when the last holder closes it
            screen = os.close(screen)
        if len(re.findall(rb"Classifying", output)) > 3:
            (workspace.root / "go").touch()
    os.close(workspace.terminal)
    run = workspace.finish(pid)
    return Run(run.code, run.stdout, output.decode(), run.memory)


def progress_was_alive(workspace: Workspace, run: Run) -> None:
    assert Path(workspace.root / "go").exists()


FAULTS: Sequence[Fault] = (
    zipped("names that lead outside", HOSTILE, dict.fromkeys(HOSTILE_ROWS, "ok")),
    *map(damaged_zip, BAD_ZIPS),
    zipped("an archive inside", nested(), {"a.png": "ok"}),
    zipped("names that occur twice", {"a.png": PNG, "a.png!": PNG}, {"a.png": "ok", "a.png#2": "ok"}),
    Fault(
        45,
        "members that unpack to 300 MB",
        bomb,
        3,
        rows("z.zip", {"a.png": "too_large", "b.png": "too_large", "c.png": "ok"}),
        then=little_memory,
    ),
    Fault(
        45,
        "a truncated archive",
        archive("z.zip", {"a.png": PNG, "b.png": PNG}, lambda data: data[: len(data) // 2]),
        1,
        {"z.zip": "corrupt"},
    ),
    Fault(
        46,
        "device, links and pipe in a tar",
        tar_of_links,
        3,
        rows("z.tar", {**dict.fromkeys(LINKS, "not_a_file"), "a.png": "ok"}),
        ("a link or device in the archive, which is not followed",),
    ),
    Fault(
        46,
        "a tar with names that lead outside",
        archive("z.tar.gz", HOSTILE),
        0,
        rows("z.tar.gz", dict.fromkeys(HOSTILE_ROWS, "ok")),
    ),
    Fault(
        47,
        "a disk that blocks for a while",
        two_photos,
        0,
        {"a.png": "ok", "slow.png": "ok"},
        process=slow,
        drive=watch_progress_then_unblock,
        then=progress_was_alive,
    ),
)
