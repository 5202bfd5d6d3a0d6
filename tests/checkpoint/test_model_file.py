"""Model files: a saved model loads bit for bit, and each kind of damage has its own message."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import revcd_cli.checkpoint.metadata as metadata_module
from revcd_cli.checkpoint.calibration import Calibration
from revcd_cli.checkpoint.metadata import FORMAT, find_checkpoint, list_checkpoints, read_metadata
from revcd_cli.checkpoint.model_file import Checkpoint, load_checkpoint, save_checkpoint
from revcd_cli.config import RULES, InferenceConfig
from revcd_cli.errors import CheckpointError
from revcd_cli.system.files import file_sha256
from tests.makers.model_files import (
    CALIBRATIONS,
    FEATURE_DIM,
    KINDS,
    NULL,
    make_checkpoint,
    rewrite,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, make_checkpoint())
    return path


def with_header(header: Any) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_loaded_weights_are_bitwise_equal_to_the_saved_ones(tmp_path: Path, settings: dict):
    before = make_checkpoint(settings)
    save_checkpoint(tmp_path / "model", before)
    after = load_checkpoint(tmp_path / "model")
    kept, loaded = before.model.state_dict(), after.model.state_dict()
    assert kept.keys() == loaded.keys()
    assert all(torch.equal(kept[name], loaded[name]) for name in kept)
    assert not after.model.training


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_a_loaded_model_gives_identical_scores(tmp_path: Path, settings: dict, rule: str):
    before = make_checkpoint(settings)
    save_checkpoint(tmp_path / "model", before)
    after = load_checkpoint(tmp_path / "model")
    photos = torch.randn(3, FEATURE_DIM, generator=torch.Generator().manual_seed(1))

    def scores(checkpoint: Checkpoint) -> torch.Tensor:
        generators = [torch.Generator().manual_seed(k) for k in range(3)]
        table = torch.from_numpy(checkpoint.classes.values)
        return checkpoint.model.eval().score(photos, table, InferenceConfig(rule=rule), generators)

    assert torch.equal(scores(before), scores(after))


def test_everything_except_the_weights_is_read_back(saved: Path):
    before, after = make_checkpoint(), load_checkpoint(saved)
    for name in ("seen", "backbone", "calibrations", "dataset", "metrics", "seed"):
        assert getattr(after, name) == getattr(before, name)
    assert after.model.config == before.model.config
    assert after.classes.names == before.classes.names and after.classes.attributes == before.classes.attributes
    assert np.array_equal(after.classes.values, before.classes.values)
    assert after.name == "model" and after.sha256 == file_sha256(saved)


def test_the_same_checkpoint_gives_the_same_bytes(saved: Path, tmp_path: Path):
    save_checkpoint(tmp_path / "again", make_checkpoint())
    save_checkpoint(tmp_path / "loaded", load_checkpoint(saved))
    assert file_sha256(tmp_path / "again") == file_sha256(tmp_path / "loaded") == file_sha256(saved)


def test_a_rule_without_validation_has_no_calibration():
    checkpoint = make_checkpoint()
    assert checkpoint.calibration_for("cosine") == CALIBRATIONS["cosine"]
    checkpoint = dataclasses.replace(checkpoint, calibrations={"evidence": CALIBRATIONS["evidence"]})
    assert checkpoint.calibration_for("cosine") == Calibration()


METADATA_ONLY = """
import json, sys
from pathlib import Path
from revcd_cli.checkpoint.metadata import read_metadata
document = read_metadata(Path(sys.argv[1]))
assert not {"torch", "numpy", "safetensors"} & sys.modules.keys()
print(json.dumps(document))
"""


def test_metadata_are_read_without_torch(saved: Path):
    command = [sys.executable, "-c", METADATA_ONLY, str(saved)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    document = json.loads(printed)
    assert document == read_metadata(saved)
    assert document["format"] == FORMAT
    assert document["classes"]["seen"] == sorted(make_checkpoint().seen)
    assert document["calibrations"] == {rule: dataclasses.asdict(each) for rule, each in CALIBRATIONS.items()}


class Evil:
    """Its pickle creates a file when it is loaded."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple:
        return Path.touch, (self.sentinel,)


def test_a_pickle_is_refused_and_not_executed(tmp_path: Path):
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Evil(tmp_path / "sentinel"), protocol=2))
    with pytest.raises(CheckpointError, match="PyTorch pickle"):
        load_checkpoint(tmp_path / "model.pt")
    assert not (tmp_path / "sentinel").exists()


