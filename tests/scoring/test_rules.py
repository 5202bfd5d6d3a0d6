"""The rules that score classes, against loops over photos, classes and draws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from revcd_cli.config import InferenceConfig
from revcd_cli.core.model import RevCD
from revcd_cli.core.precondition import roots
from revcd_cli.core.sample import sample_semantics
from revcd_cli.errors import UsageError
from revcd_cli.scoring.calibration import calibrated, score_unit
from revcd_cli.scoring.candidate_kinds import CandidateKinds
from revcd_cli.scoring.cosine import cosine_scores, nearest_class
from revcd_cli.scoring.evidence import evidence_scores
from revcd_cli.scoring.joint import rank
from revcd_cli.scoring.model import ZeroShotModel
from tests.makers.tiny_model import (
    ATTRIBUTES,
    CLASSES,
    PHOTOS,
    TIMESTEPS,
    generators,
    photos,
    prototypes,
    revcd,
    zero_shot,
)

RULES = [
    InferenceConfig(rule="evidence", draws=5),
    InferenceConfig(rule="prototype"),
    InferenceConfig(rule="joint", draws=5, prototype_share=0.3),
    InferenceConfig(rule="cosine", samples=3, steps=4, eta=0.7, guidance_scale=1.5),
    InferenceConfig(rule="cosine", samples=3, steps=1),
    InferenceConfig(rule="cosine", samples=2, sampler="ddpm"),
]
every_rule = pytest.mark.parametrize(
    "config", RULES, ids=["evidence", "prototype", "joint", "ddim", "one-step", "ddpm"]
)


@every_rule
@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_a_photo_has_the_same_scores_alone_and_in_a_batch(config: InferenceConfig, norm: str) -> None:
    model = zero_shot(revcd(norm=norm))

    together = model.score(photos(), prototypes(), config, generators())

    for k in range(PHOTOS):
        alone = model.score(photos()[k : k + 1], prototypes(), config, generators([k]))
        torch.testing.assert_close(alone[0], together[k])


@every_rule
def test_order_of_the_photos_does_not_change_their_scores(config: InferenceConfig) -> None:
    model, order = zero_shot(revcd()), [2, 0, 3, 1]

    together = model.score(photos(), prototypes(), config, generators())

    shuffled = model.score(photos()[order], prototypes(), config, generators(order))
    torch.testing.assert_close(shuffled, together[order])


@every_rule
def test_permuting_the_classes_permutes_the_scores(config: InferenceConfig) -> None:
    model, order = zero_shot(revcd()), [5, 0, 3, 1, 4, 2]

    scores = model.score(photos(), prototypes(), config, generators())

    permuted = model.score(photos(), prototypes()[order], config, generators())
    torch.testing.assert_close(permuted, scores[:, order])


@every_rule
def test_scores_of_a_class_do_not_depend_on_the_other_candidates(config: InferenceConfig) -> None:
    model = zero_shot(revcd())

    few = model.score(photos(), prototypes()[:2], config, generators())

    torch.testing.assert_close(few, model.score(photos(), prototypes(), config, generators())[:, :2])


def test_cosine_score_is_the_mean_over_samples_of_the_cosine() -> None:
    samples = torch.randn(PHOTOS, 3, ATTRIBUTES, dtype=torch.float64, generator=Generator().manual_seed(3))
    z = prototypes() - 0.5

    scores = cosine_scores(samples, z)

    for photo in range(PHOTOS):
        for k in range(CLASSES):
            cosines = [float(s @ z[k] / (s.norm() * z[k].norm())) for s in samples[photo]]
            assert float(scores[photo, k]) == pytest.approx(sum(cosines) / 3)


def test_the_nearest_class_has_the_smallest_cosine_distance_to_the_sample() -> None:
    samples = torch.randn(PHOTOS, 1, ATTRIBUTES, dtype=torch.float64, generator=Generator().manual_seed(3))
    z = prototypes() - 0.5

    chosen = nearest_class(samples, z)

    for photo, (s_hat,) in enumerate(samples):
        distances = [1 - float(s_hat @ s_y / (s_hat.norm() * s_y.norm())) for s_y in z]
        assert int(chosen[photo]) == distances.index(min(distances))


def test_scaling_prototypes_and_samples_does_not_change_the_cosine_ranking() -> None:
    samples = torch.randn(PHOTOS, 3, ATTRIBUTES, dtype=torch.float64, generator=Generator().manual_seed(3))
    z, lengths = prototypes() - 0.5, torch.tensor([0.01, 1, 2, 50, 7, 0.3], dtype=torch.float64)[:, None]

    scaled = cosine_scores(40 * samples, lengths * z)

    assert torch.equal(rank(scaled, CLASSES)[1], rank(cosine_scores(samples, z), CLASSES)[1])


def test_a_vector_of_zeros_has_cosine_zero() -> None:
    assert torch.equal(cosine_scores(torch.zeros(1, 2, ATTRIBUTES), torch.zeros(3, ATTRIBUTES)), torch.zeros(1, 3))


def conditions(model: RevCD) -> Tensor:
    with torch.no_grad():
        return model.encode(photos())


def first_noises(samples: int) -> Tensor:
    """Return the first numbers of the photos' generators: the noise at t = T."""
    return torch.stack([torch.randn(samples, ATTRIBUTES, generator=g) for g in generators()]).double()


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_one_step_samples_are_the_guided_estimates_at_the_last_time(scale: float) -> None:
    model, last = revcd(), torch.tensor(TIMESTEPS)
    c, s_t = conditions(model), first_noises(3)

    samples = sample_semantics(model, c, InferenceConfig(samples=3, steps=1, guidance_scale=scale), generators())

    for photo in range(PHOTOS):
        for k in range(3):
            with_photo = model.estimate(s_t[photo, k], last, c[photo]).s_0
            without = model.estimate(s_t[photo, k], last, model.null).s_0
            torch.testing.assert_close(samples[photo, k], without + scale * (with_photo - without))  # Eq. 22


