"""Faults 92, 93, 96 (training), 97 and 98: interrupted runs keep finished work and resume to the same bytes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..runner import Fault, Process, Run, Workspace
from ..shapes_model import SETTINGS, shapes

HOOKS = "tests.faults.hooks"
PHOTOS, KILLS = 16, 10
FEATURES = "f.npz"
ANSWERS = "answers.csv"
OUTPUTS = {"extract": FEATURES, "predict": ANSWERS, "train": "m.safetensors", "tune": "t.toml"}
NEVER = "never"  # the name of a file that does not exist; a photo that waits for it blocks


def extraction(workspace: Workspace, output: str = FEATURES, *more: str) -> list[str]:
    return ["extract", str(workspace.inputs), "-o", str(workspace.outputs / output), *shapes().backbone, *more]


def photos(workspace: Workspace, count: int = PHOTOS) -> list[str]:
    for number in range(count):
        workspace.good(f"{number:02}.png", seed=number)
    return extraction(workspace, FEATURES, "--batch-size", "3")


def predicting(workspace: Workspace, count: int = PHOTOS) -> list[str]:
    photos(workspace, count)
    return predict_again(workspace)


def predict_again(workspace: Workspace) -> list[str]:
    """Return the arguments of the prediction; the photos have been written before."""
    model = ["--model", str(shapes().model), "--weights", str(shapes().weights), "--batch-size", "3"]
    return ["predict", str(workspace.inputs), *model, "-o", str(workspace.outputs / ANSWERS)]


def training(workspace: Workspace) -> list[str]:
    return shapes().train(workspace, shapes().copy(workspace), "--set", "train.epochs=12", "--resume")


def searching(workspace: Workspace) -> list[str]:
    shapes().copy(workspace)
    return search_again(workspace)


def search_again(workspace: Workspace) -> list[str]:
    """Return the arguments of the search; the data set has been copied before."""
    options = ["--features", str(shapes().features), "--trials", "2", "--resume", *SETTINGS]
    return ["tune", "--dataset", str(workspace.inputs / "shapes"), *options, "-o", str(workspace.outputs / "t.toml")]


def save_often(workspace: Workspace, *hold_up: str | float) -> Process:
    """Save shards of 4 photos and a state after every epoch; optionally block a photo."""
    return Process(hook=(HOOKS, "save_often", *hold_up))


def held_at_the_last(workspace: Workspace, patience: float = 0.1) -> Process:
    return save_often(workspace, f"{PHOTOS - 1:02}.png", str(workspace.root / NEVER), patience)


def held_for_long(workspace: Workspace) -> Process:
    return held_at_the_last(workspace, patience=60)


def killed_again_and_again(workspace: Workspace, arguments: Sequence[str], process: Process) -> Run:
    """Kill the command ten times, each after a random time, then let it finish."""
    chance = random.Random(0)
    ended = []
    for _ in range(KILLS):
        pid = workspace.start(arguments, process)
        time.sleep(chance.uniform(0.02, 0.3))
        os.kill(pid, signal.SIGKILL)
        ended.append(workspace.finish(pid).code)
        finished = workspace.outputs / OUTPUTS[arguments[0]]
        if finished.exists():  # it finished before the kill; start again
            shutil.rmtree(workspace.outputs)
            workspace.outputs.mkdir()
    assert -signal.SIGKILL in ended
    return workspace.run(arguments, process)


def as_if_never_interrupted(workspace: Workspace, run: Run) -> None:
    """Assert that the same command without interruption gives the same bytes."""
    (name,) = (name for name in OUTPUTS.values() if (workspace.outputs / name).exists())
    output = workspace.outputs / name
    found = output.read_bytes()
    for path in workspace.outputs.iterdir():
        path.unlink()
    commands = {FEATURES: photos_again, ANSWERS: predict_again, "m.safetensors": again, "t.toml": search_again}
    command = commands[name](workspace)
    assert workspace.run(command, save_often(workspace)).code == 0
    assert output.read_bytes() == found


def again(workspace: Workspace) -> list[str]:
    """Return the arguments of the training; the data set has been copied before."""
    return shapes().train(workspace, workspace.inputs / "shapes", "--set", "train.epochs=12", "--resume")


def interrupted(*signals: int) -> Callable[[Workspace, Sequence[str], Process], Run]:
    """Return a driver that sends signals, the first when three of four shards are done and the last photo blocks."""

    def drive(workspace: Workspace, arguments: Sequence[str], process: Process) -> Run:
        pid = workspace.start(arguments, process)
        wait_until(lambda: len(shards(workspace)) == PHOTOS // 4 - 1)
        os.kill(pid, signals[0])
        for number in signals[1:]:
            time.sleep(0.5)
            os.kill(pid, number)
        return workspace.finish(pid)

    return drive


def shards(workspace: Workspace) -> list[Path]:
    return sorted(workspace.outputs.glob("*.partial/shard-*"))


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("the command makes no progress")


def interrupted_training(*, second: bool = False) -> Callable[[Workspace, Sequence[str], Process], Run]:
    """Return a driver that interrupts a training after its first saved state; optionally start a second one before."""

    def drive(workspace: Workspace, arguments: Sequence[str], process: Process) -> Run:
        pid = workspace.start(arguments, process)
        wait_until(lambda: (workspace.outputs / "m.safetensors.state").exists())
        if second:
            refused = workspace.run(arguments)
            assert refused.code == 2, refused.output
            assert f"another run (process {pid}) is writing this output" in refused.stderr
        os.kill(pid, signal.SIGINT)
        return workspace.finish(pid)

    return drive


def training_resumes(workspace: Workspace, run: Run) -> None:
    """Assert that the same command resumes from the state and writes the bytes of an uninterrupted run."""
    end = workspace.run(again(workspace), save_often(workspace))
    assert (end.code, "Resuming after " in end.stderr) == (0, True), end.output
    as_if_never_interrupted(workspace, end)


def extraction_resumes(workspace: Workspace, run: Run) -> None:
    """Assert that the same command resumes from the shards and writes the bytes of an uninterrupted run."""
    assert len(shards(workspace)) == 3
    end = workspace.run(photos_again(workspace), save_often(workspace))
    assert end.code == 0, end.output
    assert "12 photos are finished" in end.stderr
    assert [path.name for path in workspace.outputs.iterdir()] == [FEATURES]
    as_if_never_interrupted(workspace, end)


def prediction_resumes(workspace: Workspace, run: Run) -> None:
    """Assert that the same command resumes from the shards and writes the bytes of an uninterrupted run."""
    assert len(shards(workspace)) == 3
    end = workspace.run(predict_again(workspace), save_often(workspace))
    assert (end.code, "12 photos are finished" in end.stderr) == (0, True), end.output
    assert [path.name for path in workspace.outputs.iterdir()] == [ANSWERS]
    as_if_never_interrupted(workspace, end)


def photos_again(workspace: Workspace) -> list[str]:
    return extraction(workspace, FEATURES, "--batch-size", "3")


def at_another_time(workspace: Workspace, run: Run) -> None:
    """Assert that finished shards are used after the clock goes back a year and the time zone changes."""
    process = Process(hook=(HOOKS, "save_often_with_old_clock"), environment={"TZ": "Pacific/Kiritimati"})
    end = workspace.run(photos_again(workspace), process)
    assert (end.code, "12 photos are finished" in end.stderr) == (0, True), end.output
    as_if_never_interrupted(workspace, end)


def after(spoil: Callable[[list[Path]], object], done: int) -> Callable[[Workspace, Run], None]:
    """Damage the shards of an interrupted run; assert that only the damaged ones are computed again."""

    def check(workspace: Workspace, run: Run) -> None:
        spoil(shards(workspace))
        end = workspace.run(photos_again(workspace), save_often(workspace))
        assert end.code == 0, end.output
        assert f": {done} photos are finished" in end.stderr, end.stderr
        as_if_never_interrupted(workspace, end)

    return check


def manifest_is_refused(workspace: Workspace, run: Run) -> None:
    manifest = shards(workspace)[0].with_name("manifest.json")
    manifest.write_text("{")
    refused = workspace.run(photos_again(workspace), save_often(workspace))
    assert (refused.code, manifest.read_text()) == (2, "{")
    assert "manifest.json: cannot be read" in refused.stderr and "--fresh" in refused.stderr
    assert workspace.run([*photos_again(workspace), "--fresh"], save_often(workspace)).code == 0


def other_settings_are_refused(workspace: Workspace, run: Run) -> None:
    before = [path.read_bytes() for path in shards(workspace)]
    refused = workspace.run([*extraction(workspace), "--batch-size", "4"], save_often(workspace))
    assert refused.code == 2
    assert "batch_size was 3 and is 4" in refused.stderr and "--fresh" in refused.stderr
    assert [path.read_bytes() for path in shards(workspace)] == before


def torn(found: list[Path]) -> None:
    found[1].write_bytes(found[1].read_bytes()[:-100])


def exchanged(found: list[Path]) -> None:
    found[1].write_bytes(found[0].read_bytes())


KEPT = (f"{FEATURES}.partial", f"{FEATURES}.partial/*", FEATURES)
KEPT_ANSWERS = (f"{ANSWERS}.partial", f"{ANSWERS}.partial/*", ANSWERS)
MODEL = ("m.safetensors", "m.config.toml", "m.*")


def stopped(
    number: int,
    case: str,
    then: Callable[[Workspace, Run], None] | None,
    *signals: int,
    code: int = 130,
    make: Callable[[Workspace], list[str]] = photos,
    leaves: Sequence[str] = KEPT,
) -> Fault:
    says = ("Finished photos are kept in", "Give the same command again to resume")
    return Fault(
        number,
        case,
        make,
        code,
        says=says,
        then=then,
        leaves=leaves,
        process=held_at_the_last,
        drive=interrupted(*signals),
    )


FAULTS: Sequence[Fault] = (
    Fault(
        92,
        "an extraction killed ten times",
        photos,
        0,
        then=as_if_never_interrupted,
        leaves=(FEATURES,),
        process=save_often,
        drive=killed_again_and_again,
    ),
    Fault(
        92,
        "a prediction killed ten times",
        predicting,
        0,
        then=as_if_never_interrupted,
        leaves=(ANSWERS,),
        process=save_often,
        drive=killed_again_and_again,
    ),
    Fault(
        92,
        "a training killed ten times",
        training,
        0,
        then=as_if_never_interrupted,
        leaves=MODEL,
        process=save_often,
        drive=killed_again_and_again,
    ),
    Fault(
        92,
        "a search killed ten times",
        searching,
        0,
        then=as_if_never_interrupted,
        leaves=("t.*",),
        process=save_often,
        drive=killed_again_and_again,
    ),
    stopped(93, "Ctrl-C once", extraction_resumes, signal.SIGINT),
    stopped(93, "Ctrl-C while predicting", prediction_resumes, signal.SIGINT, make=predicting, leaves=KEPT_ANSWERS),
    Fault(
        93,
        "Ctrl-C while training",
        training,
        130,
        says=("--resume",),
        then=training_resumes,
        leaves=("m.*",),
        process=save_often,
        drive=interrupted_training(),
    ),
    Fault(
        96,
        "two trainings into one file",
        training,
        130,
        leaves=("m.*",),
        process=save_often,
        drive=interrupted_training(second=True),
    ),
    stopped(93, "Ctrl-C twice", None, signal.SIGINT, signal.SIGINT),
    stopped(93, "SIGTERM", extraction_resumes, signal.SIGTERM, code=143),
    stopped(97, "another clock and zone", at_another_time, signal.SIGINT),
    stopped(98, "a torn shard", after(torn, 8), signal.SIGINT),
    stopped(98, "a missing shard", after(lambda found: found[1].unlink(), 8), signal.SIGINT),
    stopped(98, "a shard in another's place", after(exchanged, 8), signal.SIGINT),
    stopped(98, "a manifest that cannot be read", manifest_is_refused, signal.SIGINT),
    stopped(98, "other settings than those of the shards", other_settings_are_refused, signal.SIGINT),
)
