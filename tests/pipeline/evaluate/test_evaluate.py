"""Evaluation: metrics equal their definitions, and leaks of test data are refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import revcd_cli.pipeline.evaluate.evaluate as evaluate_module
import revcd_cli.scoring.rows as scoring_module
from revcd_cli.checkpoint.model_file import Checkpoint, load_checkpoint
from revcd_cli.data.datasets.dataset import Dataset
from revcd_cli.data.datasets.splits import Split, split_sha256
from revcd_cli.data.features.feature_set import FeatureSet
from revcd_cli.errors import ConfigError, InputFileError, LeakError, UsageError
from revcd_cli.pipeline.evaluate.evaluate import evaluate, evaluation_scores, score_split
from revcd_cli.pipeline.evaluate.split_scores import GZSLReport
from revcd_cli.pipeline.predict.predictor import Predictor
from revcd_cli.scoring.rows import feature_keys, score_rows
from tests.makers.toy import without_features

SEED = 0


@pytest.fixture(scope="module")
def checkpoint(toy_model) -> Checkpoint:
    return load_checkpoint(toy_model.path)


@pytest.fixture(scope="module")
def dataset(toy_model) -> Dataset:
    return toy_model.dataset


def with_split(dataset: Dataset, **parts: np.ndarray) -> Dataset:
    """Return the dataset with other parts, and the checksum of that split."""
    split = dataclasses.replace(dataset.split, **parts)
    class_names = [dataset.classes.names[label] for label in dataset.labels]
    # A new object, because `seen` and `unseen` are cached.
    return dataclasses.replace(dataset, split=split, split_sha256=split_sha256(dataset.keys, class_names, split))


def with_classes(dataset: Dataset, **fields) -> Dataset:
    return dataclasses.replace(dataset, classes=dataclasses.replace(dataset.classes, **fields))


def trained_on(checkpoint: Checkpoint, dataset: Dataset) -> Checkpoint:
    """Return the checkpoint as if it had been trained on this split."""
    return dataclasses.replace(checkpoint, dataset={**checkpoint.dataset, "split_sha256": dataset.split_sha256})


def headline(report: GZSLReport) -> list[float | None]:
    return list(report.headline().values())


def slow_figures(checkpoint: Checkpoint, dataset: Dataset, rule: str) -> dict[str, float]:
    """Return S, U, H and T1 by their definitions, photo by photo in plain Python."""
    config = dataclasses.replace(checkpoint.model.config.inference, rule=rule)
    calibration = checkpoint.calibrations[rule]
    seen = {int(label) for label in dataset.labels[dataset.split.trainval]}
    gamma = calibration.penalty(len(dataset.classes.names) - len(seen))
    table = torch.from_numpy(dataset.classes.values)

    def answer(row: int, candidates: list[int]) -> int:
        scores = score_rows(checkpoint.model, dataset.features[[row]], table, config, seed=checkpoint.seed)[0].tolist()
        penalised = {c: scores[c] - gamma * (c in seen) for c in candidates}
        return max(candidates, key=penalised.__getitem__)

    def mean_over_classes(rows: np.ndarray, candidates: list[int]) -> float:
        right: dict[int, list[bool]] = {}
        for row in rows.tolist():
            label = int(dataset.labels[row])
            right.setdefault(label, []).append(answer(row, candidates) == label)
        shares = [sum(answers) / len(answers) for answers in right.values()]
        return sum(shares) / len(shares)

    everything = list(range(len(dataset.classes.names)))
    s = mean_over_classes(dataset.split.test_seen, everything)
    u = mean_over_classes(dataset.split.test_unseen, everything)
    t1 = mean_over_classes(dataset.split.test_unseen, [c for c in everything if c not in seen])
    return {"S": s, "U": u, "H": 2 * s * u / (s + u) if s + u else 0.0, "T1": t1}


@pytest.mark.parametrize("rule", ["evidence", "cosine"])
def test_the_figures_are_those_of_a_slow_computation(checkpoint: Checkpoint, dataset: Dataset, rule: str):
    figures = evaluate(checkpoint, dataset, rule=rule).headline()
    assert 0 <= figures.pop("AUSUC") <= 1  # tested in test_curve.py
    assert figures == pytest.approx(slow_figures(checkpoint, dataset, rule))


@pytest.mark.parametrize(("slope", "limit"), [(-3.0, 1.0), (0.0, 0.05), (3.0, 0.05)])
def test_evaluation_and_prediction_agree_on_the_same_candidates(
    checkpoint: Checkpoint, dataset: Dataset, slope: float, limit: float, monkeypatch: pytest.MonkeyPatch
):
    prototypes = checkpoint.model.prototypes
    monkeypatch.setattr(prototypes, "config", dataclasses.replace(prototypes.config, taken_limit=limit))
    own = checkpoint.calibrations["prototype"]
    changed = dataclasses.replace(own, gamma=1.5, gamma_slope=slope, gamma_classes=6.0)
    checkpoint = dataclasses.replace(checkpoint, calibrations={"prototype": changed})
    scores, gamma = evaluation_scores(checkpoint, dataset, rule="prototype")
    assert (scores.limits is None) == (limit == 1.0)
    evaluated = scores.calibrated(gamma)[0].argmax(1)
    inference = checkpoint.model.config.inference_by("prototype")
    predictor = Predictor(checkpoint, None, inference=inference)
    rows = np.concatenate([dataset.split.test_seen, dataset.split.test_unseen])
    nothing = ("",) * len(rows)
    keys = tuple(str(row) for row in rows)
    photos = FeatureSet(keys, dataset.features[rows], ("ok",) * len(rows), nothing, nothing, dataset.backbone)
    predicted = [each.best.name for each in predictor.predict(photos, top_k=1)]
    assert predicted == [scores.names[k] for k in evaluated.tolist()]


def test_a_model_is_evaluated_by_its_own_rule_and_seed(checkpoint: Checkpoint, dataset: Dataset):
    own = checkpoint.model.config.inference.rule
    assert evaluate(checkpoint, dataset) == evaluate(checkpoint, dataset, rule=own, seed=checkpoint.seed)
    with pytest.raises(ConfigError, match=r"inference\.rule"):
        evaluate(checkpoint, dataset, rule="cosinus")


def test_the_counts_of_classes_and_photos_are_those_of_the_split(checkpoint: Checkpoint, dataset: Dataset):
    report = evaluate(checkpoint, dataset)
    assert (report.seen_classes, report.unseen_classes) == (len(dataset.seen), len(dataset.unseen))
    assert (report.seen_photos, report.unseen_photos) == (len(dataset.split.test_seen), len(dataset.split.test_unseen))
    for is_seen, photos, accuracy in (
        (True, report.seen_photos, report.acc_seen),
        (False, report.unseen_photos, report.acc_unseen),
    ):
        entries = [entry for entry in report.per_class if entry.seen is is_seen]
        assert sum(entry.photos for entry in entries) == photos
        assert sum(entry.accuracy for entry in entries) / len(entries) == pytest.approx(accuracy)
    rows = np.concatenate([dataset.split.test_seen, dataset.split.test_unseen])
    assert [(entry.name, entry.photos) for entry in report.per_class] == list(
        zip(dataset.classes.names, np.bincount(dataset.labels[rows]).tolist(), strict=True)
    )


def test_without_unseen_photos_only_s_is_defined(checkpoint: Checkpoint, dataset: Dataset):
    bare = with_split(dataset, test_unseen=np.empty(0, dtype=np.int64))
    report = evaluate(trained_on(checkpoint, bare), bare)
    assert report.acc_seen == evaluate(checkpoint, dataset).acc_seen
    assert headline(report)[1:] == [None] * 4
    assert report.unseen_photos == 0 and report.unseen_classes == 2


def test_without_unseen_candidates_there_is_no_s_but_the_accuracy_among_seen_classes(
    checkpoint: Checkpoint, dataset: Dataset
):
    bare = with_split(dataset, test_unseen=np.empty(0, dtype=np.int64))
    report = evaluate(trained_on(checkpoint, bare), bare, whole_table=False)
    assert headline(report) == [None] * 5
    assert report.acc_seen_alone == evaluate(checkpoint, dataset).acc_seen_alone


def test_without_seen_photos_only_u_and_t1_are_defined(checkpoint: Checkpoint, dataset: Dataset):
    bare = with_split(dataset, test_seen=np.empty(0, dtype=np.int64))
    report, whole = evaluate(trained_on(checkpoint, bare), bare), evaluate(checkpoint, dataset)
    assert headline(report) == [None, whole.acc_unseen, None, whole.acc_zsl, None]


def test_a_class_without_test_photos_does_not_count(checkpoint: Checkpoint, dataset: Dataset):
    rows = dataset.split.test_seen
    fewer = with_split(dataset, test_seen=rows[dataset.labels[rows] != 0])
    report, whole = evaluate(trained_on(checkpoint, fewer), fewer), evaluate(checkpoint, dataset)
    assert report.per_class == whole.per_class[1:]
    others = [entry.accuracy for entry in whole.per_class[1:] if entry.seen]
    assert report.acc_seen == pytest.approx(sum(others) / len(others))


def test_candidates_are_the_classes_with_photos_or_the_whole_table(checkpoint: Checkpoint, dataset: Dataset):
    rows = dataset.split.test_unseen
    last = dataset.labels[rows].max()
    bare = with_split(dataset, test_unseen=rows[dataset.labels[rows] != last])
    assert evaluate_module.tested_classes(bare).tolist() == [c for c in range(len(dataset.classes.names)) if c != last]
    model = trained_on(checkpoint, bare)
    few, whole = evaluate(model, bare, whole_table=False), evaluate(model, bare)
    assert (few.unseen_classes, whole.unseen_classes) == (1, 2)
    assert (few.untested_classes, whole.untested_classes) == (0, 1)
    assert few.acc_zsl == 1.0  # of one candidate
    assert few.acc_unseen >= whole.acc_unseen and few.acc_seen >= whole.acc_seen
    assert {entry.name for entry in few.per_class} == {entry.name for entry in whole.per_class}


def test_a_class_without_photos_changes_nothing_if_the_classes_of_the_split_are_candidates(
    checkpoint: Checkpoint, dataset: Dataset
):
    classes = dataset.classes
    wider = with_classes(
        dataset, names=(*classes.names, "ghost"), values=np.vstack([classes.values, classes.values[-1:]])
    )
    assert evaluate(checkpoint, wider, whole_table=False) == evaluate(checkpoint, dataset)


def test_figures_do_not_depend_on_the_order_of_the_attributes(checkpoint: Checkpoint, dataset: Dataset):
    order = np.random.default_rng(0).permutation(len(dataset.classes.attributes))
    permuted = with_classes(
        dataset,
        attributes=tuple(dataset.classes.attributes[k] for k in order),
        values=np.ascontiguousarray(dataset.classes.values[:, order]),
    )
    assert evaluate(checkpoint, permuted) == evaluate(checkpoint, dataset)


def test_figures_do_not_depend_on_the_order_of_the_classes(checkpoint: Checkpoint, dataset: Dataset):
    backwards = with_classes(dataset, names=dataset.classes.names[::-1], values=dataset.classes.values[::-1].copy())
    backwards = dataclasses.replace(backwards, labels=len(dataset.classes.names) - 1 - dataset.labels)
    report, whole = evaluate(checkpoint, backwards), evaluate(checkpoint, dataset)
    assert headline(report) == pytest.approx(headline(whole))
    assert report.per_class == whole.per_class[::-1]


@pytest.mark.parametrize("rule", ["evidence", "cosine"])
def test_a_score_does_not_depend_on_the_other_photos(
    checkpoint: Checkpoint, dataset: Dataset, rule: str, monkeypatch: pytest.MonkeyPatch
):
    config = dataclasses.replace(checkpoint.model.config.inference, rule=rule)

    def scores() -> torch.Tensor:
        return score_split(checkpoint.model, dataset, dataset.split, config, seed=SEED).scores_seen

    together = scores()
    monkeypatch.setattr(scoring_module, "ROWS_AT_ONCE", 3)
    torch.testing.assert_close(scores(), together, rtol=0, atol=1e-4)


def test_the_noise_of_a_photo_depends_on_the_seed_and_its_key(checkpoint: Checkpoint, dataset: Dataset):
    config = dataclasses.replace(checkpoint.model.config.inference, rule="cosine", samples=1)
    rows, table = dataset.features[:2], torch.from_numpy(dataset.classes.values)

    def scores(seed: int, keys: list[bytes]) -> torch.Tensor:
        return score_rows(checkpoint.model, rows, table, config, seed=seed, keys=keys)

    first = scores(0, [b"a", b"b"])
    assert torch.equal(scores(0, [b"a", b"b"]), first)
    assert not torch.equal(scores(1, [b"a", b"b"]), first)
    changed = scores(0, [b"a", b"c"])
    assert torch.equal(changed[0], first[0]) and not torch.equal(changed[1], first[1])
    assert torch.equal(scores(0, feature_keys(rows)), score_rows(checkpoint.model, rows, table, config, seed=0))


def test_validation_uses_no_unseen_class(checkpoint: Checkpoint, dataset: Dataset):
    candidates = np.array(dataset.seen)
    trainval = dataset.split.trainval
    labels = dataset.labels[trainval]
    fold = Split(trainval[labels > 1], trainval[labels == 2][:3], trainval[labels <= 1])
    config = checkpoint.model.config.inference
    scores = score_split(checkpoint.model, dataset, fold, config, seed=SEED, candidates=candidates)
    assert scores.names == tuple(dataset.classes.names[c] for c in dataset.seen)
    assert scores.seen.tolist() == [False, False, True, True, True, True]
    assert scores.scores_unseen.shape == ((labels <= 1).sum(), len(candidates))


def test_a_model_that_was_trained_on_the_unseen_classes_is_refused(checkpoint: Checkpoint, dataset: Dataset):
    name = dataset.classes.names[dataset.unseen[0]]
    cheat = dataclasses.replace(checkpoint, seen=checkpoint.seen | {name.upper().replace(" ", "_")})
    with pytest.raises(LeakError) as caught:
        evaluate(cheat, dataset)
    assert f"1 classes that are unseen here ({name})" in caught.value.message
    assert caught.value.exit_code == 4 and caught.value.message.startswith("toy.csv: ")


def test_a_split_with_swapped_parts_is_refused(checkpoint: Checkpoint, dataset: Dataset):
    exchanged = with_split(
        dataset, trainval=dataset.split.test_unseen, test_seen=np.empty(0, np.int64), test_unseen=dataset.split.trainval
    )
    with pytest.raises(LeakError, match="6 classes that are unseen here"):
        evaluate(checkpoint, exchanged)


def test_another_split_of_the_same_photos_is_refused(checkpoint: Checkpoint, dataset: Dataset):
    moved = dataset.split.trainval[:1]
    other = with_split(
        dataset,
        trainval=dataset.split.trainval[1:],
        test_seen=np.sort(np.concatenate([dataset.split.test_seen, moved])),
    )
    with pytest.raises(LeakError, match="not the one that the model was trained on") as caught:
        evaluate(checkpoint, other)
    assert other.split_sha256[:12] in caught.value.message and dataset.split_sha256[:12] in caught.value.message


def test_a_model_without_a_recorded_split_is_refused(checkpoint: Checkpoint, dataset: Dataset):
    with pytest.raises(LeakError):
        evaluate(dataclasses.replace(checkpoint, dataset={}), dataset)


@pytest.mark.parametrize(("field", "value"), [("tag", "other"), ("weights_sha256", "cd"), ("preprocessing", {})])
def test_features_of_another_backbone_are_refused(checkpoint: Checkpoint, dataset: Dataset, field: str, value: object):
    backbone = dataclasses.replace(dataset.backbone, **{field: value})
    with pytest.raises(InputFileError) as caught:
        evaluate(checkpoint, dataclasses.replace(dataset, backbone=backbone))
    assert f"{field} is {getattr(dataset.backbone, field)!r} here and {value!r} there" in caught.value.message


def test_attributes_of_other_names_are_refused_by_name(checkpoint: Checkpoint, dataset: Dataset):
    renamed = with_classes(dataset, attributes=("treit 0", *dataset.classes.attributes[1:]))
    with pytest.raises(InputFileError) as caught:
        evaluate(checkpoint, renamed)
    assert 'lacks 1 of the model\'s 12 attributes: "trait 0" (did you mean "treit 0"?)' in caught.value.message


def test_an_additional_attribute_is_refused_by_name(checkpoint: Checkpoint, dataset: Dataset):
    classes = dataset.classes
    wider = with_classes(
        dataset, attributes=(*classes.attributes, "colour"), values=np.hstack([classes.values, classes.values[:, :1]])
    )
    with pytest.raises(InputFileError, match='"colour"'):
        evaluate(checkpoint, wider)


def test_a_dataset_without_features_is_refused(checkpoint: Checkpoint, dataset: Dataset):
    with pytest.raises(UsageError, match="no features"):
        evaluate(checkpoint, without_features(dataset))


def test_classes_with_equal_descriptions_have_exactly_the_same_score(checkpoint: Checkpoint, dataset: Dataset):
    config = checkpoint.model.config.inference
    table = torch.from_numpy(dataset.classes.values)
    twice = torch.cat([table, table.flip(0)])
    scores = score_rows(checkpoint.model, dataset.features[:5], twice, config, seed=0)
    assert torch.equal(scores[:, : len(table)], scores[:, len(table) :].flip(1))
    torch.testing.assert_close(
        scores[:, : len(table)], score_rows(checkpoint.model, dataset.features[:5], table, config, seed=0)
    )
