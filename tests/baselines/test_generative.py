"""Generative baselines: losses against closed forms, and what samples depend on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from revcd_cli.baselines.cvae import ConditionalVAE, elbo, gaussian_kl
from revcd_cli.baselines.gan import ConditionalGAN, gradient_penalty
from revcd_cli.baselines.generative import GenerativeBaseline
from revcd_cli.baselines.generative_trainer import GANTrainer, GenerativeTrainer
from revcd_cli.config import Config, InferenceConfig
from revcd_cli.core.model import RevCD
from revcd_cli.core.trainer import TrainingRows

FEATURES, ATTRIBUTES, CLASSES = 9, 5, 8
Kind = type[GenerativeBaseline]
KINDS = [ConditionalVAE, ConditionalGAN]
TRAINERS = {ConditionalVAE: GenerativeTrainer, ConditionalGAN: GANTrainer}


def rows(count: int, width: int, seed: int = 1) -> Tensor:
    return torch.randn(count, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def revcd(
    features: int = FEATURES, attributes: int = ATTRIBUTES, classes: int = CLASSES, **sections: dict[str, object]
) -> RevCD:
    torch.manual_seed(0)
    small = {
        "diffusion": {"timesteps": 20},
        "encoder": {"n_tokens": 2, "width": 16, "heads": 2, "feedforward": 16},
        "denoiser": {"width": 16, "time_width": 8},
    }
    merged = {name: small.get(name, {}) | sections.get(name, {}) for name in small | sections}
    return RevCD(Config.from_dict(merged), features, attributes, classes)


def baseline(kind: Kind, **sections: dict[str, object]) -> GenerativeBaseline:
    model = kind(revcd(**sections)).double().eval()
    model.fit_preprocessing(rows(30, FEATURES), torch.arange(30) % CLASSES, rows(CLASSES, ATTRIBUTES))
    return model


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_law_the_kl_of_the_posterior_is_the_closed_form_of_two_gaussians() -> None:
    mean, log_variance = rows(7, ATTRIBUTES), rows(7, ATTRIBUTES, seed=2)

    posterior = Independent(Normal(mean, (log_variance / 2).exp()), 1)
    prior = Independent(Normal(torch.zeros_like(mean), 1.0), 1)

    torch.testing.assert_close(gaussian_kl(mean, log_variance), kl_divergence(posterior, prior))


def test_law_the_kl_of_a_posterior_equal_to_the_prior_is_zero() -> None:
    assert torch.equal(gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 3)), torch.zeros(2))


@pytest.mark.parametrize("kl_weight", [0.02, 0.1, 1.0])
def test_law_the_elbo_is_likelihood_minus_kl_up_to_scale_and_a_constant(kl_weight: float) -> None:
    s_0, s_0_hat = rows(7, ATTRIBUTES), rows(7, ATTRIBUTES, seed=2)
    mean, log_variance = rows(7, ATTRIBUTES, seed=3), rows(7, ATTRIBUTES, seed=4)
    spread = (kl_weight / 2) ** 0.5

    likelihood = Normal(s_0_hat, spread).log_prob(s_0).sum(-1)
    constant = Normal(s_0, spread).log_prob(s_0).sum(-1)
    expected = kl_weight / ATTRIBUTES * (likelihood - constant - gaussian_kl(mean, log_variance))

    torch.testing.assert_close(elbo(s_0_hat, s_0, mean, log_variance, kl_weight), expected)


@pytest.mark.parametrize("norm", [0.0, 0.5, 1.0, 3.0])
def test_law_the_gradient_penalty_of_a_linear_critic_is_the_squared_distance_of_its_norm_from_one(norm: float) -> None:
    direction = torch.nn.functional.normalize(rows(1, ATTRIBUTES)[0], dim=0)

    penalty = gradient_penalty(lambda s: s @ (norm * direction), rows(6, ATTRIBUTES), rows(6, ATTRIBUTES, seed=2))

    torch.testing.assert_close(penalty, torch.full((6,), (norm - 1) ** 2, dtype=torch.float64))


def test_law_the_gradient_penalty_is_evaluated_between_the_real_and_the_fake_row() -> None:
    real, fake = rows(200, 1), rows(200, 1, seed=2)

    penalty = gradient_penalty(lambda s: s.square().sum(-1) / 2, real, fake)  # the gradient at s is s itself

    low, high = torch.minimum(real, fake)[:, 0], torch.maximum(real, fake)[:, 0]
    at = [1 + sign * penalty.sqrt() for sign in (1, -1)]
    reached = [((sign * s >= low) & (sign * s <= high)) for s in at for sign in (1, -1)]
    assert torch.stack(reached).any(0).all()
    assert penalty.std() > 0.1


def test_law_the_losses_of_critic_and_generator_have_no_gradient_in_each_other() -> None:
    model = baseline(ConditionalGAN)
    x, s_0, labels = model.scaler(rows(6, FEATURES)), rows(6, ATTRIBUTES, seed=2), torch.arange(6)
    generator = [p for name, p in model.named_parameters() if not name.startswith("critic.")]

    model.critic_loss(x, s_0).backward()
    assert all(p.grad is None for p in generator)
    assert any(p.grad.abs().sum() > 0 for p in model.critic.parameters() if p.grad is not None)

    model.zero_grad(set_to_none=True)
    model.critic.requires_grad_(False)
    model.loss(x, s_0, labels, s_0).backward()
    assert all(p.grad is None for p in model.critic.parameters())
    assert any(p.grad.abs().sum() > 0 for p in generator)


@pytest.mark.parametrize("kind", KINDS)
def test_law_samples_of_a_photo_depend_on_its_own_generator_and_not_on_the_rest_of_the_batch(
    kind: Kind,
) -> None:
    model, x = baseline(kind), rows(3, FEATURES, seed=3)
    together = model.sample(model.encode(x), generators(4, 5, 6), 7)

    assert together.shape == (3, 7, ATTRIBUTES)
    for place, seed in enumerate((4, 5, 6)):
        alone = model.sample(model.encode(x[place : place + 1]), generators(seed), 7)
        torch.testing.assert_close(alone[0], together[place])
    assert not torch.allclose(model.sample(model.encode(x[:1]), generators(9), 7)[0], together[0])


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("kind", KINDS)
def test_law_encoding_the_condition_once_or_for_every_sample_gives_equal_samples(kind: Kind, norm: str) -> None:
    model, x = baseline(kind, denoiser={"norm": norm}), rows(2, FEATURES, seed=3)
    once = model.sample(model.encode(x), generators(1, 2), 4)

    noise = [torch.randn(4, ATTRIBUTES, generator=generator) for generator in generators(1, 2)]
    each_time = torch.stack([model.decoder(torch.stack(noise)[:, k].double(), model.encode(x)) for k in range(4)], 1)

    torch.testing.assert_close(once, each_time)


@pytest.mark.parametrize("kind", KINDS)
def test_generative_baselines_preprocess_photos_and_descriptions_as_revcd_does(
    kind: Kind,
) -> None:
    original, x, s = revcd().double().eval(), rows(4, FEATURES), rows(8, ATTRIBUTES)
    original.fit_preprocessing(rows(30, FEATURES), torch.arange(30) % CLASSES, s)

    assert torch.equal(kind(original).double().encode(x), original.encode(x))
    assert torch.equal(kind(original).double().precondition(s), original.precondition(s))


def test_scores_are_mean_cosines_of_the_samples_with_the_descriptions() -> None:
    model, x, s = baseline(ConditionalVAE), rows(2, FEATURES, seed=3), rows(8, ATTRIBUTES)

    scores = model.score(x, s, InferenceConfig(samples=3), generators(1, 2))

    samples, z = model.sample(model.encode(x), generators(1, 2), 3).detach(), model.precondition(s)
    for b in range(2):
        for c in range(8):
            cosines = [torch.cosine_similarity(one, z[c], dim=0) for one in samples[b]]
            assert float(scores[b, c]) == pytest.approx(float(sum(cosines) / len(cosines)))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "bound"), [(ConditionalVAE, 0.15), (ConditionalGAN, 0.45)])
def test_law_the_mean_of_samples_for_gaussian_data_is_the_posterior_mean(kind: Kind, bound: float) -> None:
    """s = x M + noise: after 240 steps the samples' mean is x M, within the bound as a share of x M's own size."""
    generator = torch.Generator().manual_seed(1)
    x, lift = torch.randn(512, 4, generator=generator), torch.randn(4, 3, generator=generator)
    s = x @ lift + 0.3 * torch.randn(512, 3, generator=generator)
    original = revcd(
        4, 3, 512,
        precondition={"kind": "centre", "unit_length": False},
        encoder={"width": 16, "heads": 1, "dropout": 0.0, "feature_scaling": "standard"},
        denoiser={"width": 32, "dropout": 0.0},
        train={"epochs": 30, "batch_size": 64, "learning_rate": 0.005, "ema_decay": 0.95},
    )  # fmt: skip
    trainer = TRAINERS[kind](kind(original), TrainingRows(x, torch.arange(512), s))
    test = torch.randn(100, 4, generator=generator)

    def error() -> float:
        drawn = trainer.ema.sample(trainer.ema.encode(test), generators(*range(100)), 64)
        off = trainer.ema.preconditioner.inverse(drawn).mean(1) - test @ lift
        return float((off.square().mean() / (test @ lift).square().mean()).sqrt())

    untrained = error()
    for epoch in range(30):
        trainer.run_epoch(epoch, epoch)

    assert error() < bound < 0.6 < untrained


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_train_equal_generative_baselines(kind: Kind) -> None:
    def trained(seed: int) -> dict[str, Tensor]:
        data = TrainingRows(rows(32, FEATURES).float(), torch.arange(32) % CLASSES, rows(CLASSES, ATTRIBUTES).float())
        trainer = TRAINERS[kind](kind(revcd(train={"batch_size": 8, "epochs": 2})), data)
        assert torch.isfinite(trainer.run_epoch(0, seed).total)
        return trainer.ema.state_dict()

    first, again, other = trained(0), trained(0), trained(1)

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert all(torch.isfinite(value).all() for value in first.values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_classification_loss_has_the_configured_weight_and_excludes_mixtures(
    kind: Kind,
) -> None:
    prototypes, labels = rows(3, ATTRIBUTES), torch.tensor([0, 2, -1])
    s_0_hat, weight = rows(3, ATTRIBUTES, seed=2), 0.5
    model = baseline(kind, loss={"cls_weight": weight, "cls_temperature": 0.2})

    term = model.classification(s_0_hat, labels, prototypes)

    cosines = torch.cosine_similarity(s_0_hat[:, None], prototypes[None], dim=-1) / 0.2
    expected = -(cosines[0].log_softmax(0)[0] + cosines[1].log_softmax(0)[2]) / 2
    torch.testing.assert_close(term, weight * expected)
    assert baseline(kind).classification(s_0_hat, labels, prototypes) == 0
