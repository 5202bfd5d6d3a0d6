"""Photos of new classes: given at prediction, kept in model files, and "others" as a class for rejection."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from revcd_cli.checkpoint.model_file import load_checkpoint, save_checkpoint
from revcd_cli.config import InferenceConfig
from revcd_cli.errors import UsageError
from revcd_cli.pipeline.predict.given_photos import photos_of_arguments
from revcd_cli.pipeline.predict.predictor import PHOTO_RULES, Predictor
from revcd_cli.scoring.rows import score_rows
from tests.makers.predictions import EXAMPLES, pattern


@pytest.fixture(scope="module")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four pictures of one kind, which is no animal."""
    folder = tmp_path_factory.mktemp("patterns")
    for number in range(4):
        pattern(number).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def given(predictor: Predictor, patterns: Path) -> Predictor:
    return predictor.with_photos({"pattern": sorted(patterns.iterdir())[:3]})


def test_a_class_without_a_description_is_a_candidate_and_its_other_photos_are_found(
    predictor: Predictor, given: Predictor, patterns: Path
):
    names = given.candidates().names
    assert names == (*predictor.candidates().names, "pattern")
    assert given.inference == predictor.inference  # the rule of the model
    assert given.predict(patterns / "3.png")[0].best.name == "pattern"
    assert given.predict(EXAMPLES / "cat.jpg")[0].best.name != "pattern"


def test_without_a_description_photos_update_the_gaussian_of_any_class(given: Predictor):
    prototypes = given.checkpoint.model.prototypes
    photos = given.checkpoint.photos
    assert photos is not None and photos.counts == (3,)
    candidates = given.candidates()
    means, variances = prototypes.candidates(candidates.prototypes, candidates.scoring_kinds(given.checkpoint.model))
    between = prototypes.between
    torch.testing.assert_close(variances[-1], 1 / (1 / between + 3))
    torch.testing.assert_close(means[-1], variances[-1] * 3 * photos.means[0])


def test_a_described_class_keeps_its_description_and_its_photos_update_it(predictor: Predictor, patterns: Path):
    name = next(name for name in predictor.candidates().names if predictor.checkpoint.kind(name) == "described")
    given = predictor.with_photos({name.upper(): patterns})
    candidates, prototypes = given.candidates(), given.checkpoint.model.prototypes
    assert candidates.names == predictor.candidates().names
    row = candidates.names.index(name)
    means, variances = prototypes.candidates(candidates.prototypes, candidates.scoring_kinds(given.checkpoint.model))
    prior_means, prior_variances = prototypes.posterior(candidates.prototypes)
    number = 16 / 5  # four photos, whose mean has the variance (1 + 1/4) / 4
    precision = 1 / prior_variances[row] + number
    torch.testing.assert_close(variances[row], 1 / precision)
    mean = (prior_means[row] / prior_variances[row] + number * given.checkpoint.photos.means[0]) / precision
    torch.testing.assert_close(means[row], mean)
    others = torch.arange(len(means)) != row
    torch.testing.assert_close(means[others], prior_means[others])


def test_photos_are_kept_in_the_model_file_and_can_be_removed(given: Predictor, patterns: Path, tmp_path: Path):
    save_checkpoint(tmp_path / "kept.safetensors", given.checkpoint)
    loaded = load_checkpoint(tmp_path / "kept.safetensors")
    again = Predictor(loaded, given.backbone)
    files = [str(patterns / "3.png"), str(EXAMPLES / "cat.jpg")]
    for ours, theirs in zip(again.predict(files), given.predict(files), strict=True):
        assert [(c.name, c.score) for c in ours.candidates] == [(c.name, c.score) for c in theirs.candidates]
    removed = loaded.photos.without(["PATTERN"])
    assert removed.names == () and removed.means.shape == (0, loaded.photos.means.shape[1])


def test_a_photo_that_resembles_others_most_is_rejected(predictor: Predictor, patterns: Path):
    given = predictor.with_photos({"others": [patterns / f"{k}.png" for k in range(3)]})
    rejected, classified = given.predict([str(patterns / "3.png"), str(EXAMPLES / "cat.jpg")])
    assert (rejected.status, rejected.reason) == ("rejected", "no_class_fits")
    assert classified.status == "ok"


