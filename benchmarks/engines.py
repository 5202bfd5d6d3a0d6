"""Compare revcd's forward pass with OpenVINO and torch.compile: python benchmarks/engines.py [--engines NAME ...]

Every round runs each engine once on batches in memory: revcd's own program with one stream per core; OpenVINO in
throughput mode with as many streams (skipped if `openvino` is not installed); torch.compile with frozen weights (needs
a C++ compiler) with revcd's streams. ResNet-101 has random weights, which do not change its speed. The start-up time of
each engine, including compilation, is printed too.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from common import with_range
from torch import Tensor, nn

from revcd_cli.backbones.backbone import EMBEDDED_ARCHITECTURE, embedded_network
from revcd_cli.backbones.program.record import record
from revcd_cli.backbones.source import embedded_weights
from revcd_cli.system.memory import keep_freed_memory
from revcd_cli.system.threads import stream_count, stream_pool, use_threads

SIDES = {"resnet101": 224, EMBEDDED_ARCHITECTURE: 260}
PRECISIONS = {"f32": torch.float32, "bf16": torch.bfloat16}
Engine = Callable[[list[Tensor]], list[Tensor]]  # batches (B, 3, H, W), float32, to features (B, D)


def bare_network(name: str) -> nn.Module:
    import timm

    torch.manual_seed(0)
    if name == EMBEDDED_ARCHITECTURE:
        network = embedded_network(embedded_weights())
    else:
        network = timm.create_model(name, pretrained=False)
    network.reset_classifier(0)
    return network.eval().requires_grad_(False)


def in_streams(run: Callable[[Tensor], Tensor]) -> Engine:
    """Return an engine that runs one batch per core at a time, as `revcd extract` does."""

    def step(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return run(images).float()

    def forward(batches: list[Tensor]) -> list[Tensor]:
        with stream_pool(stream_count(torch.device("cpu"), torch.get_num_threads())) as pool:
            return list(pool.map(step, batches))

    return forward


def of_revcd(network: nn.Module, dtype: torch.dtype, photo: Tensor) -> Engine:
    program = record(network, tuple(photo.shape[1:]))
    prepared = program.prepared(torch.device("cpu"), dtype)
    return in_streams(lambda images: prepared(images.to(dtype, memory_format=torch.channels_last)))


def openvino_program(network: nn.Module, dtype: torch.dtype, photo: Tensor, shape: list[int]) -> Any:
    """Compile for batches of this shape (-1: any size) with as many streams as revcd uses."""
    import openvino
    from openvino import properties
    from openvino.properties import hint

    model = openvino.convert_model(network, example_input=photo[:1], input=[shape])
    kind = openvino.Type.bf16 if dtype == torch.bfloat16 else openvino.Type.f32
    settings = {
        hint.performance_mode(): hint.PerformanceMode.THROUGHPUT,
        hint.inference_precision(): kind,
        properties.inference_num_threads(): torch.get_num_threads(),
        properties.num_streams(): stream_count(torch.device("cpu"), torch.get_num_threads()),
    }
    return openvino.Core().compile_model(model, "CPU", settings)


def of_openvino(network: nn.Module, dtype: torch.dtype, photo: Tensor) -> Engine:
    import openvino

    compiled = openvino_program(network, dtype, photo, list(photo.shape))

    def forward(batches: list[Tensor]) -> list[Tensor]:
        found: dict[int, Tensor] = {}
        queue = openvino.AsyncInferQueue(compiled)
        queue.set_callback(
            lambda request, number: found.update({number: torch.from_numpy(request.get_output_tensor().data.copy())})
        )
        for number, images in enumerate(batches):
            queue.start_async({0: images.numpy()}, number, share_inputs=True)
        queue.wait_all()
        return [found[number] for number in sorted(found)]

    return forward


def of_compile(network: nn.Module, dtype: torch.dtype, photo: Tensor) -> Engine:
    import copy

    import torch._inductor.config

    torch._inductor.config.freezing = True
    compiled = torch.compile(copy.deepcopy(network).to(dtype, memory_format=torch.channels_last))
    run = in_streams(lambda images: compiled(images.to(dtype, memory_format=torch.channels_last)))
    with torch.inference_mode():
        compiled(photo.to(dtype, memory_format=torch.channels_last))  # compile in this thread, before the streams start
    return run


ENGINES: dict[str, Callable[[nn.Module, torch.dtype, Tensor], Engine]] = {
    "revcd": of_revcd,
    "openvino": of_openvino,
    "compile": of_compile,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=4, help="of each engine in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--networks", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    given = parser.parse_args()
    if "openvino" in given.engines and importlib.util.find_spec("openvino") is None:
        print("openvino is not installed and is skipped; to include it: pip install openvino")
        given.engines.remove("openvino")
    keep_freed_memory()
    use_threads()
    for name in given.networks:
        for precision in given.precisions:
            compare(given, name, precision)


def compare(given: argparse.Namespace, name: str, precision: str) -> None:
    network, side = bare_network(name), SIDES[name]
    batches = list(torch.randn(given.batches, given.batch, 3, side, side))
    with torch.inference_mode():
        exact = network(batches[0])
    engines: dict[str, Engine] = {}
    for engine in given.engines:
        started = time.perf_counter()
        engines[engine] = ENGINES[engine](network, PRECISIONS[precision], batches[0])
        found = engines[engine](batches[:2])[0]
        ready = time.perf_counter() - started
        cosine = torch.cosine_similarity(exact, found, dim=1).min()
        print(f"{name} {precision} {engine}: ready after {ready:.1f} s, least cosine {cosine:.6f}", flush=True)
    rates: dict[str, list[tuple[float, float]]] = {engine: [] for engine in engines}
    for _ in range(given.rounds):
        for engine, run in engines.items():
            started = [clock() for clock in (time.perf_counter, time.process_time)]
            run(batches)
            ended = [clock() for clock in (time.perf_counter, time.process_time)]
            rates[engine].append(
                tuple(given.batch * given.batches / (b - a) for a, b in zip(started, ended, strict=True))
            )
    for engine, found in rates.items():
        against = [
            with_range([mine[n] / ours[n] for mine, ours in zip(found, rates["revcd"], strict=True)]) for n in (0, 1)
        ]
        rate = statistics.median(clock for clock, _ in found)
        print(f"| {name} | {precision} | {given.batch} | {engine} | {rate:.1f} | {' | '.join(against)} |", flush=True)


if __name__ == "__main__":
    main()
