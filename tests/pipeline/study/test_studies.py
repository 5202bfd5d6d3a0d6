"""The studies of the paper: their numbers agree with `train` and `evaluate`, and their plots can be opened."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import revcd_cli.pipeline.study.cls_weight as cls_weight_module
from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.core.sample import ddpm_sample
from revcd_cli.errors import ConfigError, InputFileError, LeakError, UsageError
from revcd_cli.pipeline.evaluate.evaluate import evaluate
from revcd_cli.pipeline.study.cls_weight import study_cls_weight
from revcd_cli.pipeline.study.denoise import choose_photos, fit_plane, study_denoise
from revcd_cli.pipeline.train.train import train
from revcd_cli.reports.plots.figures import plot_cls_weight
from revcd_cli.reports.studies import write_cls_weight_plots, write_denoise
from revcd_cli.system.image_noise import image_generator


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


def check_pictures(folder: Path, stem: str) -> None:
    with Image.open(folder / f"{stem}.png") as picture:
        picture.load()
        assert min(picture.size) > 300
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10  # not blank
    assert ElementTree.parse(folder / f"{stem}.svg").getroot().tag.endswith("svg")


@pytest.fixture(scope="module")
def config(small_config):
    return small_config(train={"epochs": 2, "evaluate_every": 1})


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """The (weight, seed) pairs that were trained."""
    done = []

    def counted(dataset, config, output, *, seed, **options):
        done.append((config.loss.cls_weight, seed))
        return train(dataset, config, output, seed=seed, **options)

    monkeypatch.setattr(cls_weight_module, "train", counted)
    return done


@pytest.mark.slow
@pytest.mark.parametrize("test", [False, True])
def test_each_row_has_the_metrics_of_a_training_with_its_weight(test: bool, make_toy, config, tmp_path: Path):
    dataset = make_toy()
    folder = tmp_path / "study"
    results = study_cls_weight(dataset, config, folder, weights=[0.5, 0.0], seeds=[0, 1], test=test, device="cpu")
    rows = read_csv(tmp_path / "study/cls_weight.csv")
    assert [(float(row["weight"]), int(row["seed"])) for row in rows] == [(0, 0), (0, 1), (0.5, 0), (0.5, 1)]
    for row in rows:
        alone = dataclasses.replace(config, loss=dataclasses.replace(config.loss, cls_weight=float(row["weight"])))
        model = tmp_path / f"{row['weight']}-{row['seed']}.safetensors"
        figures = train(dataset, alone, model, seed=int(row["seed"]), device="cpu").validation
        if test:
            figures = evaluate(load_checkpoint(model), dataset, device="cpu").headline()
        assert {name: float(row[name]) for name in ("S", "U", "H", "T1")} == {
            name: figures[name] for name in ("S", "U", "H", "T1")
        }
        assert row["split"] == ("test" if test else "validation")
    write_cls_weight_plots(tmp_path / "study", results, dataset.name)
    check_pictures(tmp_path / "study", "cls_weight")
    names = {path.name for path in (tmp_path / "study").iterdir()}
    assert names == {"cls_weight.csv", "cls_weight.json", "cls_weight.png", "cls_weight.svg"}


@pytest.mark.slow
def test_results_do_not_depend_on_the_order_of_weights_or_on_resuming(make_toy, config, tmp_path: Path, trainings):
    dataset = make_toy()
    study_cls_weight(dataset, config, tmp_path / "once", weights=[0.0, 0.1, 1.0], seeds=[0], device="cpu")
    study_cls_weight(dataset, config, tmp_path / "twice", weights=[1.0], seeds=[0], device="cpu")
    study_cls_weight(dataset, config, tmp_path / "twice", weights=[0.1, 1.0, 0.0], seeds=[0], device="cpu")
    assert trainings == [(0.0, 0), (0.1, 0), (1.0, 0), (1.0, 0), (0.0, 0), (0.1, 0)]
    for path in (tmp_path / "once").iterdir():
        assert path.read_bytes() == (tmp_path / "twice" / path.name).read_bytes()


def test_an_interrupted_study_keeps_its_finished_rows(make_toy, config, tmp_path: Path, trainings, monkeypatch):
    def interrupted(*arguments, **options):
        if trainings:
            raise KeyboardInterrupt
        return counted(*arguments, **options)

    counted = cls_weight_module.train
    monkeypatch.setattr(cls_weight_module, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study_cls_weight(make_toy(), config, tmp_path, weights=[0.0, 1.0], seeds=[0], device="cpu")
    monkeypatch.setattr(cls_weight_module, "train", counted)
    results = study_cls_weight(make_toy(), config, tmp_path, weights=[0.0, 1.0], seeds=[0], device="cpu")
    assert trainings == [(0.0, 0), (1.0, 0)]
    assert [result.weight for result in results] == [0.0, 1.0]


def test_results_of_other_settings_are_kept_unless_overwritten(
    make_toy, config, small_config, tmp_path: Path, trainings
):
    study_cls_weight(make_toy(), config, tmp_path, weights=[0.0], seeds=[0], device="cpu")
    before = (tmp_path / "cls_weight.csv").read_bytes()
    longer = small_config(train={"epochs": 3, "evaluate_every": 1})
    for change in ({"config": longer}, {"dataset": make_toy(n_seen=5)}, {"test": True}):
        other = {"dataset": make_toy(), "config": config} | change
        with pytest.raises(UsageError, match="other settings"):
            study_cls_weight(output=tmp_path, weights=[0.0], seeds=[0], device="cpu", **other)
        assert (tmp_path / "cls_weight.csv").read_bytes() == before
    study_cls_weight(make_toy(), longer, tmp_path, weights=[1.0], seeds=[0], device="cpu", overwrite=True)
    assert [row["weight"] for row in read_csv(tmp_path / "cls_weight.csv")] == ["1.0"]
    assert json.loads((tmp_path / "cls_weight.json").read_text())["settings"]["config"]["train"]["epochs"] == 3
    assert len(trainings) == 2


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("cls_weight.csv", "weight,seed\n0.0,0\n", InputFileError),
        ("cls_weight.csv", "weight,seed,S,U,H,T1,split\n0.0,0,many,0,0,0,test\n", InputFileError),
        ("cls_weight.json", "not JSON", UsageError),
        ("cls_weight.json", "[]", UsageError),
    ],
)
def test_damaged_result_files_are_refused(name, content, error, make_toy, config, tmp_path: Path):
    study_cls_weight(make_toy(), config, tmp_path, weights=[0.0], seeds=[0], device="cpu")
    (tmp_path / name).write_text(content)
    with pytest.raises(error, match=name):
        study_cls_weight(make_toy(), config, tmp_path, weights=[0.0], seeds=[0], device="cpu")


def test_invalid_requests_are_refused_before_any_training(make_toy, config, small_config, tmp_path, trainings):
    unchecked = small_config(train={"validation_classes": 0.0})
    with pytest.raises(UsageError, match="no validation photos"):
        study_cls_weight(make_toy(), unchecked, tmp_path / "a", weights=[0.0], seeds=[0])
    with pytest.raises(ConfigError, match="cls_weight"):
        study_cls_weight(make_toy(), config, tmp_path / "a", weights=[0.0, -1.0], seeds=[0])
    assert not trainings
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("weights", [[0.0], [0.3], [0.0, 1.0], [0.1, 1.0], [k / 10 for k in range(12)]])
@pytest.mark.parametrize("unseen", [0.4, None])
def test_plots_of_any_weights_are_valid_and_repeat_byte_for_byte(weights: list[float], unseen: float | None):
    figures = {"S": 0.9, "U": unseen, "H": unseen, "T1": unseen}
    results = [{"weight": weight, "seed": seed, "figures": figures} for weight in weights for seed in (0, 1)]
    png, svg = plot_cls_weight(results, "a $strange_{ name, test photos")
    assert (png, svg) == plot_cls_weight(results, "a $strange_{ name, test photos")
    Image.open(io.BytesIO(png)).verify()
    ElementTree.fromstring(svg)


@pytest.fixture(scope="module")
def denoised(toy_model, tmp_path_factory: pytest.TempPathFactory):
    """(folder, samples) of the denoising chains of the toy model."""
    folder = tmp_path_factory.mktemp("denoise")
    checkpoint = load_checkpoint(toy_model.path)
    samples = study_denoise(checkpoint, toy_model.dataset, photos=4, panels=6, seed=5, device="cpu")
    write_denoise(folder, samples, toy_model.dataset)
    return folder, samples


def test_points_and_cosines_are_those_of_the_chain_of_each_photo_run_alone(toy_model, denoised):
    folder, samples = denoised
    dataset, model = toy_model.dataset, load_checkpoint(toy_model.path).model.networks[0]
    z = model.precondition(torch.from_numpy(dataset.classes.values))
    centred = (z - z.mean(0)).double().numpy()
    _, directions = np.linalg.eigh(centred.T @ centred)
    rows = read_csv(folder / "denoise.csv")
    assert samples.times == (50, 40, 30, 20, 10, 0)
    assert len(rows) == 6 * len(samples.rows)
    for photo in (0, len(samples.rows) - 1):
        feature = dataset.features[samples.rows[photo]]
        generator = image_generator(5, feature.tobytes())
        chain = {}
        with torch.inference_mode():
            condition = model.encode(torch.from_numpy(feature[None]))
            ddpm_sample(
                lambda s_t, t, condition=condition: model.estimate(s_t, t, condition),
                model.schedule,
                lambda generator=generator: torch.randn(1, model.n_attributes, generator=generator),
                on_step=chain.__setitem__,
            )
        assert sorted(chain) == list(range(51))
        for step, t in enumerate(samples.times):
            row = rows[step * len(samples.rows) + photo]
            point = (chain[t][0] - z.mean(0)).double().numpy() @ directions[:, [-1, -2]]
            assert (int(row["step"]), int(row["t"])) == (step, t)
            # A principal component has no sign.
            np.testing.assert_allclose(np.abs([float(row["x"]), float(row["y"])]), np.abs(point), atol=1e-3)
            own = z[dataset.labels[samples.rows[photo]]]
            assert float(row["cosine"]) == pytest.approx(float(torch.cosine_similarity(chain[t][0], own, 0)), abs=1e-4)


def test_rows_name_test_photos_and_their_classes(toy_model, denoised):
    folder, samples = denoised
    dataset = toy_model.dataset
    tested = {dataset.paths[row]: "true" for row in dataset.split.test_seen}
    tested |= {dataset.paths[row]: "false" for row in dataset.split.test_unseen}
    for row in read_csv(folder / "denoise.csv"):
        assert row["photo"].startswith(f"{row['class']}/")
        assert row["seen"] == tested[row["photo"]]
    assert samples.mean_cosine(5, True) == pytest.approx(
        np.mean(
            [float(r["cosine"]) for r in read_csv(folder / "denoise.csv") if r["t"] == "0" and r["seen"] == "true"]
        ),
        abs=1e-5,
    )
    check_pictures(folder, "denoise")


def test_the_photos_chosen_for_a_class_do_not_depend_on_other_classes(make_toy):
    dataset = make_toy()
    fewer = dataclasses.replace(dataset.split, test_unseen=dataset.split.test_unseen[:0])
    chosen = choose_photos(dataset, 3, 0)
    assert np.bincount(dataset.labels[chosen]).tolist() == [3] * 8
    assert set(choose_photos(dataclasses.replace(dataset, split=fewer), 3, 0)) == {
        row for row in chosen if dataset.labels[row] < 6
    }
    assert len(choose_photos(dataset, 1000, 0)) == len(dataset.split.test_seen) + len(dataset.split.test_unseen)


@pytest.mark.parametrize("shape", [(1, 4), (2, 4), (5, 1), (6, 4)])
def test_the_plane_is_finite_and_its_signs_do_not_depend_on_the_order_of_classes(shape: tuple[int, int]):
    z = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    plane = fit_plane(z)
    assert plane(z).shape == (shape[0], 2)
    assert np.isfinite(plane(z)).all()
    assert 0 <= sum(plane.explained) <= 1 + 1e-6
    np.testing.assert_allclose(fit_plane(z[::-1])(z), plane(z), atol=1e-4)


@pytest.mark.parametrize("photos", [1, 2])
def test_a_plot_with_too_few_samples_for_a_density_is_drawn(photos: int, toy_model, tmp_path: Path):
    unseen = toy_model.dataset.split.test_unseen
    checkpoint = load_checkpoint(toy_model.path)
    samples = study_denoise(checkpoint, toy_model.dataset, photos=photos, panels=2, device="cpu")
    write_denoise(tmp_path, samples, toy_model.dataset)
    assert (~samples.seen).sum() == photos * len(np.unique(toy_model.dataset.labels[unseen]))
    check_pictures(tmp_path, "denoise")


def test_the_denoise_study_refuses_too_many_panels_and_other_datasets(toy_model, make_toy):
    checkpoint = load_checkpoint(toy_model.path)
    with pytest.raises(UsageError, match="50 steps"):
        study_denoise(checkpoint, toy_model.dataset, panels=60)
    with pytest.raises(LeakError):
        study_denoise(checkpoint, make_toy(n_seen=5))