def test_the_order_and_spelling_of_paths_do_not_matter(predictor: Predictor, patterns: Path):
    files = [str(path) for path in sorted(patterns.iterdir())]
    one, other = (predictor.with_photos({"a": each}).checkpoint.photos for each in (files, str(patterns)))
    torch.testing.assert_close(one.means, other.means)
    reordered = predictor.with_photos({"a": files[::-1]}).checkpoint.photos
    torch.testing.assert_close(reordered.means, one.means)


def test_a_chosen_rule_that_does_not_use_photos_is_refused(predictor: Predictor, patterns: Path):
    cosine = Predictor(predictor.checkpoint, predictor.backbone, inference=InferenceConfig(rule="cosine"))
    with pytest.raises(UsageError, match="does not use photos"):
        cosine.with_photos({"a": patterns})


@pytest.mark.parametrize("rule", PHOTO_RULES)
def test_every_rule_finds_other_photos_of_a_class_that_has_no_description(
    rule: str, predictor: Predictor, patterns: Path
):
    chosen = predictor.checkpoint.model.config.inference_by(rule)
    own = Predictor(predictor.checkpoint, predictor.backbone, inference=chosen)
    given = own.with_photos({"pattern": sorted(patterns.iterdir())[:3]})
    assert given.inference.rule == rule
    found = given.predict([patterns / "3.png", EXAMPLES / "cat.jpg"], top_k=1)
    assert found[0].best.name == "pattern" != found[1].best.name


@pytest.mark.parametrize("rule", ["joint", "evidence"])
def test_a_class_with_photos_has_more_weight_of_the_prototypes_and_without_a_description_all(
    rule: str, predictor: Predictor, patterns: Path
):
    name = next(name for name in predictor.candidates().names if predictor.checkpoint.kind(name) == "described")
    given = predictor.with_photos({name: patterns, "pattern": patterns})
    model, candidates = given.checkpoint.model, given.candidates()
    config = dataclasses.replace(model.config.inference_by(rule), photo_share=0.7, prototype_share=0.2, shortlist=0)
    features = np.random.default_rng(0).random((3, model.prototypes.shift.shape[0]), dtype=np.float32)

    def scores(**changes: object) -> torch.Tensor:
        kinds = candidates.scoring_kinds(model)
        return score_rows(
            model, features, candidates.prototypes, dataclasses.replace(config, **changes), seed=0, kinds=kinds
        )

    evidence = scores(rule="evidence", photo_share=0.0)
    shares = torch.full((len(candidates.names),), 0.2 if rule == "joint" else 0.0)
    shares[candidates.names.index(name)], shares[-1] = 0.7, 1.0
    expected = torch.lerp(evidence, scores(rule="prototype"), shares)
    torch.testing.assert_close(scores(), expected, rtol=1e-4, atol=1e-4)


def test_unreadable_photos_are_named_and_a_class_without_any_is_refused(predictor: Predictor, tmp_path: Path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(UsageError, match="none of its photos can be read"):
        predictor.with_photos({"a": tmp_path})
    shutil.copy(EXAMPLES / "cat.jpg", tmp_path)
    notes: list[str] = []
    photos = predictor.with_photos({"a": tmp_path}, on_note=notes.append).checkpoint.photos
    assert photos.counts == (1,) and "1 of 2 photos left out" in notes[0] and "broken.jpg" in notes[0]


def test_two_spellings_of_one_class_are_refused(predictor: Predictor, patterns: Path):
    with pytest.raises(UsageError, match="twice"):
        predictor.with_photos({"red panda": patterns, "Red_Panda": patterns})


def test_arguments_name_classes_or_a_folder_of_folders(tmp_path: Path):
    for name in ("zebra", "okapi", ".hidden"):
        (tmp_path / name).mkdir()
    expected = {"okapi": [str(tmp_path / "okapi"), "b.jpg"], "zebra": [str(tmp_path / "zebra")]}
    assert photos_of_arguments([str(tmp_path), "okapi=b.jpg"]) == expected
    with pytest.raises(UsageError, match="neither NAME=PATH nor a folder"):
        photos_of_arguments(["no-such-folder"])
    with pytest.raises(UsageError, match="one folder of photos for each class"):
        photos_of_arguments([str(tmp_path / "okapi")])


def test_more_photos_of_a_class_replace_those_that_are_kept(given: Predictor, patterns: Path):
    again = given.with_photos({"Pattern": patterns, "cat": EXAMPLES / "cat.jpg"})
    assert dataclasses.asdict(again.checkpoint.photos)["names"] == ("Pattern", "cat")
    assert again.checkpoint.photos.counts == (4, 1)
