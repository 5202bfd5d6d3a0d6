"""Spatial tokens, from extraction to prediction: feature files, training and evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from revcd_cli.backbones.backbone import load_backbone
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.config import BackboneRecord, Config
from revcd_cli.data.datasets.open import open_dataset
from revcd_cli.data.features.files import read_features
from revcd_cli.errors import ConfigError, UsageError
from revcd_cli.pipeline.evaluate.evaluate import evaluate
from revcd_cli.pipeline.extract.dataset_features import with_features, with_recorded_features
from revcd_cli.pipeline.extract.extract import extract
from revcd_cli.pipeline.extract.journal import FeatureJournal
from revcd_cli.pipeline.predict.predictor import Predictor
from revcd_cli.pipeline.train.train import train

TINY = "test_resnet.r160_in1k"
TOKENS, CHANNELS = 25, 96
COLOURS = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220), "grey": (120, 120, 120)}
UNSEEN = {"yellow": (220, 220, 30)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset of noisy photos of colours; the attributes are red, green and blue."""
    root = tmp_path / "colours"
    table, listed = ["class,red,green,blue"], ["path,class,split"]
    for name, colour in (COLOURS | UNSEEN).items():
        table.append(",".join([name, *(f"{value / 255:.3f}" for value in colour)]))
        (root / name).mkdir(parents=True)
        for number in range(8):
            noise = np.random.default_rng([len(listed), number]).normal(0, 25, (40, 40, 3))
            pixels = np.clip(noise + colour, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
            part = "test_unseen" if name in UNSEEN else "test_seen" if number < 2 else "trainval"
            listed.append(f"{name}/{number}.png,{name},{part}")
    (root / "attributes.csv").write_text("\n".join(table))
    (root / "images.csv").write_text("\n".join(listed))
    return root


@pytest.fixture
def spatial(small_config: Callable[..., Config]) -> Config:
    return small_config(encoder={"tokens": "spatial"}, train={"epochs": 2})


def run(folder: Path, output: Path, weights: Path, **options: object) -> list[str]:
    """Extract, and return the notes."""
    notes: list[str] = []
    options = {"backbone": TINY, "weights": weights, "precision": "float32", "on_note": notes.append, **options}
    extract([str(folder)], output, **options)
    return notes


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_tokens_are_read_back_from_a_file_with_their_number(
    folder: Path, tmp_path: Path, weights: Path, suffix: str
) -> None:
    (folder / "red" / "0.png").write_bytes(b"")
    run(folder / "red", tmp_path / f"f{suffix}", weights, tokens=True)
    run(folder / "red", tmp_path / "pooled.parquet", weights)

    found, pooled = read_features(tmp_path / f"f{suffix}"), read_features(tmp_path / "pooled.parquet")

    assert (found.backbone.tokens, found.features.shape) == (TOKENS, (8, TOKENS * CHANNELS))
    assert found.status == ("failed", *["ok"] * 7)
    assert found.backbone == load_backbone(TINY, weights=weights, precision="float32", tokens=True).record
    means = found.features.reshape(8, TOKENS, CHANNELS).mean(1)
    np.testing.assert_allclose(means, pooled.features, rtol=1e-4, atol=1e-5)


def test_tokens_in_a_mat_file_are_refused_before_any_work(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="without spatial tokens"):
        extract([str(folder)], tmp_path / "f.mat", backbone="no such backbone", tokens=True)


def test_the_size_of_the_tokens_is_reported(folder: Path, tmp_path: Path, weights: Path) -> None:
    details: list[str] = []
    notes = run(folder / "red", tmp_path / "f.parquet", weights, tokens=True, on_detail=details.append)
    assert any("25 tokens of 96-d" in note for note in notes)
    assert any("25 tokens of 96 values per photo (10 kB)" in detail for detail in details)


def test_an_interrupted_extraction_of_pooled_features_is_not_resumed_with_tokens(
    folder: Path, tmp_path: Path, weights: Path
) -> None:
    def stop(done: int, total: int | None, failed: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    output = tmp_path / "f.parquet"
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr("revcd_cli.pipeline.journal.SHARD_ROWS", 8)
        run(folder, output, weights, on_progress=stop)
    with pytest.raises(UsageError, match=r"backbone\.tokens was 0 and is 25"):
        run(folder, output, weights, tokens=True)
    run(folder, output, weights, tokens=True, fresh=True)
    assert read_features(output).backbone.tokens == TOKENS


@pytest.mark.parametrize(("values", "rows"), [(2048, 256), (49 * 2048, 83), (81 * 1280, 80), (1369 * 1536, 16)])
def test_a_shard_of_long_rows_has_fewer_of_them(tmp_path: Path, values: int, rows: int) -> None:
    record = BackboneRecord(tag="t", weights_sha256="ab", preprocessing={}, feature_dim=values)
    assert FeatureJournal(tmp_path / "f.parquet", record, {}).shard_rows == rows


def test_a_model_trained_on_the_tokens_of_a_folder_classifies_photos(
    folder: Path, tmp_path: Path, weights: Path, spatial: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("revcd_cli.pipeline.extract.feature_cache.features_cache", lambda: tmp_path / "cache")
    options = {"backbone": TINY, "weights": weights, "precision": "float32"}
    plain = open_dataset(str(folder))
    dataset = with_features(plain, tokens=True, **options)
    assert dataset.features.shape == (40, TOKENS * CHANNELS)
    assert with_features(plain, **options).features.shape == (40, CHANNELS)

    train(dataset, spatial, tmp_path / "m.safetensors", device="cpu")

    checkpoint = load_checkpoint(tmp_path / "m.safetensors")
    assert checkpoint.backbone == dataset.backbone
    assert checkpoint.model.networks[0].encoder.position.shape[0] == TOKENS
    again = with_recorded_features(plain, checkpoint, weights=weights, precision="float32")
    np.testing.assert_array_equal(again.features, dataset.features)
    assert evaluate(checkpoint, again).headline()["T1"] == 1  # there is one unseen class
    predictor = Predictor.from_checkpoint(tmp_path / "m.safetensors", weights=weights, precision="float32")
    answers = predictor.predict([folder / "yellow"])
    assert [answer.status for answer in answers] == ["ok"] * 8
    assert {answer.best.name for answer in answers} <= {*COLOURS, *UNSEEN}


def test_pooled_features_are_refused_for_a_model_of_tokens_and_vice_versa(
    folder: Path, tmp_path: Path, weights: Path, spatial: Config, small_config: Callable[..., Config]
) -> None:
    run(folder, tmp_path / "pooled.npz", weights)
    run(folder, tmp_path / "tokens.npz", weights, tokens=True)
    for file, config, words in (
        ("pooled.npz", spatial, "needs features with spatial tokens"),
        ("tokens.npz", small_config(), "these are 25 spatial tokens"),
    ):
        dataset = open_dataset(str(folder), features=str(tmp_path / file))
        with pytest.raises(ConfigError, match=words):
            train(dataset, config, tmp_path / "m.safetensors", device="cpu")
        assert not (tmp_path / "m.safetensors").exists()
