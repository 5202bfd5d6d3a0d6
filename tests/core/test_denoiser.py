"""The cross Hadamard-addition U-Net against its formulas, one row at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from revcd_cli.config import DenoiserConfig
from revcd_cli.core.denoiser import BatchNorm, CrossLayer, Denoiser, sinusoidal_embedding

ATTRIBUTES, CONDITION, OUTPUTS = 6, 5, 7
VARIANTS = [(reading, norm) for reading in ("A", "B") for norm in ("layer", "batch")]
every_variant = pytest.mark.parametrize(("reading", "norm"), VARIANTS)


def network(reading: str = "A", norm: str = "layer", *, random: bool = True) -> Denoiser:
    """A denoiser in evaluation mode, with initial or with random weights and running statistics."""
    torch.manual_seed(0)
    settings = DenoiserConfig(width=16, reading=reading, norm=norm, time_width=8)
    net = Denoiser(settings, ATTRIBUTES, CONDITION, OUTPUTS).eval()
    if random:
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.copy_(0.4 * torch.randn_like(parameter))
            for name, buffer in net.named_buffers():
                if "running" in name:
                    buffer.copy_(0.5 + torch.rand_like(buffer))
    return net


def inputs(rows: int = 5, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    s_t, c = (torch.randn(rows, n, generator=generator) for n in (ATTRIBUTES, CONDITION))
    return s_t, torch.randint(1, 51, (rows,), generator=generator), c


def affine(linear: nn.Linear, x: Tensor) -> Tensor:
    return linear.weight @ x + linear.bias


def slow_layer(layer: CrossLayer, role: str, x: Tensor, embedding: Tensor, c: Tensor) -> Tensor:
    """Compute one layer for one row as in the paper: the encoder multiplies by time, the decoder by the condition."""
    first, _, last = layer.time
    hidden = affine(first, embedding)
    time, condition = affine(last, hidden * torch.sigmoid(hidden)), affine(layer.condition, c)
    if role == "encoder":
        mixed = affine(layer.linear, x) * (1 + time) + condition
    else:
        mixed = affine(layer.linear, x) * (1 + condition) + time
    norm = layer.norm
    if isinstance(norm, nn.LayerNorm):
        mean, variance = mixed.mean(), mixed.var(correction=0)
    else:
        mean, variance = norm.running_mean, norm.running_var
    return torch.relu((mixed - mean) / (variance + 1e-5).sqrt() * norm.weight + norm.bias)


def slow_denoiser(net: Denoiser, reading: str, s_t: Tensor, t: int, c: Tensor) -> Tensor:
    """Compute the whole U-Net for one row. The sinusoid of times 1..T has the arguments 0..T-1."""
    embedding = []
    for i in range(4):
        angle = (t - 1) * 10_000 ** (-2 * i / 8)
        embedding += [math.sin(angle), math.cos(angle)]
    embedding = torch.tensor(embedding)
    down = [s_t]
    for layer in net.encoder:
        down.append(slow_layer(layer, "encoder", down[-1], embedding, c))
    if reading == "A":
        _, h_1, h_2 = down
        (up,) = net.decoder
        u = slow_layer(up, "decoder", torch.cat([h_2, h_1]), embedding, c)
    else:
        _, h_1, h_2, h_3 = down
        inner, outer = net.decoder
        u = slow_layer(inner, "decoder", torch.cat([h_3, h_2]), embedding, c)
        u = slow_layer(outer, "decoder", torch.cat([u, h_1]), embedding, c)
    return affine(net.out, u)


@pytest.mark.parametrize("width", [2, 8, 128])
def test_time_embedding_interleaves_sines_and_cosines_of_falling_frequency(width: int) -> None:
    t = torch.tensor([0, 1, 17, 499])

    embedding = sinusoidal_embedding(t, width)

    assert embedding.shape == (4, width)
    for row, time in zip(embedding, t.tolist(), strict=True):
        for i in range(width // 2):
            angle = time / 10_000 ** (2 * i / width)
            assert row[2 * i : 2 * i + 2].tolist() == pytest.approx([math.sin(angle), math.cos(angle)], abs=1e-4)


def test_the_time_embedding_keeps_leading_axes() -> None:
    t = torch.arange(6).view(2, 3)

    assert torch.equal(sinusoidal_embedding(t, 8), sinusoidal_embedding(t.flatten(), 8).view(2, 3, 8))
    assert torch.equal(sinusoidal_embedding(torch.tensor(4), 8), sinusoidal_embedding(t.flatten(), 8)[4])


@every_variant
def test_denoiser_equals_its_formulas_row_by_row(reading: str, norm: str) -> None:
    net = network(reading, norm)
    s_t, t, c = inputs()

    with torch.no_grad():
        out = net(s_t, t, c)
        slow = torch.stack([slow_denoiser(net, reading, s_t[k], int(t[k]), c[k]) for k in range(5)])

    assert out.shape == (5, OUTPUTS)
    torch.testing.assert_close(out, slow, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("reading", "down", "up"), [("A", 2, 1), ("B", 3, 2)])
def test_the_readings_of_the_paper_differ_in_their_numbers_of_hidden_layers(reading: str, down: int, up: int) -> None:
    net = network(reading)

    assert (len(net.encoder), len(net.decoder)) == (down, up)


@pytest.mark.parametrize("reading", ["A", "B"])
def test_multipliers_are_initialised_to_one(reading: str) -> None:
    net = network(reading, random=False)
    _, t, c = inputs()
    time = sinusoidal_embedding(t, 8)

    for layer in net.encoder:
        assert torch.equal(layer.time(time), torch.zeros(5, 16))  # 1 + 0: multiplies by one
        assert layer.condition(c).abs().max() > 0.01  # but the condition is added from the start
    for layer in net.decoder:
        assert torch.equal(layer.condition(c), torch.zeros(5, 16))
        assert layer.time(time).abs().max() > 0.01


@every_variant
def test_broadcasting_classes_over_photos_equals_row_by_row_computation(reading: str, norm: str) -> None:
    net = network(reading, norm)
    s_t, _, _ = inputs(3)
    c = inputs(4, seed=2)[2]
    t = torch.tensor(9)

    together = net(s_t[None, :, :], t, c[:, None, :])

    assert together.shape == (4, 3, OUTPUTS)
    for photo in range(4):
        for k in range(3):
            alone = net(s_t[k : k + 1], t[None], c[photo : photo + 1])[0]
            torch.testing.assert_close(together[photo, k], alone, rtol=1e-4, atol=1e-5)


@every_variant
def test_broadcasting_draws_classes_and_photos_equals_row_by_row_computation(reading: str, norm: str) -> None:
    net = network(reading, norm)
    s_t = torch.randn(2, 3, ATTRIBUTES, generator=torch.Generator().manual_seed(3))
    t, c = torch.tensor([[4], [33]]), inputs(4, seed=2)[2]

    together = net(s_t, t, c[:, None, None, :])

    assert together.shape == (4, 2, 3, OUTPUTS)
    for photo in range(4):
        for draw in range(2):
            alone = net(s_t[draw], t[draw].expand(3), c[photo].expand(3, -1))
            torch.testing.assert_close(together[photo, draw], alone, rtol=1e-4, atol=1e-5)


@every_variant
def test_in_evaluation_a_row_does_not_depend_on_the_rest_of_the_batch(reading: str, norm: str) -> None:
    net = network(reading, norm)
    s_t, t, c = inputs()

    alone = torch.cat([net(s_t[k : k + 1], t[k : k + 1], c[k : k + 1]) for k in range(5)])

    torch.testing.assert_close(net(s_t, t, c), alone, rtol=1e-4, atol=1e-5)


@every_variant
def test_vector_time_and_condition_each_change_the_output(reading: str, norm: str) -> None:
    net = network(reading, norm)
    s_t, t, c = inputs()
    out = net(s_t, t, c)

    for other in (net(s_t + 1, t, c), net(s_t, t % 50 + 1, c), net(s_t, t, c + 1)):
        assert ((out - other).abs().amax(-1) > 1e-3).all()


@pytest.mark.parametrize("shape", [(40, 3), (5, 8, 3), (2, 4, 5, 3)])
def test_batch_norm_in_training_normalises_the_last_axis_over_all_others(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape) * torch.tensor([1.0, 5.0, 0.2]) + torch.tensor([0.0, -3.0, 9.0])

    rows = BatchNorm(3).train()(x).flatten(0, -2)

    assert BatchNorm(3).train()(x).shape == shape
    torch.testing.assert_close(rows.mean(0), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(rows.var(0, correction=0), torch.ones(3), rtol=0, atol=1e-3)


def test_dropout_is_active_in_training_only() -> None:
    net = network()
    s_t, t, c = inputs()

    assert torch.equal(net(s_t, t, c), net(s_t, t, c))
    net.train()
    assert not torch.equal(net(s_t, t, c), net(s_t, t, c))
