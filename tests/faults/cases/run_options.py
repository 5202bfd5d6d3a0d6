"""Faults 100 to 109: devices, batch sizes, memory, workers, seeds and further options."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ..runner import Fault, Process, Run, Workspace
from ..shapes_model import shapes
from .unusual_images import scores

HOOKS = "tests.faults.hooks"
PHOTOS = tuple(f"{number}.png" for number in range(6))
NAMED = dict.fromkeys(PHOTOS, "ok")
TOLERANCE = 1e-4  # of a score, between batches of different photos


def several(*options: str) -> Callable[[Workspace], list[str]]:
    """Return a function that predicts six photos with these options."""

    def make(workspace: Workspace) -> list[str]:
        return [
            *workspace.predict(*(workspace.good(name, seed=number) for number, name in enumerate(PHOTOS))),
            *options,
        ]

    return make


def once_more(workspace: Workspace, *options: str) -> Run:
    """Predict the photos that `several` has written again, and return the run."""
    run = workspace.run([*workspace.predict(*(workspace.inputs / name for name in PHOTOS)), "--overwrite", *options])
    assert run.code == 0, run.output
    return run


def refused(number: int, *options: str, says: Sequence[str]) -> Fault:
    return Fault(number, " ".join(options), several(*options), 2, says=says)


def training_with(workspace: Workspace, setting: str) -> list[str]:
    return shapes().train(workspace, shapes().copy(workspace), "--set", setting)


def as_usual(workspace: Workspace, run: Run) -> None:
    """Assert that the rows and their order equal those of a run without options, up to rounding."""
    found = scores(workspace)
    once_more(workspace)
    usual = scores(workspace)
    assert list(found) == list(usual)
    for name, (answer, share) in usual.items():
        assert found[name][0] == answer
        assert abs(found[name][1] - share) < TOLERANCE


def same_bytes(*options: str) -> Callable[[Workspace, Run], None]:
    """Return an assertion that a run with other options writes the same bytes."""

    def check(workspace: Workspace, run: Run) -> None:
        before = workspace.answers.read_bytes()
        once_more(workspace, *options)
        assert workspace.answers.read_bytes() == before

    return check


def said_once(words: str, then: Callable[[Workspace, Run], None] = as_usual) -> Callable[[Workspace, Run], None]:
    def check(workspace: Workspace, run: Run) -> None:
        assert run.stderr.count(words) == 1
        then(workspace, run)

    return check


def called_once(workspace: Workspace, run: Run) -> None:
    """Assert that the failing model was called once and not retried."""
    assert (workspace.root / "calls").read_text() == "1"


def everywhere(workspace: Workspace) -> list[str]:
    """Give the same photo alone, in a large batch, in a zip and through a list."""
    data = Path(workspace.good("a.png")).read_bytes()
    for number in range(20):
        workspace.good(f"many/{number}.png", seed=number + 1)
    workspace.write("many/last.png", data)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.png", data)
    workspace.write("z.zip", stream.getvalue())
    (workspace.root / "list").write_text(f"{workspace.inputs}/many\n{workspace.inputs}/z.zip\n")
    return workspace.predict(workspace.inputs / "a.png", "-")


def one_answer(workspace: Workspace, run: Run) -> None:
    found = scores(workspace)
    same = [found[name] for name in ("a.png", "many/last.png", "z.zip/a.png")]
    assert workspace.run([*workspace.predict(workspace.inputs / "a.png"), "--overwrite"]).code == 0
    same.append(scores(workspace)["a.png"])
    assert {name for name, _ in same} == {same[0][0]}
    assert max(share for _, share in same) - min(share for _, share in same) < TOLERANCE


MANY = {f"many/{number}.png": "ok" for number in range(20)}
EVERYWHERE = {"a.png": "ok", "many/last.png": "ok", "z.zip/a.png": "ok"} | MANY


SEEDED = ("--rule", "cosine", "--seed")


def repeats_and_differs(workspace: Workspace, run: Run) -> None:
    before, found = workspace.answers.read_bytes(), scores(workspace)
    once_more(workspace, *SEEDED, "0")
    assert workspace.answers.read_bytes() == before
    once_more(workspace, *SEEDED, "1")
    assert workspace.answers.read_bytes() != before
    other = scores(workspace)
    assert all(abs(other[name][1] - share) < 0.1 for name, (_, share) in found.items())


def all_classes(workspace: Workspace, run: Run) -> None:
    assert len(workspace.answers.read_text("utf-8").splitlines()) == 110


OOM = "Memory ran out: continuing with smaller batches."
FAULTS: Sequence[Fault] = (
    *(refused(100, "--device", name, says=("Available here: cpu",)) for name in ("gpu", "cuda:9", "mps", "xyz")),
    Fault(100, "--device auto", several("--device", "auto"), 0, NAMED, ("device ",), as_usual),
    *(refused(101, "--batch-size", size, says=("--batch-size",)) for size in ("0", "-1", "1e9", "many")),
    Fault(101, "--batch-size 1000000000", several("--batch-size", "1000000000"), 0, NAMED, then=as_usual),
    Fault(
        101,
        "--batch-size 1000000000 in little memory",
        several("--batch-size", "1000000000"),
        0,
        NAMED,
        then=said_once(OOM),
        process=Process(hook=(HOOKS, "limit_batch_size", 4)),
    ),
    Fault(101, "--batch-size auto", several("--batch-size", "auto"), 0, NAMED, then=as_usual),
    *(
        Fault(
            102,
            f"memory for {most} photos, {error}",
            several(),
            0,
            NAMED,
            then=said_once(OOM),
            process=Process(hook=(HOOKS, "limit_batch_size", most, error)),
        )
        for most, error in ((2, "torch.OutOfMemoryError"), (1, "MemoryError"), (3, "DefaultCPUAllocator"))
    ),
    Fault(
        103,
        "no memory for one of the photos",
        several(),
        3,
        {**NAMED, "3.png": "out_of_memory"},
        (OOM, "not enough memory to run the backbone on one photo"),
        process=Process(hook=(HOOKS, "no_memory_for_photo", 3)),
    ),
    Fault(
        104,
        "another error of the model",
        several(),
        1,
        says=("unexpected RuntimeError: illegal memory access", "-vv"),
        then=called_once,
        process=lambda workspace: Process(hook=(HOOKS, "fail_forward", str(workspace.root / "calls"))),
    ),
    *(
        Fault(105, f"--workers {number}", several("--workers", number), 0, NAMED, then=same_bytes())
        for number in ("0", "3", "999")
    ),
    Fault(
        106,
        "one photo in four places",
        everywhere,
        0,
        EVERYWHERE,
        then=one_answer,
        process=lambda workspace: Process(streams=(str(workspace.root / "list"), "", "")),
    ),
    Fault(107, "the same seed and another", several(*SEEDED, "0"), 0, NAMED, then=repeats_and_differs),
    refused(108, "--top-k", "0", says=("--top-k",)),
    Fault(
        108,
        "--top-k 1000",
        lambda workspace: workspace.predict(workspace.good(), top_k=1000),
        says=("All 109 classes are reported",),
        then=all_classes,
        leaves=("answers.csv",),
    ),
    *(
        Fault(
            109,
            f"train.false_reject={value}",
            lambda workspace, value=value: training_with(workspace, f"train.false_reject={value}"),
            2,
            says=("train.false_reject",),
        )
        for value in ("nan", "often")
    ),
)
