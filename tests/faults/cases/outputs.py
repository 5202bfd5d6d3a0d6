"""Faults 87 to 91, 94 to 96 and 99: outputs. Full disks are in `full_disks.py`, interruptions in `interruptions.py`."""

from __future__ import annotations

import csv
import json
import os
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..runner import Fault, Process, Run, Workspace

HOOKS = "tests.faults.hooks"
OLD = "what was there before"


def onto(old: str, *options: str) -> Callable[[Workspace], list[str]]:
    """Return a function that predicts a photo into an existing file that contains `old`."""

    def make(workspace: Workspace) -> list[str]:
        workspace.answers.write_text(old)
        return [*workspace.predict(workspace.good()), *options]

    return make


def unchanged(workspace: Workspace, run: Run) -> None:
    assert workspace.answers.read_text() == OLD


def killed_before_its_end(workspace: Workspace) -> Process:
    return Process(hook=(HOOKS, "kill_before_reading", "last.png"))


def two_onto_old(workspace: Workspace) -> list[str]:
    workspace.answers.write_text(OLD)
    return [*workspace.predict(workspace.good(), workspace.good("last.png")), "--overwrite", "--batch-size", "1"]


def next_run_tidies(workspace: Workspace, run: Run) -> None:
    """Assert that the old file is unchanged, and that the next run replaces it and removes what the killed one left."""
    unchanged(workspace, run)
    assert workspace.run([*workspace.predict(workspace.inputs / "good.png"), "--overwrite"]).code == 0
    assert [path.name for path in workspace.outputs.iterdir()] == ["answers.csv"]


def into(name: str) -> Callable[[Workspace], list[str]]:
    return lambda workspace: ["predict", workspace.good(), "-o", str(workspace.outputs / name)]


def into_folder(workspace: Workspace) -> list[str]:
    (workspace.outputs / "folder.csv").mkdir()
    return into("folder.csv")(workspace)


def into_below_a_file(workspace: Workspace) -> list[str]:
    (workspace.outputs / "file").write_text("")
    return into("file/answers.csv")(workspace)


def created(workspace: Workspace, run: Run) -> None:
    assert (workspace.outputs / "new/folder/answers.csv").is_file()


def read_only(workspace: Workspace) -> list[str]:
    (workspace.outputs / "locked").mkdir()
    workspace.answers = workspace.outputs / "locked" / "answers.csv"
    workspace.answers.write_text(OLD)
    workspace.answers.parent.chmod(0o555)
    return [*workspace.predict(workspace.good()), "--overwrite"]


def many_photos(workspace: Workspace) -> list[str]:
    photos = [workspace.good(f"{number}.png", seed=number) for number in range(8)]
    return [*workspace.predict(*photos, top_k=50), "--overwrite"]


def cut_off(workspace: Workspace) -> list[str]:
    workspace.answers.write_text(OLD)
    return many_photos(workspace)


def onto_link(workspace: Workspace) -> list[str]:
    (workspace.outputs / "target.csv").write_text("")
    workspace.answers.symlink_to("target.csv")
    return [*workspace.predict(workspace.good()), "--overwrite"]


def link_is_kept(workspace: Workspace, run: Run) -> None:
    assert workspace.answers.is_symlink()
    assert (workspace.outputs / "target.csv").stat().st_size > 0


def onto_device(name: str) -> Callable[[Workspace], list[str]]:
    return lambda workspace: ["predict", workspace.good(), "-o", name, "--overwrite", "--format", "csv"]


def device_is_there(workspace: Workspace, run: Run) -> None:
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def mode_is(mode: int) -> Callable[[Workspace, Run], None]:
    def check(workspace: Workspace, run: Run) -> None:
        assert stat.S_IMODE(workspace.answers.stat().st_mode) == mode

    return check


def onto_private(workspace: Workspace) -> list[str]:
    arguments = onto("", "--overwrite")(workspace)
    workspace.answers.chmod(0o640)
    return arguments


def to_pipe(workspace: Workspace) -> list[str]:
    os.mkfifo(workspace.root / "pipe")
    photos = [workspace.good(f"{number}.png", seed=number) for number in range(40)]
    return ["predict", *photos, "--batch-size", "1"]


def read_one_line(workspace: Workspace, arguments: Sequence[str], process: Process) -> Run:
    """Read one byte and close the pipe, as `| head -n 1` does."""
    pid = workspace.start(arguments, process)
    with (workspace.root / "pipe").open("rb", buffering=0) as pipe:
        assert pipe.read(1)
    return workspace.finish(pid)


def no_error_is_printed(workspace: Workspace, run: Run) -> None:
    assert [line for line in run.stderr.splitlines() if not line.startswith("model ")] == []


def printed(*options: str) -> Callable[[Workspace], list[str]]:
    def make(workspace: Workspace) -> list[str]:
        workspace.good("naïve ✔ 🦓.png")
        workspace.good(b"caf\xe9.png")
        return ["predict", str(workspace.inputs), *options]

    return make


def twice_at_once(workspace: Workspace, arguments: Sequence[str], process: Process) -> Run:
    """Start a run that blocks on a photo, then a second one, which must be refused and change nothing."""
    first = workspace.start(arguments, process)
    for _ in range(3000):  # at most 30 s; then the assertion below fails
        if any(path.name.endswith(".lock") for path in workspace.outputs.iterdir()):
            break
        time.sleep(0.01)
    second = workspace.run(arguments)
    assert second.code == 2, second.output
    assert f"another run (process {first}) is writing this output" in second.stderr
    (workspace.root / "go").touch()
    return workspace.finish(first)


