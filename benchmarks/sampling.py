"""Compare DDIM sampling in few steps with the full DDPM chain: OMP_NUM_THREADS=1 python benchmarks/sampling.py

The reference is Algorithm 2 as written: all steps from T to 1, each encoding the condition again and evaluating the two
branches of guidance separately. A network trained on generated classes classifies photos by the cosine rule.
"""

from __future__ import annotations

import functools
import statistics

import torch
from common import print_header, print_row, speed_up, time_in_rounds
from networks import network, rows, single_network
from torch import Generator, Tensor

from revcd_cli.config import InferenceConfig
from revcd_cli.core.model import RevCD
from revcd_cli.core.objective import Estimate
from revcd_cli.core.sample import ddpm_sample, sample_semantics
from revcd_cli.core.trainer import Trainer
from revcd_cli.scoring.cosine import nearest_class
from revcd_cli.system.memory import keep_freed_memory

PHOTOS, CLASSES, SAMPLES, EPOCHS, ROUNDS = 64, 20, 16, 8, 2
NOISE = 2.5  # large enough that some photos are misclassified
STEPS = (1, 2, 5, 10, 20)


def settings(guidance: float, steps: int = 1) -> InferenceConfig:
    return InferenceConfig(rule="cosine", samples=SAMPLES, steps=steps, guidance_scale=guidance)


def generators(first_seed: int = 0) -> list[Generator]:
    return [Generator().manual_seed(first_seed + photo) for photo in range(PHOTOS)]


def few_steps(model: RevCD, x: Tensor, guidance: float, steps: int) -> Tensor:
    return sample_semantics(model, model.encode(x), settings(guidance, steps), generators())


def full_chain(model: RevCD, x: Tensor, guidance: float, first_seed: int = 0) -> Tensor:
    noises = generators(first_seed)

    def noise() -> Tensor:
        return torch.stack([torch.randn(SAMPLES, model.n_attributes, generator=one) for one in noises])

    def denoise(s_t: Tensor, t: Tensor) -> Estimate:
        estimate = model.estimate(s_t, t, model.encode(x).unsqueeze(1))
        return estimate if guidance == 1 else estimate.guided(model.estimate(s_t, t, model.null), guidance)

    return ddpm_sample(denoise, model.schedule, noise)


def main() -> None:
    keep_freed_memory()
    data = rows(2000, CLASSES, NOISE)
    model = network(data).requires_grad_(True)
    trainer = Trainer(model, data)
    for epoch in range(EPOCHS):
        trainer.run_epoch(epoch, epoch)
    test = rows(2000 + PHOTOS, CLASSES, NOISE)
    model, x, labels = trainer.ema, test.features[-PHOTOS:], test.labels[-PHOTOS:]
    z = model.precondition(data.prototypes)
    print(f"T = {single_network().diffusion.timesteps}, {PHOTOS} photos, {SAMPLES} samples each, {CLASSES} classes")
    with torch.inference_mode():
        for guidance in (1.0, 2.0):
            compare(model, x, z, labels, guidance)


def compare(model: RevCD, x: Tensor, z: Tensor, labels: Tensor, guidance: float) -> None:
    def predictions(samples: Tensor) -> Tensor:
        return nearest_class(samples, z)

    def share(left: Tensor, right: Tensor) -> str:
        return f"{float((left == right).float().mean()):.0%}"

    variants = {"chain": functools.partial(full_chain, model, x, guidance)}
    variants |= {str(steps): functools.partial(few_steps, model, x, guidance, steps) for steps in STEPS}
    seconds = time_in_rounds(variants, ROUNDS)
    chain = predictions(variants["chain"]())
    chain_s, again = statistics.median(seconds["chain"]), predictions(full_chain(model, x, guidance, first_seed=PHOTOS))
    print(f"\nguidance {guidance:g}: full chain {chain_s:.1f} s CPU, accuracy {share(chain, labels)}; ", end="")
    print(f"{share(again, chain)} of the predictions are the same with other noise\n")
    print_header("steps", "CPU s", "speed-up", "same prediction as the chain", "accuracy")
    for steps in map(str, STEPS):
        ours = predictions(variants[steps]())
        faster = speed_up(seconds["chain"], seconds[steps])
        print_row(steps, f"{statistics.median(seconds[steps]):.3f}", faster, share(ours, chain), share(ours, labels))


if __name__ == "__main__":
    main()
