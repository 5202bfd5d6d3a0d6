"""The RevCD network: preprocessing of descriptions and features, and its estimates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from revcd_cli.config import Config
from revcd_cli.core.model import RevCD
from revcd_cli.core.objective import OBJECTIVES, to_estimate

FEATURES, ATTRIBUTES, CLASSES = 9, 5, 8
LABELS = torch.arange(30) % CLASSES


def revcd(**sections: dict[str, object]) -> RevCD:
    torch.manual_seed(0)
    small = {
        "diffusion": {"timesteps": 20},
        "encoder": {"n_tokens": 2, "width": 16, "heads": 2, "feedforward": 16},
        "denoiser": {"width": 16, "time_width": 8},
    }
    merged = {name: small.get(name, {}) | sections.get(name, {}) for name in small | sections}
    model = RevCD(Config.from_dict(merged), FEATURES, ATTRIBUTES, CLASSES).double().eval()
    model.fit_preprocessing(rows(30, FEATURES), LABELS, rows(8, ATTRIBUTES))
    return model


def rows(count: int, width: int, seed: int = 1) -> Tensor:
    return 3 + 2 * torch.randn(count, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["standardise", "whiten", "centre"])
def test_unit_length_preprocessing_keeps_only_the_direction_of_descriptions(kind: str) -> None:
    model, s = revcd(precondition={"kind": kind}), rows(8, ATTRIBUTES)

    z = model.precondition(s)

    torch.testing.assert_close(z.square().mean(-1), torch.ones(8).double())
    plain = model.preconditioner(s)
    torch.testing.assert_close(z * plain.norm(dim=-1, keepdim=True), plain * ATTRIBUTES**0.5)


def test_descriptions_keep_their_lengths_without_unit_length_preprocessing() -> None:
    model, s = revcd(precondition={"unit_length": False}), rows(8, ATTRIBUTES)

    assert torch.equal(model.precondition(s), model.preconditioner(s))
    assert float(model.precondition(s).square().mean()) == pytest.approx(1)


def test_preconditioning_of_a_description_does_not_depend_on_the_others() -> None:
    model, s = revcd(), rows(8, ATTRIBUTES)

    torch.testing.assert_close(torch.stack([model.precondition(one) for one in s]), model.precondition(s))


def test_a_description_equal_to_the_mean_of_all_is_zero_and_not_nan() -> None:
    model = revcd()

    z = model.precondition(model.preconditioner.mean[None])

    assert torch.equal(z, torch.zeros(1, ATTRIBUTES).double())


def test_units_of_the_features_do_not_change_the_condition_of_a_standardised_model() -> None:
    model, x = revcd(encoder={"feature_scaling": "standard"}), rows(4, FEATURES, seed=3)
    before = model.encode(x)

    model.fit_preprocessing(100 * rows(30, FEATURES) - 7, LABELS, rows(8, ATTRIBUTES))

    torch.testing.assert_close(model.encode(100 * x - 7), before)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_estimate_is_the_network_output_converted_at_its_own_time(objective: str) -> None:
    model = revcd(diffusion={"timesteps": 20, "objective": objective}, inference={"rule": "evidence"})
    s_t, c, t = rows(6, ATTRIBUTES), rows(6, 16, seed=2), torch.tensor([1, 2, 7, 15, 19, 20])

    estimate = model.estimate(s_t, t, c)

    expected = to_estimate(objective, model.denoiser(s_t, t, c), s_t, model.schedule.alpha_bar(t, s_t))
    assert torch.equal(estimate.s_0, expected.s_0)
    assert torch.equal(estimate.eps, expected.eps)


def test_the_state_of_the_model_contains_everything_that_is_fitted() -> None:
    model, fresh = revcd(), RevCD(revcd().config, FEATURES, ATTRIBUTES, CLASSES).double().eval()

    fresh.load_state_dict(model.state_dict())

    assert torch.equal(fresh.precondition(rows(8, ATTRIBUTES)), model.precondition(rows(8, ATTRIBUTES)))
    assert torch.equal(fresh.encode(rows(4, FEATURES)), model.encode(rows(4, FEATURES)))
