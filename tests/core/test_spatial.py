"""Spatial tokens in the encoder and in the scaling of features."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from revcd_cli.config import Config, EncoderConfig
from revcd_cli.core.encoder import SpatialTokens, VisualEncoder
from revcd_cli.core.model import RevCD
from revcd_cli.core.precondition import FeatureScaler
from revcd_cli.errors import ConfigError

N, C, W = 6, 5, 16


def config(**changes: object) -> EncoderConfig:
    return EncoderConfig(**{"tokens": "spatial", "width": W, "heads": 2, "feedforward": 24, "dropout": 0.0} | changes)


def encoder(settings: EncoderConfig) -> VisualEncoder:
    """An encoder in evaluation mode with random weights, also those that are initialised to a constant."""
    torch.manual_seed(0)
    network = VisualEncoder(settings, N * C, N).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.4 * torch.randn_like(parameter))
    return network


def rows(photos: int = 4) -> Tensor:
    return torch.randn(photos, N * C, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_every_token_is_projected_by_the_same_map() -> None:
    torch.manual_seed(0)
    tokeniser, x = SpatialTokens(N * C, N, W).double(), rows()

    tokens = tokeniser(x)

    assert tokens.shape == (4, N, W)
    for n in range(N):
        torch.testing.assert_close(tokens[:, n], tokeniser.project(x[:, n * C : (n + 1) * C]))


def test_the_input_of_the_linear_path_is_the_mean_of_the_tokens() -> None:
    network, x = encoder(config()), rows()
    without = VisualEncoder(config(skip=False), N * C, N).double().eval()
    without.load_state_dict({name: v for name, v in network.state_dict().items() if not name.startswith("skip.")})
    mean = torch.stack([x[:, n * C : (n + 1) * C] for n in range(N)]).mean(0)

    assert network.skip.in_features == C
    torch.testing.assert_close(network(x) - without(x), network.skip(mean))


def test_the_order_of_tokens_matters_through_position_embeddings_only() -> None:
    network, x = encoder(config()), rows()
    shuffled = x.unflatten(1, (N, C))[:, [3, 1, 5, 0, 2, 4]].flatten(1)

    assert (network(x) - network(shuffled)).abs().max() > 1e-3
    torch.nn.init.zeros_(network.position)
    torch.testing.assert_close(network(x), network(shuffled))


def test_every_value_of_every_token_reaches_the_condition_without_the_linear_path() -> None:
    network, x = encoder(config(skip=False)), rows(1).requires_grad_()

    network(x).square().sum().backward()

    assert (x.grad.abs() > 0).all()


def test_a_photos_condition_does_not_depend_on_the_rest_of_the_batch() -> None:
    network, x = encoder(config()), rows()

    torch.testing.assert_close(network(x), torch.cat([network(row[None]) for row in x]))


def test_the_number_of_tokens_is_that_of_the_features_not_the_setting() -> None:
    assert encoder(config(n_tokens=16)).position.shape == (N, W)


def test_pooled_features_are_refused_by_spatial_tokens_with_a_hint_how_to_extract_them() -> None:
    with pytest.raises(ConfigError, match="pooled") as caught:
        VisualEncoder(config(), N * C)
    assert "--tokens" in caught.value.hint


@pytest.mark.parametrize("tokens", ["chunk", "single", "views"])
def test_spatial_features_are_refused_by_every_other_tokenisation(tokens: str) -> None:
    with pytest.raises(ConfigError, match=f"encoder.tokens = {tokens} reads pooled features; these are {N} spatial"):
        VisualEncoder(config(tokens=tokens), N * C, N)


@pytest.mark.parametrize("kind", ["standard", "minmax"])
def test_scaling_is_fitted_per_channel_over_all_tokens_of_all_photos(kind: str) -> None:
    x = rows(50).float()
    x = (x.unflatten(1, (N, C)) * torch.arange(1.0, C + 1) + torch.arange(C)).flatten(1)
    tokens = x.reshape(-1, C)

    scaler = FeatureScaler(N * C, kind, N).fit(x)

    assert scaler.shift.shape == scaler.gain.shape == (C,)
    alone = FeatureScaler(C, kind).fit(tokens)
    torch.testing.assert_close(scaler(x), alone(tokens).reshape(50, N * C))


def test_equal_tokens_at_two_positions_stay_equal_after_scaling() -> None:
    x = rows(50).float()
    x[:, :C] *= 100  # a place with large values in training
    scaler = FeatureScaler(N * C, "standard", N).fit(x)
    new = torch.randn(3, C).repeat(1, N)

    scaled = scaler(new).unflatten(1, (N, C))

    torch.testing.assert_close(scaled, scaled[:, :1].expand(-1, N, -1))


def test_l2_scaling_divides_all_tokens_of_a_photo_by_one_length() -> None:
    x = rows().float()

    scaled = FeatureScaler(N * C, "l2", N).fit(x)(x)

    torch.testing.assert_close(scaled.square().mean(1), torch.ones(4))
    torch.testing.assert_close(scaled / scaled[:, :1], x / x[:, :1])


def test_a_model_of_spatial_tokens_learns_from_them_and_scales_by_channel() -> None:
    settings = Config.from_dict({"encoder": {"tokens": "spatial", "width": W, "heads": 2}, "denoiser": {"width": 8}})
    torch.manual_seed(0)
    model = RevCD(settings, N * C, 3, 4, N)
    x = rows().float()
    model.fit_preprocessing(x, torch.arange(4), torch.randn(4, 3))

    condition = model.encode(x)
    condition.sum().backward()

    assert condition.shape == (4, W)
    assert model.scaler.width == N * min(C, 3)
    assert all(parameter.grad is not None for parameter in model.encoder.parameters())
