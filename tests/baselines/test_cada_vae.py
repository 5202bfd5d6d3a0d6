"""CADA-VAE: its distances, warm-up and loss equal references, and its last classifier is that of the candidates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from revcd_cli.baselines import cada_vae as module
from revcd_cli.baselines.cada_vae import (
    CADA_VAE_GRID,
    CROSS_WEIGHT,
    DISTANCE_WEIGHT,
    KL_WEIGHT,
    AlignedAutoencoders,
    CadaVAE,
    cada_vae,
    draw_latents,
    gaussian_distance,
)
from revcd_cli.core.trainer import TrainingRows

CLASSES, ATTRIBUTES, DIM = 12, 20, 30
SETTING = {**CADA_VAE_GRID[0], "epochs": 2}


@pytest.fixture(autouse=True)
def narrow_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use fewer hidden units, which is faster."""
    monkeypatch.setattr(module, "_WIDTH", 256)


def make_rows(classes: int = CLASSES, photos: int = 6, dim: int = DIM) -> tuple[TrainingRows, Tensor, Tensor]:
    """Return photos of classes, the descriptions of four more classes, and a photo of each of these."""
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(classes + 4, ATTRIBUTES, generator=generator)
    mixing = torch.randn(ATTRIBUTES, dim, generator=generator)
    labels = torch.arange(classes).repeat(photos)
    varied = table[labels] + 0.05 * torch.randn(len(labels), ATTRIBUTES, generator=generator)
    rows = TrainingRows((varied @ mixing).relu(), labels, table[:classes])
    return rows, table[classes:], (table[classes:] @ mixing).relu()


def test_the_distance_is_the_wasserstein_distance_of_gaussians() -> None:
    mean, other_mean = torch.randn(2, 5, 3, dtype=torch.double)
    log_variance, other_log_variance = torch.randn(2, 5, 3, dtype=torch.double)

    found = gaussian_distance(mean, log_variance, other_mean, other_log_variance)

    for row in range(5):  # the formula for any covariances, with matrix roots
        a, b = log_variance[row].exp().diag(), other_log_variance[row].exp().diag()
        mixed = a.sqrt() @ b @ a.sqrt()
        squared = (mean[row] - other_mean[row]).square().sum() + (a + b - 2 * mixed.sqrt()).trace()
        assert float(found[row]) == pytest.approx(float(squared.sqrt()))


@pytest.mark.parametrize("rule", [KL_WEIGHT, CROSS_WEIGHT, DISTANCE_WEIGHT], ids=["kl", "cross", "distance"])
def test_a_weight_is_zero_before_its_warm_up_and_full_after_it(rule: module.WarmUp) -> None:
    assert rule.at(rule.start) == 0 == rule.at(rule.start - 1)
    assert rule.at(rule.end) == rule.weight == rule.at(100)
    assert rule.at((rule.start + rule.end) / 2) == pytest.approx(rule.weight / 2)


@pytest.mark.parametrize("percent", [0, 15, 50, 99])
def test_the_loss_is_that_of_the_paper_photo_by_photo(percent: float) -> None:
    rows, _, _ = make_rows()
    model, x, s = AlignedAutoencoders(DIM, ATTRIBUTES), rows.features[:7], rows.prototypes
    labels = torch.tensor([0, 3, 3, 1, 0, 2, 2])
    torch.manual_seed(1)
    found = model.loss(x, s, labels, percent)

    torch.manual_seed(1)
    noise_x, noise_s = (torch.randn(7, 64) for _ in range(2))
    total = 0.0
    for i, c in enumerate(labels.tolist()):
        mean_x, log_x = model.features.encode(x[i])
        mean_s, log_s = model.descriptions.encode(s[c])
        z_x, z_s = mean_x + (log_x / 2).exp() * noise_x[i], mean_s + (log_s / 2).exp() * noise_s[i]
        decode_x, decode_s = model.features.decoder, model.descriptions.decoder
        kl = sum(((m**2 + v.exp() - v - 1) / 2).sum() for m, v in ((mean_x, log_x), (mean_s, log_s)))
        distance = ((mean_x - mean_s) ** 2).sum() + (((log_x / 2).exp() - (log_s / 2).exp()) ** 2).sum()
        total += (decode_x(z_x) - x[i]).abs().sum() + (decode_s(z_s) - s[c]).abs().sum()
        total += KL_WEIGHT.at(percent) * kl + DISTANCE_WEIGHT.at(percent) * distance.sqrt()
        total += CROSS_WEIGHT.at(percent) * ((decode_x(z_s) - x[i]).abs().sum() + (decode_s(z_x) - s[c]).abs().sum())
    torch.testing.assert_close(found, total / 7, rtol=1e-4, atol=1e-4)