def extraction(workspace: Workspace) -> list[str]:
    photos = [workspace.good("a.png"), workspace.good("slow.png", seed=1)]
    return ["extract", *photos, "-o", str(workspace.outputs / "f.npz"), "--backbone", "embedded"]


def prediction(workspace: Workspace) -> list[str]:
    photos = [workspace.good("a.png"), workspace.good("slow.png", seed=1)]
    return [*workspace.predict(*photos), "--batch-size", "1"]


def held_up(workspace: Workspace) -> Process:
    return Process(hook=(HOOKS, "block_reading", "slow.png", str(workspace.root / "go")))


def not_a_number(workspace: Workspace) -> list[str]:
    return ["predict", workspace.good(), "-o", str(workspace.outputs / "answers.json")]


def strict_json(workspace: Workspace, run: Run) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    document = json.loads((workspace.outputs / "answers.json").read_text("utf-8"), parse_constant=refuse)
    assert [failure["reason"] for failure in document["failures"]] == ["non_finite_feature"]


def short_floats(workspace: Workspace, run: Run) -> None:
    """Assert that every number is written with the fewest digits."""
    for row in csv.DictReader(workspace.answers.read_text("utf-8").splitlines()):
        for cell in (row["score"], row["probability"]):
            assert repr(float(cell)) == cell
            assert len(cell.lstrip("-0.").replace(".", "")) <= 6 or "e" in cell


ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
NEW = ("new", "new/folder", "new/folder/answers.csv")
OK = {"good.png": "ok"}
FAULTS: Sequence[Fault] = (
    Fault(87, "an output that exists", onto(OLD), 2, says=("exists already", "--overwrite"), then=unchanged),
    Fault(87, "an output that may be replaced", onto(OLD, "--overwrite"), 0, OK),
    Fault(
        87,
        "killed while it is replaced",
        two_onto_old,
        -9,
        then=next_run_tidies,
        leaves=(".revcd-*.tmp", ".*.lock", "answers.csv", "answers.csv.partial", "answers.csv.partial/*"),
        process=killed_before_its_end,
    ),
    Fault(
        88,
        "a folder that is missing",
        into("new/folder/answers.csv"),
        0,
        then=created,
        leaves=("new", "new/*", "new/*/*"),
    ),
    Fault(88, "a folder as output", into_folder, 2, says=("is a folder, not a file to write",)),
    Fault(88, "an output below a file", into_below_a_file, 2, says=("is a file, so nothing can be written below it",)),
    Fault(
        89,
        "a folder without write permission",
        read_only,
        1,
        says=("cannot be written (Permission denied)",),
        then=unchanged,
        process=Process(unprivileged=True),
    ),
    Fault(
        89,
        "no more bytes allowed (a quota)",
        cut_off,
        1,
        says=("cannot be written (File too large)",),
        then=unchanged,
        leaves=("answers.csv.partial", "answers.csv.partial/*"),  # what was finished, for the next run
        process=Process(limits={"RLIMIT_FSIZE": 4096}),
    ),
    Fault(90, "a link as output", onto_link, 0, OK, then=link_is_kept),
    Fault(90, "/dev/null as output", onto_device("/dev/null"), 2, says=("not a regular file",), then=device_is_there),
    Fault(90, "/dev/stdout as output, into a file", onto_device("/dev/stdout"), 0, says=("path,rank,class",)),
    Fault(
        90,
        "/dev/stdout as output, into a device",
        onto_device("/dev/stdout"),
        2,
        says=("not a regular file",),
        then=device_is_there,
        process=Process(streams=("/dev/null", "/dev/null", "")),
    ),
    Fault(91, "the mode of a new file", onto_private, 0, OK, then=mode_is(0o640)),
    Fault(
        91, "the mode of an old file", lambda workspace: workspace.predict(workspace.good()), 0, OK, then=mode_is(0o644)
    ),
    Fault(
        94,
        "a closed pipe",
        to_pipe,
        1,
        then=no_error_is_printed,
        process=lambda workspace: Process(streams=("/dev/null", str(workspace.root / "pipe"), "")),
        drive=read_one_line,
    ),
    *(
        Fault(95, f"an ASCII stream, {case}", printed(*options), 0, process=Process(environment=ASCII))
        for case, options in {"lines": (), "a table": ("--format", "table"), "JSON": ("--format", "json")}.items()
    ),
    *(
        Fault(95, f"closed {name}", printed(), 0, process=Process(streams=streams))
        for name, streams in {
            "standard output": ("/dev/null", None, ""),
            "standard error": ("/dev/null", "", None),
            "streams": (None, None, None),
        }.items()
    ),
    Fault(
        96,
        "two extractions into one file",
        extraction,
        0,
        leaves=("f.npz",),
        process=held_up,
        drive=twice_at_once,
    ),
    Fault(
        96,
        "two predictions into one file",
        prediction,
        0,
        {"a.png": "ok", "slow.png": "ok"},
        process=held_up,
        drive=twice_at_once,
    ),
    Fault(
        99,
        "a score that is not a number",
        not_a_number,
        1,
        says=("non_finite_feature",),
        then=strict_json,
        leaves=("answers.json",),
        process=Process(
            hook=(
                HOOKS,
                "make_scores_nan",
            )
        ),
    ),
    Fault(99, "numbers as short text", lambda workspace: workspace.predict(workspace.good()), 0, OK, then=short_floats),
)
