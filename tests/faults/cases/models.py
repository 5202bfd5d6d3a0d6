"""Faults 78 to 86: model files and backbone weights. Damaged models are copies of one that `revcd train` wrote."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from revcd_cli.checkpoint.metadata import FORMAT, read_metadata
from revcd_cli.checkpoint.upgrade import OLDEST_FORMAT

from ..runner import MEGABYTE, Fault, Process, Run, Workspace
from ..shapes_model import BACKBONE, shapes

HOOKS = "tests.faults.hooks"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"
PAGE = b"\n<!DOCTYPE html><html><body>404</body></html>" * 9
Spoil = Callable[[Path], Any]

NULL = "model.networks.0.null"  # a tensor of every model: the condition without a photo


def model(number: int, case: str, spoil: Spoil, *says: str, suffix: str = "safetensors", **more: Any) -> Fault:
    """Return the case of an unusable model, given to `revcd predict`: one short message, exit code 1."""

    def make(workspace: Workspace) -> list[str]:
        path = Path(workspace.write(f"model.{suffix}", shapes().model.read_bytes()))
        spoil(path)
        return workspace.predict(workspace.good(), "--model", path, "--weights", shapes().weights)

    def one_message(workspace: Workspace, run: Run) -> None:
        errors = [line for line in run.stderr.splitlines() if not line.startswith("hint: ")]
        assert len(errors) == 1, run.stderr
        assert len(errors[0]) < len(str(workspace.inputs)) + 400

    return Fault(number, case, make, 1, says=("model", *says), then=one_message, **more)


def weights(number: int, case: str, spoil: Spoil, *says: str, suffix: str = "safetensors") -> Fault:
    """Return the case of unusable backbone weights, given to `revcd extract`."""

    def make(workspace: Workspace) -> list[str]:
        path = Path(workspace.write(f"weights.{suffix}", shapes().weights.read_bytes()))
        spoil(path)
        output = str(workspace.outputs / "f.npz")
        return ["extract", workspace.good(), "-o", output, "--backbone", BACKBONE, "--weights", str(path)]

    return Fault(number, case, make, 1, says=("weights", *says), then=not_run)


def replaced_by(data: bytes) -> Spoil:
    return lambda path: path.write_bytes(data)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def junk_behind(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"junk")


def torch_file(path: Path) -> None:
    """Write a zip in the layout of torch.save."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"epoch": 3}, protocol=2))


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, workspace: Path) -> None:
        self.sentinel = workspace / "executed"

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.sentinel), "w")


def evil(path: Path) -> None:
    path.write_bytes(pickle.dumps(Evil(path.parent.parent), protocol=2))


def evil_zip(path: Path) -> None:
    stream = io.BytesIO(pickle.dumps({"state_dict": Evil(path.parent.parent)}, protocol=2))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        archive.writestr("archive/version", "3\n")


def not_run(workspace: Workspace, run: Run) -> None:
    assert not (workspace.root / "executed").exists()


def in_metadata(change: Callable[[dict[str, Any]], Any]) -> Spoil:
    def spoil(path: Path) -> None:
        document, tensors = read_metadata(path), safetensors.numpy.load_file(path)
        change(document)
        path.write_bytes(safetensors.numpy.save(tensors, {"revcd": json.dumps(document)}))

    return spoil


def in_tensors(change: Callable[[dict[str, np.ndarray]], Any]) -> Spoil:
    def spoil(path: Path) -> None:
        document, tensors = read_metadata(path), safetensors.numpy.load_file(path)
        change(tensors)
        path.write_bytes(safetensors.numpy.save(tensors, {"revcd": json.dumps(document)}))

    return spoil


def without_metadata(path: Path) -> None:
    path.write_bytes(safetensors.numpy.save(safetensors.numpy.load_file(path)))


def metadata_text(path: Path) -> None:
    path.write_bytes(safetensors.numpy.save({"a": np.zeros(1)}, {"revcd": "{"}))


def no_tensors(tensors: dict[str, np.ndarray]) -> None:
    for name in [name for name in tensors if name != "class_table"]:
        del tensors[name]


def named_five(workspace: Workspace, run: Run) -> None:
    assert run.stderr.count(" is missing") == 5 and " more" in run.stderr


def predict_with(*more: str) -> Callable[[Workspace], list[str]]:
    return lambda workspace: workspace.predict(workspace.good(), "--model", shapes().model, *more)


def own_weights(workspace: Workspace) -> list[str]:
    """Give the model's network other weights than those it was trained with."""
    path = workspace.write("other.safetensors", shapes().weights.read_bytes())
    in_weights = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file({name: np.asarray(value + 1) for name, value in in_weights.items()}, path)
    return workspace.predict(workspace.good(), "--model", shapes().model, "--weights", path)


def exchanged(workspace: Workspace) -> list[str]:
    """Predict with a model that another program replaces while it is loaded."""
    path = workspace.write("model.safetensors", shapes().model.read_bytes())
    return workspace.predict(workspace.good(), "--model", path, "--weights", shapes().weights)