def test_the_last_classifier_gets_latents_of_photos_for_training_classes_and_of_the_description_for_others() -> None:
    rows, unseen, _ = make_rows()
    scorer = CadaVAE(rows, SETTING, 0)
    candidates = torch.cat([unseen[:1], rows.prototypes[[4]]])

    z, labels = scorer.draw(candidates)

    assert labels.bincount().tolist() == [400, 200]
    mean, log_variance = scorer.model.descriptions.encode(scorer.describe(candidates[:1]).float())
    torch.testing.assert_close(z[labels == 0].mean(0), mean[0], atol=0.3, rtol=0)
    torch.testing.assert_close(z[labels == 0].std(0), (log_variance[0] / 2).exp(), atol=0.3, rtol=0.2)
    means, log_variances = (part[rows.labels == 4] for part in scorer.latents)
    spread = means.var(0, correction=0) + log_variances.exp().mean(0)
    torch.testing.assert_close(z[labels == 1].mean(0), means.mean(0), atol=0.35, rtol=0)
    torch.testing.assert_close(z[labels == 1].var(0), spread, atol=0.35, rtol=0.3)


def test_draws_have_the_mean_and_the_variance_of_the_posterior() -> None:
    mean, log_variance = torch.tensor([1.0, -2.0]), torch.tensor([0.0, 2.0])
    z = draw_latents(mean.expand(20_000, 2), log_variance.expand(20_000, 2))
    torch.testing.assert_close(z.mean(0), mean, atol=0.08, rtol=0)
    torch.testing.assert_close(z.var(0), log_variance.exp(), atol=0.05, rtol=0.05)


def test_a_set_of_candidates_has_one_classifier_and_scores_are_log_posteriors() -> None:
    rows, unseen, photos = make_rows()
    scorer = CadaVAE(rows, SETTING, 0)
    whole = torch.cat([rows.prototypes, unseen])

    first = scorer.classifier(whole)
    assert scorer.classifier(rows.prototypes) is not first
    assert scorer.classifier(whole.clone()) is first
    scores = scorer(photos, whole)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(4))
    torch.testing.assert_close(scorer(photos[1:2], whole), scores[1:2])
    scorer.classifier(unseen)
    scorer.classifier(unseen[:2])
    torch.testing.assert_close(scorer(photos, whole), scores)  # trained again, equally


def test_scores_depend_on_the_seed_alone_and_keep_the_random_state_of_the_caller() -> None:
    rows, unseen, photos = make_rows()
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    first, again, other = (next(cada_vae(rows, [SETTING], seed))(photos, unseen) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.rand(2), expected)


def test_training_classes_may_lack_photos_and_need_not_be_candidates() -> None:
    rows, unseen, photos = make_rows()
    more = TrainingRows(rows.features, rows.labels, torch.cat([rows.prototypes, unseen[:1]]))
    (scorer,) = cada_vae(more, [SETTING])
    assert scorer(photos, unseen).isfinite().all()


def test_unseen_classes_are_found_if_features_follow_from_the_description() -> None:
    rows, unseen, photos = make_rows(classes=40, photos=10, dim=200)
    (scorer,) = cada_vae(rows, [{**CADA_VAE_GRID[0], "descriptions": "standardise", "epochs": 60}])
    assert float((scorer(photos, unseen).argmax(1) == torch.arange(4)).double().mean()) >= 0.75  # chance is 0.25
    seen = scorer(rows.features, rows.prototypes).argmax(1)
    assert float((seen == rows.labels).double().mean()) > 0.5  # chance is 1/40
