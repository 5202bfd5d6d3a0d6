"""The visual encoder against an implementation in plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from revcd_cli.config import EncoderConfig
from revcd_cli.core.encoder import ChunkTokens, SingleTokenLayer, ViewTokens, VisualEncoder

TOKENS = ("chunk", "single", "views")


def config(tokens: str = "chunk", **changes: object) -> EncoderConfig:
    return EncoderConfig(**{"tokens": tokens, "n_tokens": 4, "width": 16, "heads": 2, "feedforward": 24} | changes)


def encoder(settings: EncoderConfig, feature_dim: int = 10) -> VisualEncoder:
    """An encoder in evaluation mode with random weights, also those that are initialised to a constant."""
    torch.manual_seed(0)
    network = VisualEncoder(settings, feature_dim).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.4 * torch.randn_like(parameter))
    return network


def features(rows: int = 5, feature_dim: int = 10) -> Tensor:
    return torch.randn(rows, feature_dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    return (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt() * norm.weight + norm.bias


def attention(rows: list[Tensor], module: nn.MultiheadAttention) -> list[Tensor]:
    """Multi-head self-attention over a list of vectors, one score at a time."""
    width = len(rows[0])
    size = width // module.num_heads
    q, k, v = (
        [module.in_proj_weight[part] @ row + module.in_proj_bias[part] for row in rows]
        for part in (slice(0, width), slice(width, 2 * width), slice(2 * width, 3 * width))
    )
    outputs = []
    for i in range(len(rows)):
        heads = []
        for head in range(module.num_heads):
            cut = slice(head * size, (head + 1) * size)
            scores = torch.stack([q[i][cut] @ k[j][cut] / math.sqrt(size) for j in range(len(rows))])
            shares = scores.exp() / scores.exp().sum()
            heads.append(sum(share * v[j][cut] for j, share in enumerate(shares)))
        outputs.append(module.out_proj.weight @ torch.cat(heads) + module.out_proj.bias)
    return outputs


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def slow_condition(network: VisualEncoder, tokens: Tensor) -> Tensor:
    """The condition of one photo from its tokens (N, W): pre-norm Transformer, read at the class token."""
    rows = [network.cls[0], *(token + place for token, place in zip(tokens, network.position, strict=True))]
    for layer in network.transformer.layers:
        attended = attention([layer_norm(row, layer.norm1) for row in rows], layer.self_attn)
        rows = [row + more for row, more in zip(rows, attended, strict=True)]
        hidden = [gelu(layer.linear1.weight @ layer_norm(row, layer.norm2) + layer.linear1.bias) for row in rows]
        rows = [row + layer.linear2.weight @ h + layer.linear2.bias for row, h in zip(rows, hidden, strict=True)]
    return layer_norm(rows[0], network.norm)


@pytest.mark.parametrize(("feature_dim", "n_tokens", "length"), [(12, 4, 3), (10, 4, 3), (9, 4, 3), (3, 4, 1)])
def test_chunks_are_equal_pieces_of_the_vector_padded_with_zeros(feature_dim: int, n_tokens: int, length: int) -> None:
    torch.manual_seed(0)
    chunks = ChunkTokens(feature_dim, n_tokens, 6).double()
    x = features(2, feature_dim)

    tokens = chunks(x)

    assert tokens.shape == (2, n_tokens, 6)
    padded = torch.cat([x, torch.zeros(2, n_tokens * length - feature_dim).double()], dim=1)
    for photo in range(2):
        for n in range(n_tokens):
            piece = padded[photo, n * length : (n + 1) * length]
            torch.testing.assert_close(tokens[photo, n], chunks.project.weight @ piece + chunks.project.bias)


def test_views_are_projections_of_the_whole_vector() -> None:
    torch.manual_seed(0)
    views, x = ViewTokens(10, 3, 6).double(), features(2)

    tokens = views(x)

    assert tokens.shape == (2, 3, 6)
    for n in range(3):
        weight, bias = (p[n * 6 : (n + 1) * 6] for p in (views.project.weight, views.project.bias))
        torch.testing.assert_close(tokens[:, n], x @ weight.T + bias)


@pytest.mark.parametrize("tokens", ["chunk", "views"])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_encoder_equals_a_transformer_in_plain_loops_plus_a_linear_path(tokens: str, layers: int) -> None:
    network, x = encoder(config(tokens, layers=layers)), features(3)

    with torch.no_grad():
        condition = network(x)
        for photo in range(3):
            slow = slow_condition(network, network.tokens(x)[photo])
            linear = network.skip.weight @ x[photo] + network.skip.bias
            torch.testing.assert_close(condition[photo], slow + linear)


@pytest.mark.parametrize("tokens", TOKENS)
def test_skip_path_adds_a_linear_map_of_the_features_and_nothing_else(tokens: str) -> None:
    network, x = encoder(config(tokens)), features()
    without = VisualEncoder(config(tokens, skip=False), 10).double().eval()
    weights = {name: value for name, value in network.state_dict().items() if not name.startswith("skip.")}
    without.load_state_dict(weights)

    added = network(x) - without(x)

    torch.testing.assert_close(added, x @ network.skip.weight.T + network.skip.bias)


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("feature_dim", [10, 2])
def test_the_condition_has_the_configured_width_for_any_feature_size(tokens: str, feature_dim: int) -> None:
    assert encoder(config(tokens), feature_dim)(features(5, feature_dim)).shape == (5, 16)


@pytest.mark.parametrize("tokens", TOKENS)
def test_condition_of_a_photo_does_not_depend_on_the_rest_of_the_batch(tokens: str) -> None:
    network, x = encoder(config(tokens)), features()

    alone = torch.cat([network(x[i : i + 1]) for i in range(5)])

    torch.testing.assert_close(network(x), alone)
    torch.testing.assert_close(network(x.flip(0)), alone.flip(0))


def test_the_order_of_chunks_matters_through_position_embeddings_only() -> None:
    network, x = encoder(config(skip=False), feature_dim=8), features(3, 8)
    shuffled = x.unflatten(1, (4, 2))[:, [2, 0, 3, 1]].flatten(1)

    assert (network(x) - network(shuffled)).abs().max() > 1e-3
    nn.init.zeros_(network.position)
    torch.testing.assert_close(network(x), network(shuffled))


@pytest.mark.parametrize("tokens", TOKENS)
def test_every_feature_reaches_the_condition_without_the_skip_path(tokens: str) -> None:
    network, x = encoder(config(tokens, skip=False)), features(1).requires_grad_()

    network(x).square().sum().backward()

    assert (x.grad.abs() > 0).all()


@pytest.mark.parametrize("tokens", TOKENS)
def test_dropout_is_active_in_training_only(tokens: str) -> None:
    network, x = encoder(config(tokens, dropout=0.5)), features()

    assert torch.equal(network(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))


def test_attention_over_a_single_token_does_not_use_queries_and_keys() -> None:
    """The layer and its gradients equal those of torch; dropout drops whole heads."""
    settings = (16, 4, 24, 0.0, "gelu")
    torch.manual_seed(0)
    usual = nn.TransformerEncoderLayer(*settings, batch_first=True, norm_first=True).double()
    single = SingleTokenLayer(*settings, batch_first=True, norm_first=True).double()
    single.load_state_dict(usual.state_dict())
    x = features(5, 16).unsqueeze(1)
    for layer in (usual, single):
        layer(x).square().sum().backward()
    torch.testing.assert_close(single(x), usual(x))
    for name, parameter in usual.named_parameters():
        torch.testing.assert_close(single.get_parameter(name).grad, parameter.grad)

    single.self_attn.dropout = 0.5
    with torch.no_grad():
        single.self_attn.out_proj.weight.copy_(torch.eye(16))
        single.self_attn.out_proj.bias.zero_()
        kept = single._sa_block(x) / single.eval()._sa_block(x)  # (5, 1, 16): 0 or 2, alike within a head
    heads = kept.unflatten(-1, (4, 4))
    torch.testing.assert_close(heads, heads[..., :1].expand_as(heads))
    assert sorted(heads.round().unique().tolist()) == [0, 2]
