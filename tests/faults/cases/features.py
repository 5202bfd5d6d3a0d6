"""Faults 69 to 77: feature files and benchmarks."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.makers.benchmark_files import REFUSED as BENCHMARKS
from tests.makers.benchmark_files import column, features, splits
from tests.makers.benchmark_files import write as write_benchmark
from tests.makers.feature_files import REFUSED as FILES

from ..runner import MEGABYTE, Fault, Process, Run, Workspace
from ..shapes_model import shapes

# One invalid file for each fault; test_in_process.py runs the command on all of them.
REFUSED_FILES = {"text.npz": 69, "terabytes.npz": 70, "float64.npz": 71, "nan.mat": 72, "count.npz": 73}
REFUSED_BENCHMARKS = (0, len(BENCHMARKS) - 1)


def refused_file(name: str) -> Fault:
    data, message = FILES[name]

    def make(workspace: Workspace) -> list[str]:
        return ["data", "check", workspace.write(name, data)]

    def message_matches(workspace: Workspace, run: Run) -> None:
        assert re.search(message, run.stderr), run.stderr

    return Fault(REFUSED_FILES[name], name, make, 4, says=(name,), then=message_matches)


def flipped(workspace: Workspace) -> list[str]:
    data = bytearray(shapes().features.read_bytes())
    data[-4000] ^= 1
    return ["data", "check", workspace.write("f.npz", bytes(data))]


def trained_on(change: Callable[[dict[str, np.ndarray]], None]) -> Callable[[Workspace], list[str]]:
    """Return a function that changes the shapes' features and trains on them."""

    def make(workspace: Workspace) -> list[str]:
        with np.load(shapes().features) as opened:
            arrays = dict(opened)
        change(arrays)
        np.savez(workspace.inputs / "f.npz", **arrays)
        return shapes().train(workspace, shapes().copy(workspace), features=workspace.inputs / "f.npz")

    return make


def zeros(workspace: Workspace) -> list[str]:
    """Write an .npz of 200 kB that holds 200 MB of zeros."""
    path = workspace.inputs / "zeros.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened, opened.open("features.npy", "w") as stream:
        form = {"descr": "<f4", "fortran_order": False, "shape": (25_600, 2048)}
        np.lib.format.write_array_header_1_0(stream, form)
        for _ in range(200):
            stream.write(bytes(MEGABYTE))
    return ["data", "check", str(path)]


def little_memory(workspace: Workspace, run: Run) -> None:
    usual = workspace.run(["data", "check", workspace.write("text.npz", "no features")])
    (workspace.inputs / "text.npz").unlink()
    assert run.memory < usual.memory + 50 * MEGABYTE


def fewer(arrays: dict[str, np.ndarray]) -> None:
    for name in ("features", "paths", "status", "reason", "sha256"):
        arrays[name] = arrays[name][:-1]


def other_backbone(workspace: Workspace) -> list[str]:
    """Extract features with the embedded backbone and evaluate a model of another backbone on them."""
    folder = shapes().copy(workspace)
    done = workspace.run(["extract", str(folder), "-o", str(workspace.inputs / "f.npz"), "--backbone", "embedded"])
    assert done.code == 0
    return [
        "evaluate",
        "--dataset",
        str(folder),
        "--features",
        f"{workspace.inputs}/f.npz",
        "--model",
        str(shapes().model),
    ]


def benchmark(number: int, workspace: Workspace) -> list[str]:
    split, rows, _ = BENCHMARKS[number]
    write_benchmark(workspace.inputs / "toy", splits(**split), features(**rows))
    return ["train", "--dataset", str(workspace.inputs / "toy"), "-o", str(workspace.outputs / "m.safetensors")]


def refused_benchmark(number: int) -> Fault:
    words = BENCHMARKS[number][2]
    return Fault(75, f"benchmark {words}"[:60], lambda workspace: benchmark(number, workspace), 4, says=(words,))


def damaged_benchmark(name: str, spoil: Callable[[Path], object]) -> Callable[[Workspace], list[str]]:
    def make(workspace: Workspace) -> list[str]:
        folder = write_benchmark(workspace.inputs / "toy")
        spoil(folder / name)
        return ["train", "--dataset", str(folder), "-o", str(workspace.outputs / "m.safetensors")]

    return make


def overlapping(workspace: Workspace) -> list[str]:
    """Write a benchmark with one photo in both the training and the test part."""
    folder = write_benchmark(workspace.inputs / "toy", splits(test_seen_loc=column([2])))
    return ["train", "--dataset", str(folder), "-o", str(workspace.outputs / "m.safetensors")]


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def version_7_3(path: Path) -> None:
    path.write_bytes(b"MATLAB 7.3 MAT-file" + path.read_bytes()[19:])


def named(name: str) -> Callable[[Workspace], list[str]]:
    return lambda workspace: ["train", "--dataset", name, "-o", str(workspace.outputs / "m.safetensors")]


ABSENT = "Animals with Attributes 2) is not on this machine"
OFFLINE = Process(environment={"HF_HUB_OFFLINE": "1"})
FAULTS: Sequence[Fault] = (
    *map(refused_file, REFUSED_FILES),
    Fault(69, "a bit flipped in an .npz", flipped, 4, says=("not a readable .npz", "CRC")),
    Fault(70, "200 MB of zeros in 200 kB", zeros, 4, says=("claims 209,715,328 bytes",), then=little_memory),
    Fault(
        71,
        "another width than the recorded backbone's",
        trained_on(lambda arrays: arrays.update(features=arrays["features"][:, :-1])),
        4,
        says=("features have shape", "its backbone gives"),
    ),
    Fault(
        72,
        "a feature that is not finite, to train on",
        trained_on(lambda arrays: arrays["features"].__setitem__((0, 0), np.nan)),
        4,
        says=("1 features are not finite", ".png"),
    ),
    Fault(73, "photos of the data set without a row", trained_on(fewer), 4, says=("match no row",)),
    Fault(
        74,
        "features of another backbone than the model's",
        other_backbone,
        4,
        says=("from another backbone than the model", "embedded", "revcd extract --backbone test_resnet"),
    ),
    *map(refused_benchmark, REFUSED_BENCHMARKS),
    Fault(
        75, "att_splits.mat cut in half", damaged_benchmark("att_splits.mat", half), 4, says=("cut short or damaged",)
    ),
    Fault(
        75,
        "res101.mat of version 7.3",
        damaged_benchmark("res101.mat", version_7_3),
        4,
        says=("7.3", "save(FILE, '-v7')"),
    ),
    Fault(
        75,
        "res101.mat missing",
        damaged_benchmark("res101.mat", Path.unlink),
        1,
        says=("res101.mat", "--features NAME.mat"),
    ),
    Fault(75, "a photo in both training and test part", overlapping, 4, says=("both in trainval and in test_seen",)),
    Fault(
        76,
        "a benchmark that is not installed, offline",
        named("awa2"),
        1,
        says=("res101.mat and att_splits.mat", "AWA2", "revcd data download awa2"),
        process=OFFLINE,
    ),
    *(
        Fault(
            77, f"a benchmark called {name}", named(name), 1, says=("Animals with Attributes 2", "not on this machine")
        )
        for name in ("AWA2", "awa-2")
    ),
    Fault(77, "a benchmark called imagenet", named("imagenet"), 2, says=("Benchmarks: awa1, awa2",)),
    Fault(77, "a benchmark called awa3", named("awa3"), 2, says=('did you mean "awa2"', "revcd data list")),
)
