"""Faults 100 to 109: devices, batch sizes, memory, workers, seeds and further options."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .images_good import scores
from .runner import Fault, Place, Process, Run
from .trained import shapes

HOOKS = "tests.faults.hooks"
PHOTOS = tuple(f"{number}.png" for number in range(6))
NAMED = dict.fromkeys(PHOTOS, "ok")
TOLERANCE = 1e-4  # of a score, between batches of different photos


def several(*options: str) -> Callable[[Place], list[str]]:
    """Return a function that predicts six photos with these options."""

    def make(place: Place) -> list[str]:
        return [*place.predict(*(place.good(name, seed=number) for number, name in enumerate(PHOTOS))), *options]

    return make


def once_more(place: Place, *options: str) -> Run:
    """Predict the photos that `several` has written again, and return the run."""
    run = place.run([*place.predict(*(place.inputs / name for name in PHOTOS)), "--overwrite", *options])
    assert run.code == 0, run.said
    return run


def refused(number: int, *options: str, says: Sequence[str]) -> Fault:
    return Fault(number, " ".join(options), several(*options), 2, says=says)


def training_with(place: Place, setting: str) -> list[str]:
    return shapes().train(place, shapes().copy(place), "--set", setting)


def as_usual(place: Place, run: Run) -> None:
    """Assert that the rows and their order equal those of a run without options, up to rounding."""
    found = scores(place)
    once_more(place)
    usual = scores(place)
    assert list(found) == list(usual)
    for name, (answer, share) in usual.items():
        assert found[name][0] == answer
        assert abs(found[name][1] - share) < TOLERANCE


def same_bytes(*options: str) -> Callable[[Place, Run], None]:
    """Return an assertion that a run with other options writes the same bytes."""

    def check(place: Place, run: Run) -> None:
        before = place.answers.read_bytes()
        once_more(place, *options)
        assert place.answers.read_bytes() == before

    return check


def said_once(words: str, then: Callable[[Place, Run], None] = as_usual) -> Callable[[Place, Run], None]:
    def check(place: Place, run: Run) -> None:
        assert run.stderr.count(words) == 1
        then(place, run)

    return check


def called_once(place: Place, run: Run) -> None:
    """Assert that the failing model was called once and not retried."""
    assert (place.root / "calls").read_text() == "1"


def everywhere(place: Place) -> list[str]:
    """Give the same photo alone, in a large batch, in a zip and through a list."""
    data = Path(place.good("a.png")).read_bytes()
    for number in range(20):
        place.good(f"many/{number}.png", seed=number + 1)
    place.write("many/last.png", data)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.png", data)
    place.write("z.zip", stream.getvalue())
    (place.root / "list").write_text(f"{place.inputs}/many\n{place.inputs}/z.zip\n")
    return place.predict(place.inputs / "a.png", "-")


def one_answer(place: Place, run: Run) -> None:
    found = scores(place)
    same = [found[name] for name in ("a.png", "many/last.png", "z.zip/a.png")]
    assert place.run([*place.predict(place.inputs / "a.png"), "--overwrite"]).code == 0
    same.append(scores(place)["a.png"])
    assert {name for name, _ in same} == {same[0][0]}
    assert max(share for _, share in same) - min(share for _, share in same) < TOLERANCE


MANY = {f"many/{number}.png": "ok" for number in range(20)}
EVERYWHERE = {"a.png": "ok", "many/last.png": "ok", "z.zip/a.png": "ok"} | MANY


SEEDED = ("--rule", "cosine", "--seed")


def repeats_and_differs(place: Place, run: Run) -> None:
    before, found = place.answers.read_bytes(), scores(place)
    once_more(place, *SEEDED, "0")
    assert place.answers.read_bytes() == before
    once_more(place, *SEEDED, "1")
    assert place.answers.read_bytes() != before
    other = scores(place)
    assert all(abs(other[name][1] - share) < 0.1 for name, (_, share) in found.items())


def all_classes(place: Place, run: Run) -> None:
    assert len(place.answers.read_text("utf-8").splitlines()) == 51


OOM = "Memory ran out: going on with smaller batches."
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
        process=Process(hook=(HOOKS, "memory_for", 4)),
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
            process=Process(hook=(HOOKS, "memory_for", most, error)),
        )
        for most, error in ((2, "torch.OutOfMemoryError"), (1, "MemoryError"), (3, "DefaultCPUAllocator"))
    ),
    Fault(
        103,
        "no memory for one of the photos",
        several(),
        3,
        {**NAMED, "3.png": "out_of_memory"},
        (OOM, "no memory to run the backbone on even one photo"),
        process=Process(hook=(HOOKS, "no_memory_for_photo", 3)),
    ),
    Fault(
        104,
        "another error of the model",
        several(),
        1,
        says=("unexpected RuntimeError: illegal memory access", "-vv"),
        then=called_once,
        process=lambda place: Process(hook=(HOOKS, "broken_model", str(place.root / "calls"))),
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
        process=lambda place: Process(streams=(str(place.root / "list"), "", "")),
    ),
    Fault(107, "the same seed and another", several(*SEEDED, "0"), 0, NAMED, then=repeats_and_differs),
    refused(108, "--top-k", "0", says=("--top-k",)),
    Fault(
        108,
        "--top-k 1000",
        lambda place: place.predict(place.good(), top_k=1000),
        says=("All 50 classes are reported",),
        then=all_classes,
        leaves=("answers.csv",),
    ),
    *(
        Fault(
            109,
            f"train.false_reject={value}",
            lambda place, value=value: training_with(place, f"train.false_reject={value}"),
            2,
            says=("train.false_reject",),
        )
        for value in ("nan", "often")
    ),
)
