"""A dataset of known classes alone is trained on without any photo, on the embedded backbone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from revcd_cli.backbones.backbone import load_backbone
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.config import BackboneRecord, Config
from revcd_cli.data.datasets.open import open_dataset
from revcd_cli.errors import InputFileError, RevcdError
from revcd_cli.pipeline.extract.dataset_features import with_features
from revcd_cli.pipeline.known_classes.shipped_statistics import shipped_means
from revcd_cli.pipeline.known_classes.training_rows import training_rows
from revcd_cli.pipeline.predict.predictor import Predictor
from revcd_cli.pipeline.train.train import train
from revcd_cli.scoring.prototypes.known_classes import SHRINKAGE, WithinCovariance

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
TABLE = (
    "class,stripes,whiskers,fur\ntabby cat,60,90,80\nzebra,100,5,40\ntiger,90,60,70\nmarmot,0,30,80\nokapi,50,5,50\n"
)
KNOWN = "class,label\ntabby cat,tabby\ntabby cat,tiger cat\nzebra,zebra\ntiger,292\nmarmot,marmot\n"
CONFIG = Config.from_dict(
    {
        "train": {"epochs": 1},
        "prototypes": {"components": 16, "whitening": 0.0, "length": 2.0, "noise": 0.2, "own_share": 0.1},
        "class_network": {"width": 0},
        "encoder": {"width": 16, "heads": 2, "feedforward": 16},
        "denoiser": {"width": 16, "time_width": 8},
        "inference": {"rule": "prototype"},
    }
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "attributes.csv").write_text(TABLE)
    (tmp_path / "known.csv").write_text(KNOWN)
    return tmp_path


@pytest.mark.parametrize("backbone", ["embedded", "embedded@300"])
def test_known_classes_alone_make_a_model_that_names_a_photo(folder: Path, backbone: str):
    notes: list[str] = []
    dataset = with_features(open_dataset(str(folder)), backbone=backbone, on_note=notes.append)
    assert "nothing can be validated" in dataset.notes[0]
    rows = training_rows(dataset, dataset.split, 0)
    assert rows.labels.unique().tolist() == [0, 1, 2, 3] and (rows.features >= 0).all()
    checkpoint = load_checkpoint(train(dataset, CONFIG, folder / "m.safetensors", on_note=notes.append).output)
    assert any(note.startswith("No validation") for note in notes)
    assert (checkpoint.seen, len(checkpoint.known)) == (frozenset(), 4)
    (found,) = Predictor.from_checkpoint(folder / "m.safetensors").predict(EXAMPLES / "cat.jpg")
    assert (found.candidates[0].name, found.candidates[0].kind) == ("tabby cat", "known")


def test_another_size_of_photos_needs_photos_and_says_so(folder: Path):
    with pytest.raises(InputFileError, match="cannot be trained on without photos") as caught:
        with_features(open_dataset(str(folder)), backbone="embedded@64")
    assert caught.value.hint and "embedded or embedded@300" in caught.value.hint


def test_without_photos_and_known_classes_there_is_nothing_to_train_on(folder: Path):
    (folder / "known.csv").unlink()
    with pytest.raises(RevcdError):
        open_dataset(str(folder))


def test_shipped_statistics_are_for_two_sizes_of_the_embedded_backbone_only(folder: Path):
    records = [load_backbone(tag, precision="float32").record for tag in ("embedded", "embedded@300", "embedded@64")]
    usual, whole, small = map(shipped_means, records)
    assert usual is not None and whole is not None and small is None
    assert not torch.equal(usual.centre, whole.centre)
    assert shipped_means(BackboneRecord(tag="toy", weights_sha256="ab", preprocessing={}, feature_dim=1280)) is None


def test_gaussian_residuals_have_the_covariance_of_the_factor():
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(2, 4, generator=generator).double()
    within = WithinCovariance(factor, rest=0.3, of_photos=False)
    drawn = within.draw(200_000, generator)
    covariance = factor.T @ factor / 2 + 0.3 * torch.eye(4).double()
    torch.testing.assert_close(drawn.T @ drawn / len(drawn), covariance, atol=0.03, rtol=0.03)
    size = covariance.diagonal().mean()
    expected = (1 - SHRINKAGE) * covariance + SHRINKAGE * size * torch.eye(4)
    torch.testing.assert_close(within.times(torch.eye(4).double()), expected)
