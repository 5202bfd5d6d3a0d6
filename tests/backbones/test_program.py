"""Programs: features equal those of the recorded network, also after a program is read from the cache."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from revcd_cli.backbones.program import steps as programs
from revcd_cli.backbones.program.cache import load_program, save_program
from revcd_cli.backbones.program.record import record
from revcd_cli.backbones.program.steps import Program
from revcd_cli.backbones.tokens import TokenNetwork

CPU = torch.device("cpu")
SIZE = (3, 64, 64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def with_statistics(network: nn.Module) -> nn.Module:
    """Set random statistics in each batch normalisation, as after training; a new network has 0 and 1."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -0.2), (module.running_var, 0.5), (module.weight, 0.5)):
                tensor.data.uniform_(low, low + 1, generator=seeded())
            module.bias.data.uniform_(-0.2, 0.2, generator=seeded(1))
    return network.eval().requires_grad_(False)


def network(tag: str) -> nn.Module:
    torch.manual_seed(0)
    return with_statistics(timm.create_model(tag, pretrained=False, num_classes=0))


def photos(count: int = 3) -> Tensor:
    return torch.randn(count, *SIZE, generator=seeded(2))


def of(made: Program | None, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    assert made is not None
    with torch.inference_mode():
        return made.prepared(CPU, dtype)(images.to(dtype)).float()


@pytest.fixture(params=["oneDNN", "torch"])
def convolution_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute convolutions with oneDNN, and with torch's public functions."""
    if request.param == "torch":
        monkeypatch.setattr(programs, "has_onednn", lambda device, dtype: False)


@pytest.mark.usefixtures("convolution_backend")
@pytest.mark.parametrize(
    "tag",
    ["test_resnet", "resnet18", "tf_efficientnet_lite0", "test_efficientnet", "mobilenetv3_small_050", "regnety_002"],
)
def test_a_program_gives_the_features_of_its_network(tag: str):
    plain = network(tag)
    expected = plain(photos())
    found = of(record(plain, SIZE), photos())
    assert (found - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.usefixtures("convolution_backend")
def test_a_program_in_bfloat16_differs_by_at_most_a_few_rounding_errors():
    plain = network("test_resnet")
    found = of(record(plain, SIZE), photos(), torch.bfloat16)
    assert torch.cosine_similarity(found, plain(photos())).min() > 0.9999


@pytest.mark.parametrize("tag", ["test_resnet", "tf_efficientnet_lite0"])
def test_the_tokens_of_a_program_equal_those_of_its_network(tag: str):
    plain = TokenNetwork(network(tag), tag, SIZE)
    expected = plain(photos())
    assert (of(record(plain, SIZE), photos()) - expected).norm() < 1e-5 * expected.norm()


def test_normalisation_activations_and_sums_are_fused_with_convolutions():
    made = record(network("resnet18"), SIZE)
    assert [step.kind for step in made.steps if step.kind != "conv"] == ["max_pool", "mean", "flatten"]
    assert sum(len(step.inputs) == 2 for step in made.steps) == 8  # one for each residual block


def test_padding_is_fused_into_convolutions_if_the_features_are_a_mean_over_positions():
    kinds = [step.kind for step in record(network("tf_efficientnet_lite0"), SIZE).steps]
    assert "pad" not in kinds and kinds.count("mirror") == 1
    tokens = TokenNetwork(network("tf_efficientnet_lite0"), "tf_efficientnet_lite0", SIZE)
    assert "mirror" not in [step.kind for step in record(tokens, SIZE).steps]  # folding would reverse the order


class Padded(nn.Module):
    """Layers that each pad with a given number of zeros on each side and convolve."""

    def __init__(self, pads: list[list[int]], kernel: int, stride: int, dilation: int, value: float = 0.0) -> None:
        super().__init__()
        self.pads, self.value = pads, value
        torch.manual_seed(0)
        settings = {"stride": stride, "dilation": dilation, "padding": 1}
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, kernel, **settings) for _ in pads)

    def forward(self, x: Tensor) -> Tensor:
        for pad, layer in zip(self.pads, self.layers, strict=True):
            x = layer(nn.functional.pad(x, pad, value=self.value)).relu()
        return x.mean((2, 3))


