"""Faults 92, 93, 96 (training), 97 and 98: interrupted runs keep finished work and resume to the same bytes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .runner import Fault, Place, Process, Run
from .trained import SETTINGS, shapes

HOOKS = "tests.faults.hooks"
PHOTOS, KILLS = 16, 10
FEATURES = "f.npz"
OUTPUTS = {"extract": FEATURES, "train": "m.safetensors", "tune": "t.toml"}
NEVER = "never"  # the name of a file that does not exist; a photo that waits for it blocks


def extraction(place: Place, output: str = FEATURES, *more: str) -> list[str]:
    return ["extract", str(place.inputs), "-o", str(place.outputs / output), *shapes().backbone, *more]


def photos(place: Place, count: int = PHOTOS) -> list[str]:
    for number in range(count):
        place.good(f"{number:02}.png", seed=number)
    return extraction(place, FEATURES, "--batch-size", "3")


def training(place: Place) -> list[str]:
    return shapes().train(place, shapes().copy(place), "--set", "train.epochs=12", "--resume")


def searching(place: Place) -> list[str]:
    shapes().copy(place)
    return search_again(place)


def search_again(place: Place) -> list[str]:
    """Return the arguments of the search; the data set has been copied before."""
    options = ["--features", str(shapes().features), "--trials", "2", "--resume", *SETTINGS]
    return ["tune", "--dataset", str(place.inputs / "shapes"), *options, "-o", str(place.outputs / "t.toml")]


def small_steps(place: Place, *hold_up: str | float) -> Process:
    """Save shards of 4 photos and a state after every epoch; optionally block a photo."""
    return Process(hook=(HOOKS, "small_steps", *hold_up))


def held_at_the_last(place: Place, patience: float = 0.1) -> Process:
    return small_steps(place, f"{PHOTOS - 1:02}.png", str(place.root / NEVER), patience)


def held_for_long(place: Place) -> Process:
    return held_at_the_last(place, patience=60)


def killed_again_and_again(place: Place, arguments: Sequence[str], process: Process) -> Run:
    """Kill the command ten times, each after a random time, then let it finish."""
    chance = random.Random(0)
    ended = []
    for _ in range(KILLS):
        pid = place.start(arguments, process)
        time.sleep(chance.uniform(0.02, 0.3))
        os.kill(pid, signal.SIGKILL)
        ended.append(place.finish(pid).code)
        finished = place.outputs / OUTPUTS[arguments[0]]
        if finished.exists():  # it finished before the kill; start again
            shutil.rmtree(place.outputs)
            place.outputs.mkdir()
    assert -signal.SIGKILL in ended
    return place.run(arguments, process)


def as_if_never_interrupted(place: Place, run: Run) -> None:
    """Assert that the same command without interruption gives the same bytes."""
    (name,) = (name for name in OUTPUTS.values() if (place.outputs / name).exists())
    output = place.outputs / name
    found = output.read_bytes()
    for path in place.outputs.iterdir():
        path.unlink()
    command = {FEATURES: photos_again, "m.safetensors": again, "t.toml": search_again}[name](place)
    assert place.run(command, small_steps(place)).code == 0
    assert output.read_bytes() == found


def again(place: Place) -> list[str]:
    """Return the arguments of the training; the data set has been copied before."""
    return shapes().train(place, place.inputs / "shapes", "--set", "train.epochs=12", "--resume")


def interrupted(*signals: int) -> Callable[[Place, Sequence[str], Process], Run]:
    """Return a driver that sends signals, the first when three of four shards are done and the last photo blocks."""

    def drive(place: Place, arguments: Sequence[str], process: Process) -> Run:
        pid = place.start(arguments, process)
        wait_until(lambda: len(shards(place)) == PHOTOS // 4 - 1)
        os.kill(pid, signals[0])
        for number in signals[1:]:
            time.sleep(0.5)
            os.kill(pid, number)
        return place.finish(pid)

    return drive


def shards(place: Place) -> list[Path]:
    return sorted((place.outputs / f"{FEATURES}.partial").glob("shard-*.parquet"))


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("the command makes no progress")


def interrupted_training(*, second: bool = False) -> Callable[[Place, Sequence[str], Process], Run]:
    """Return a driver that interrupts a training after its first saved state; optionally start a second one before."""

    def drive(place: Place, arguments: Sequence[str], process: Process) -> Run:
        pid = place.start(arguments, process)
        wait_until(lambda: (place.outputs / "m.safetensors.state").exists())
        if second:
            refused = place.run(arguments)
            assert refused.code == 2, refused.said
            assert f"another run (process {pid}) is writing this output" in refused.stderr
        os.kill(pid, signal.SIGINT)
        return place.finish(pid)

    return drive


def training_resumes(place: Place, run: Run) -> None:
    """Assert that the same command resumes from the state and writes the bytes of an uninterrupted run."""
    end = place.run(again(place), small_steps(place))
    assert (end.code, "Going on after " in end.stderr) == (0, True), end.said
    as_if_never_interrupted(place, end)


def extraction_resumes(place: Place, run: Run) -> None:
    """Assert that the same command resumes from the shards and writes the bytes of an uninterrupted run."""
    assert len(shards(place)) == 3
    end = place.run(photos_again(place), small_steps(place))
    assert end.code == 0, end.said
    assert "12 photos are done already" in end.stderr
    assert [path.name for path in place.outputs.iterdir()] == [FEATURES]
    as_if_never_interrupted(place, end)


def photos_again(place: Place) -> list[str]:
    return extraction(place, FEATURES, "--batch-size", "3")


def at_another_time(place: Place, run: Run) -> None:
    """Assert that finished shards are used after the clock goes back a year and the time zone changes."""
    process = Process(hook=(HOOKS, "small_steps_a_year_ago"), environment={"TZ": "Pacific/Kiritimati"})
    end = place.run(photos_again(place), process)
    assert (end.code, "12 photos are done already" in end.stderr) == (0, True), end.said
    as_if_never_interrupted(place, end)


def after(spoil: Callable[[list[Path]], object], done: int) -> Callable[[Place, Run], None]:
    """Damage the shards of an interrupted run; assert that only the damaged ones are computed again."""

    def check(place: Place, run: Run) -> None:
        spoil(shards(place))
        end = place.run(photos_again(place), small_steps(place))
        assert end.code == 0, end.said
        assert f": {done} photos are done already" in end.stderr, end.stderr
        as_if_never_interrupted(place, end)

    return check


def manifest_is_refused(place: Place, run: Run) -> None:
    manifest = shards(place)[0].with_name("manifest.json")
    manifest.write_text("{")
    refused = place.run(photos_again(place), small_steps(place))
    assert (refused.code, manifest.read_text()) == (2, "{")
    assert "manifest.json: cannot be read" in refused.stderr and "--fresh" in refused.stderr
    assert place.run([*photos_again(place), "--fresh"], small_steps(place)).code == 0


def other_settings_are_refused(place: Place, run: Run) -> None:
    before = [path.read_bytes() for path in shards(place)]
    refused = place.run([*extraction(place), "--batch-size", "4"], small_steps(place))
    assert refused.code == 2
    assert "batch_size was 3 and is 4" in refused.stderr and "--fresh" in refused.stderr
    assert [path.read_bytes() for path in shards(place)] == before


def torn(found: list[Path]) -> None:
    found[1].write_bytes(found[1].read_bytes()[:-100])


def exchanged(found: list[Path]) -> None:
    found[1].write_bytes(found[0].read_bytes())


KEPT = (f"{FEATURES}.partial", f"{FEATURES}.partial/*", FEATURES)
MODEL = ("m.safetensors", "m.config.toml", "m.*")


def stopped(number: int, case: str, then: Callable[[Place, Run], None] | None, *signals: int, code: int = 130) -> Fault:
    says = ("Finished photos are kept in", "Give the same command again to resume")
    return Fault(
        number,
        case,
        photos,
        code,
        says=says,
        then=then,
        leaves=KEPT,
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
        process=small_steps,
        drive=killed_again_and_again,
    ),
    Fault(
        92,
        "a training killed ten times",
        training,
        0,
        then=as_if_never_interrupted,
        leaves=MODEL,
        process=small_steps,
        drive=killed_again_and_again,
    ),
    Fault(
        92,
        "a search killed ten times",
        searching,
        0,
        then=as_if_never_interrupted,
        leaves=("t.*",),
        process=small_steps,
        drive=killed_again_and_again,
    ),
    stopped(93, "Ctrl-C once", extraction_resumes, signal.SIGINT),
    Fault(
        93,
        "Ctrl-C while training",
        training,
        130,
        says=("--resume",),
        then=training_resumes,
        leaves=("m.*",),
        process=small_steps,
        drive=interrupted_training(),
    ),
    Fault(
        96,
        "two trainings into one file",
        training,
        130,
        leaves=("m.*",),
        process=small_steps,
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