def replaced_by(data: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(data)


def without_its_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def with_junk_behind(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"junk")


def cut_in_its_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_torch_file(path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, path)


def no_metadata(path: Path) -> None:
    path.write_bytes(safetensors.torch.save({"weight": torch.zeros(3)}))


def weights_of_a_terabyte(path: Path) -> None:
    header = {"class_table": {"dtype": "F32", "shape": [250_000, 1_000_000], "data_offsets": [0, 10**12]}}
    path.write_bytes(with_header(header | {"__metadata__": {"revcd": json.dumps(read_metadata(path))}}))


def metadata_text(text: str) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(safetensors.torch.save({"weight": torch.zeros(3)}, {"revcd": text}))


def in_metadata(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda path: rewrite(path, document=change)


def in_calibration(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return in_metadata(lambda document: change(document["calibrations"]["cosine"]))


def in_tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    return lambda path: rewrite(path, tensors=change)


DAMAGE = {
    "missing": (Path.unlink, "there is no such file"),
    "folder": (a_folder, "is a folder"),
    "empty": (replaced_by(b""), "is empty"),
    "one byte": (replaced_by(b"\x05"), "is damaged or of another kind"),
    "truncated": (without_its_end, "is damaged"),
    "cut header": (cut_in_its_header, "is damaged or of another kind"),
    "trailing junk": (with_junk_behind, "is damaged"),
    "web page": (replaced_by(b"\n<!DOCTYPE html><html>not found</html>" * 9), "is a web page"),
    "LFS pointer": (
        replaced_by(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
        "is a Git LFS pointer",
    ),
    "torch file": (a_torch_file, "is a PyTorch pickle"),
    "text": (replaced_by(b"class,stripes\nzebra,1\n" * 9), "is damaged or of another kind"),
    "header of 1 TB": (replaced_by((10**12).to_bytes(8, "little") + b"{}"), "is damaged or of another kind"),
    "weights of 1 TB": (weights_of_a_terabyte, "is damaged"),
    "header no JSON": (replaced_by((4).to_bytes(8, "little") + b"null" * 9), "no readable revcd metadata"),
    "header a list": (replaced_by(with_header([1, 2])), "no readable revcd metadata"),
    "deep header": (replaced_by((90_000).to_bytes(8, "little") + b"[" * 90_000), "no readable revcd metadata"),
    "no metadata": (no_metadata, "no readable revcd metadata"),
    "metadata no JSON": (metadata_text("{"), "no readable revcd metadata"),
    "metadata a list": (metadata_text("[]"), "model format None"),
    "newer format": (in_metadata(lambda d: d.update(format=FORMAT + 1)), f"model format {FORMAT + 1}"),
    "older format": (in_metadata(lambda d: d.update(format=1)), "model format 1"),
    "no calibrations": (in_metadata(lambda d: d.pop("calibrations")), "metadata is incomplete or wrong"),
    "calibrations a list": (in_metadata(lambda d: d.update(calibrations=[1])), "metadata is incomplete or wrong"),
    "odd calibration": (in_calibration(lambda c: c.update(colour=1)), "metadata is incomplete or wrong"),
    "penalty a word": (in_calibration(lambda c: c.update(gamma="much")), "metadata is incomplete or wrong"),
    "NaN penalty": (in_calibration(lambda c: c.update(gamma=float("nan"))), "metadata is incomplete or wrong"),
    "temperature < 0": (in_calibration(lambda c: c.update(temperature=-1)), "metadata is incomplete or wrong"),
    "no config": (in_metadata(lambda d: d.pop("config")), "metadata is incomplete or wrong"),
    "unknown setting": (in_metadata(lambda d: d["config"]["train"].update(epoch=1)), 'Unknown setting "train.epoch"'),
    "setting out of range": (in_metadata(lambda d: d["config"]["train"].update(epochs=0)), "train.epochs"),
    "unknown backbone field": (in_metadata(lambda d: d["backbone"].update(colour=1)), "colour"),
    "an attribute less": (in_metadata(lambda d: d["classes"]["attributes"].pop()), "5 classes and 5 attributes"),
    "a class more": (in_metadata(lambda d: d["classes"]["names"].append("x")), "6 classes and 6 attributes"),
    "features wider": (in_metadata(lambda d: d["backbone"].update(feature_dim=10)), "expected (10,)"),
    "tensor missing": (in_tensors(lambda t: t.pop(NULL)), "null is missing"),
    "tensor extra": (in_tensors(lambda t: t.update({"model.odd": torch.zeros(1)})), "odd is not expected"),
    "tensor misshaped": (
        in_tensors(lambda t: t.update({NULL: torch.zeros(3)})),
        "null is (3,), expected (8,)",
    ),
    "no class table": (in_tensors(lambda t: t.pop("class_table")), "no class table"),
    "NaN weight": (
        in_tensors(lambda t: t[NULL].fill_(float("nan"))),
        "not finite numbers (model.networks.0.null)",
    ),
    "infinite weight": (in_tensors(lambda t: t[NULL][:1].fill_(float("inf"))), "not finite numbers"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_kind_of_damage_has_its_own_message(saved: Path, damage: str):
    make, words = DAMAGE[damage]
    make(saved)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(saved)
    assert words in caught.value.message and str(saved) in caught.value.message
    assert caught.value.exit_code == 1
    assert len(caught.value.message) < len(str(saved)) + 300


def test_an_error_about_many_mismatched_tensors_names_three(saved: Path):
    rewrite(saved, tensors=lambda tensors: [tensors.pop(name) for name in list(tensors) if name != "class_table"])
    with pytest.raises(CheckpointError, match=r"and \d+ more") as caught:
        load_checkpoint(saved)
    assert caught.value.message.count(" is missing") == 3


@pytest.fixture
def shipped(saved: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the folder of shipped models by one that contains animals and birds."""
    folder = saved.parent / "weights"
    folder.mkdir()
    for name in ("birds", "animals"):
        (folder / f"{name}.safetensors").write_bytes(saved.read_bytes())
    (folder / "README.md").write_text("not a model")
    monkeypatch.setattr(metadata_module, "shipped_folder", lambda: folder)
    return folder


def test_a_shipped_model_is_found_by_its_name(shipped: Path):
    assert [path.stem for path in list_checkpoints()] == ["animals", "birds"]
    assert find_checkpoint("birds") == shipped / "birds.safetensors"
    assert load_checkpoint("birds").name == "birds"


def test_a_file_takes_precedence_over_a_shipped_model_of_that_name(
    shipped: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("animals").write_bytes(saved.read_bytes())
    assert find_checkpoint("animals") == Path("animals")
    assert find_checkpoint(saved) == saved


def test_an_unknown_model_name_is_an_error_that_suggests_a_shipped_model(shipped: Path):
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint("animels")
    assert 'No model "animels"' in caught.value.message and 'did you mean "animals"?' in caught.value.message
    assert "models list" in caught.value.hint