@pytest.mark.parametrize("size", [21, 22, 23, 24])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "value"),
    [(3, 1, 1, 0.0), (3, 2, 1, 0.0), (5, 2, 1, 0.0), (3, 3, 2, 0.0), (3, 2, 1, 1.0)],
)
@pytest.mark.parametrize("pads", [[[0, 1, 0, 1]], [[1, 0, 1, 1], [0, 1, 0, 1]], [[1, 1, 2, 2], [0, 2, 1, 1]]])
def test_with_any_padding_a_program_gives_the_features_of_its_network(
    pads: list[list[int]], kernel: int, stride: int, dilation: int, value: float, size: int
):
    plain = Padded(pads, kernel, stride, dilation, value).requires_grad_(False)
    images = torch.randn(2, 3, size, size + 1, generator=seeded(2))
    found = of(record(plain, (3, size, size + 1)), images)
    assert (found - plain(images)).norm() <= 1e-5 * plain(images).norm()


def test_the_input_images_are_not_overwritten():
    images = photos()
    before = images.clone()
    of(record(network("test_resnet"), SIZE), images)
    assert torch.equal(images, before)


class Shared(nn.Module):
    """Reads values again after in-place operations, and adds its own input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z = self.second(y) + y  # a sum with its own input
        w = torch.relu(z) + y  # `y` and `z` are read again
        return (self.second(w) + x).relu_().add(z).mean((2, 3))


@pytest.mark.usefixtures("convolution_backend")
def test_values_that_are_read_again_are_not_overwritten():
    torch.manual_seed(0)
    plain = Shared().eval().requires_grad_(False)
    torch.testing.assert_close(of(record(plain, SIZE), photos()), plain(photos()))


class Unknown(nn.Module):
    def __init__(self, what: str) -> None:
        super().__init__()
        self.conv, self.norm, self.what = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(3), what

    def forward(self, x: Tensor) -> Tensor:
        if self.what == "normalises first":
            return self.conv(self.norm(x)).mean((2, 3))
        if self.what == "a constant":
            return (self.conv(x) * torch.ones(4, 1, 1)).mean((2, 3))
        return self.conv(x).exp().mean((2, 3))


@pytest.mark.parametrize("what", ["normalises first", "a constant", "an operation"])
def test_a_network_with_an_unsupported_operation_has_no_program(what: str):
    assert record(with_statistics(Unknown(what)), SIZE) is None


@pytest.mark.parametrize("tag", ["test_vit", "test_convnext"])
def test_a_network_with_layer_normalisation_has_no_program(tag: str):
    plain = network(tag)
    assert record(plain, plain.pretrained_cfg["input_size"]) is None


def test_a_program_is_checked_before_it_is_used(monkeypatch: pytest.MonkeyPatch):
    plain = network("test_resnet")
    monkeypatch.setitem(programs._OPERATIONS, "avg_pool", lambda options, own: lambda x: x[..., ::2, ::2])
    assert record(plain, SIZE) is None


def test_a_program_read_from_its_file_is_bitwise_equal(tmp_path: Path):
    made, about = record(network("test_resnet"), SIZE), {"feature_dim": 96, "tokens": 0}
    save_program(tmp_path / "a.program", made, about)
    loaded, loaded_details = load_program(tmp_path / "a.program")
    assert loaded_details == about
    assert torch.equal(of(loaded, photos()), of(made, photos()))


@pytest.mark.parametrize("damage", ["missing", "cut", "one bit", "empty"])
def test_a_damaged_program_file_is_ignored(tmp_path: Path, damage: str):
    path = tmp_path / "a.program"
    save_program(path, record(network("test_resnet"), SIZE), {})
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "one bit":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    assert load_program(path) is None


def test_an_unwritable_cache_is_not_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    save_program(tmp_path / "file" / "a.program", record(network("test_resnet"), SIZE), {})
    assert load_program(tmp_path / "file" / "a.program") is None