def extract_from(tag: str) -> Callable[[Workspace], list[str]]:
    return lambda workspace: [
        "extract",
        workspace.good(),
        "-o",
        str(workspace.outputs / "f.npz"),
        "--backbone",
        tag,
        "--offline",
    ]


def little_memory(workspace: Workspace, run: Run) -> None:
    assert run.memory < workspace.run(["models", "show", "animals"]).memory + 50 * MEGABYTE


MODELS = (
    ("missing", Path.unlink, "there is no such file", "revcd models list"),
    ("a folder", a_folder, "is a folder"),
    ("empty", replaced_by(b""), "is empty"),
    ("one byte", replaced_by(b"\5"), "is damaged or of another kind"),
    ("cut short", cut, "is damaged"),
    ("junk behind its end", junk_behind, "is damaged"),
    ("a torch file renamed", torch_file, "is a PyTorch pickle"),
    ("a web page", replaced_by(PAGE), "is a web page"),
    ("a Git LFS pointer", replaced_by(LFS), "is a Git LFS pointer"),
    ("a header of a terabyte", replaced_by((10**12).to_bytes(8, "little") + b"{}"), "is damaged or of another kind"),
    ("a text", replaced_by(b"class,stripes\nzebra,1\n" * 9), "is damaged or of another kind"),
)
WEIGHTS = (
    ("missing", Path.unlink, "no such weights file"),
    ("a folder", a_folder, "is not a regular file"),
    ("empty", replaced_by(b""), "is empty"),
    ("cut short", cut, "truncated or damaged safetensors"),
    ("a web page", replaced_by(PAGE), "is a web page"),
    ("a Git LFS pointer", replaced_by(LFS), "git lfs pull"),
)
FAULTS: Sequence[Fault] = (
    *(model(78, f"a model that is {case}", spoil, *says) for case, spoil, *says in MODELS),
    *(weights(78, f"weights that are {case}", spoil, *says) for case, spoil, *says in WEIGHTS),
    model(79, "a pickle that runs code, as a model", evil, "is a PyTorch pickle", suffix="pt"),
    weights(79, "a pickle that runs code, as weights", evil, "could run code", suffix="pt"),
    weights(79, "a torch file that runs code, as weights", evil_zip, "could run code", suffix="pth"),
    model(80, "no metadata", without_metadata, "no readable revcd metadata"),
    model(80, "metadata that is not JSON", metadata_text, "no readable revcd metadata"),
    model(
        80,
        "a newer format",
        in_metadata(lambda d: d.update(format=FORMAT + 1)),
        f"model format {FORMAT + 1}",
        "Upgrade",
    ),
    model(
        80,
        "an older format",
        in_metadata(lambda d: d.update(format=OLDEST_FORMAT - 1)),
        f"model format {OLDEST_FORMAT - 1}",
        differs="Models of formats 1 to 3 are refused with advice, not converted: format 1 lacks a calibration unit "
        "that can only be computed from the training photos.",
    ),
    model(80, "an unknown setting", in_metadata(lambda d: d["config"]["train"].update(epoch=1)), "train.epoch"),
    model(80, "an unknown field", in_metadata(lambda d: d["backbone"].update(colour=1)), "colour"),
    model(80, "a part of the metadata missing", in_metadata(lambda d: d.pop("config")), "incomplete or wrong"),
    model(81, "a tensor missing", in_tensors(lambda t: t.pop(NULL)), "networks.0.null is missing"),
    model(
        81, "an additional tensor", in_tensors(lambda t: t.update({"model.odd": np.zeros(1)})), "odd is not expected"
    ),
    model(
        81, "a tensor of another shape", in_tensors(lambda t: t.update({NULL: np.zeros(3)})), "networks.0.null is (3,)"
    ),
    model(81, "no tensors at all", in_tensors(no_tensors), " more."),
    model(82, "NaN among the weights", in_tensors(lambda t: t[NULL].fill(np.nan)), "not finite numbers"),
    model(82, "infinity among the weights", in_tensors(lambda t: t[NULL].fill(np.inf)), "not finite numbers"),
    model(83, "a column without name", in_metadata(lambda d: d["classes"]["attributes"].pop()), "5 attributes"),
    model(83, "a class without row", in_metadata(lambda d: d["classes"]["names"].append("x")), "7 classes"),
    Fault(84, "other weights than the model's", own_weights, 1, says=("sha256 begins with", "expected")),
    Fault(85, "a backbone that is not installed", extract_from("resnet50.a1_in1k"), 1, says=("HF_HOME", "--weights")),
    Fault(
        85, "a model's backbone that is not installed", predict_with("--offline"), 1, says=("HF_HUB_CACHE", "--weights")
    ),
    Fault(
        86,
        "replaced while it is loaded",
        exchanged,
        0,
        {"good.png": "ok"},
        changes=("model.safetensors",),
        process=lambda workspace: Process(
            hook=(HOOKS, "replace_while_loading", f"{workspace.inputs}/model.safetensors")
        ),
    ),
)