def test_samples_of_one_photo_differ_and_equal_seeds_repeat_them() -> None:
    model, config = revcd(), InferenceConfig(samples=3, steps=4, eta=1.0)

    first, again = (sample_semantics(model, conditions(model), config, generators()) for _ in range(2))

    assert torch.equal(first, again)
    assert (first[:, 0] - first[:, 1]).abs().max() > 1e-6


def test_raw_prototypes_and_features_get_the_preprocessing_of_the_network() -> None:
    network, config = revcd(), InferenceConfig(rule="evidence", draws=3)

    whole = zero_shot(network).score(photos(), prototypes(), config, generators())

    scaled, z = (roots(photos()) - network.scaler.shift) @ network.scaler.basis, network.precondition(prototypes())
    torch.testing.assert_close(evidence_scores(network, network.encoder(scaled), z, config), whole)


def test_calibration_subtracts_the_penalty_from_seen_classes_only() -> None:
    scores, seen = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([True, False, True])

    assert calibrated(scores, seen, 0.5).tolist() == [[0.5, 2.0, 2.5]]
    assert torch.equal(calibrated(scores, seen, 0.0), scores)


def test_a_large_penalty_ranks_seen_classes_last_in_unchanged_order() -> None:
    scores, seen = torch.tensor([[1.0, 9.0, 3.0, 2.0]]), torch.tensor([False, True, False, True])

    assert rank(calibrated(scores, seen, 1000.0), 4)[1].tolist() == [[2, 0, 1, 3]]


def test_classes_are_ranked_by_decreasing_score_and_ties_by_index() -> None:
    best, classes = rank(torch.tensor([[0.5, 0.9, 0.5, 0.9, 0.1]]), 4)

    assert classes.tolist() == [[1, 3, 0, 2]]
    torch.testing.assert_close(best, torch.tensor([[0.9, 0.9, 0.5, 0.5]]))


def test_ties_of_many_classes_keep_the_order_of_the_classes() -> None:
    assert rank(torch.zeros(3, 700), 700)[1].tolist() == [list(range(700))] * 3


def test_top_k_above_the_number_of_classes_gives_all() -> None:
    assert rank(torch.tensor([[1.0, 2.0]]), 5)[1].tolist() == [[1, 0]]


@every_rule
def test_scoring_leaves_the_model_and_its_mode_unchanged(config: InferenceConfig) -> None:
    model: Any = zero_shot(revcd(norm="batch"))
    before: dict[str, Tensor] = {name: value.clone() for name, value in model.state_dict().items()}

    model.score(photos(), prototypes(), config, generators())

    assert not model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def scores_by(model: ZeroShotModel, rule: str, **settings: Any) -> Tensor:
    return model.score(photos(), prototypes(), InferenceConfig(rule=rule, draws=5, **settings), generators())


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_joint_scores_are_the_weighted_mean_of_evidence_and_prototype_scores(share: float) -> None:
    model = zero_shot(revcd())

    joint = scores_by(model, "joint", prototype_share=share)

    torch.testing.assert_close(joint, torch.lerp(scores_by(model, "evidence"), scores_by(model, "prototype"), share))


@pytest.mark.parametrize("length", [1, 2, CLASSES - 1])
def test_a_shortlist_keeps_the_scores_of_the_classes_that_are_best_by_prototypes(length: int) -> None:
    model, share = zero_shot(revcd()), 0.3
    whole, evidence, first = (
        scores_by(model, rule, prototype_share=share) for rule in ("joint", "evidence", "prototype")
    )

    short = scores_by(model, "joint", prototype_share=share, shortlist=length)

    for photo in range(PHOTOS):
        inside, outside = first[photo].argsort(descending=True).split([length, CLASSES - length])
        torch.testing.assert_close(short[photo, inside], whole[photo, inside])
        worst = evidence[photo, inside].min()
        torch.testing.assert_close(short[photo, outside], (1 - share) * worst + share * first[photo, outside])
        assert short[photo, outside].max() <= short[photo, inside].min()


@pytest.mark.parametrize("length", [0, CLASSES, 1000])
def test_a_shortlist_that_is_not_shorter_than_the_table_changes_nothing(length: int) -> None:
    model = zero_shot(revcd())

    assert torch.equal(scores_by(model, "joint", shortlist=length), scores_by(model, "joint", shortlist=0))


def test_shortlists_do_not_depend_on_other_photos_or_the_order_of_classes() -> None:
    model, config = zero_shot(revcd()), InferenceConfig(rule="joint", draws=5, shortlist=2)
    together = model.score(photos(), prototypes(), config, generators())

    for k in range(PHOTOS):
        alone = model.score(photos()[k : k + 1], prototypes().flip(0), config, generators([k]))
        torch.testing.assert_close(alone[0].flip(0), together[k])


def test_without_visual_prototypes_joint_scores_equal_the_evidence() -> None:
    model = zero_shot(revcd())
    model.prototypes = None

    assert torch.equal(scores_by(model, "joint", prototype_share=0.7), scores_by(model, "evidence"))


@pytest.mark.parametrize("rule", ["evidence", "prototype"])
def test_fitted_units_give_scores_a_standard_deviation_of_one_over_classes(rule: str) -> None:
    model, config = zero_shot(revcd()), InferenceConfig(draws=5, samples=3)
    before = scores_by(model, rule)

    model.fit_units(photos(), prototypes(), config, [rule])

    after = scores_by(model, rule)
    torch.testing.assert_close(after * score_unit(before), before)
    assert score_unit(after) == pytest.approx(1)


@pytest.mark.parametrize("rule", ["prototype"])
def test_a_rule_that_needs_missing_parts_of_the_model_is_refused(rule: str) -> None:
    model = ZeroShotModel(revcd().config, [revcd()])

    with pytest.raises(UsageError, match="needs visual prototypes"):
        scores_by(model, rule)


def test_fitting_units_twice_equals_fitting_them_once() -> None:
    model, config, rules = zero_shot(revcd()), InferenceConfig(draws=5), ["evidence", "prototype"]
    model.fit_units(photos(), prototypes(), config, rules)
    once = {name: value.clone() for name, value in model.named_buffers()}

    model.fit_units(photos(), prototypes(), config, rules)

    assert all(torch.equal(value, once[name]) for name, value in model.named_buffers())
    assert once["cosine_units"].tolist() == [1]  # the cosine was not asked for


def test_joint_scores_do_not_depend_on_the_scale_of_a_part() -> None:
    model, config, rules = zero_shot(revcd()), InferenceConfig(draws=5), ["evidence", "prototype"]
    model.fit_units(photos(), prototypes(), config, rules)
    before = scores_by(model, "joint")

    class ScaledPrototypes(type(model.prototypes)):
        def forward(self, x: Tensor, z: Tensor, kinds: CandidateKinds | None = None) -> Tensor:
            return 1000 * super().forward(x, z, kinds)

    model.prototypes.__class__ = ScaledPrototypes
    model.fit_units(photos(), prototypes(), config, rules)

    torch.testing.assert_close(scores_by(model, "joint"), before)
