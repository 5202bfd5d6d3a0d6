"""DDIM with few steps against the full DDPM chain: OMP_NUM_THREADS=1 python benchmarks/sampling.py

The naive chain is Algorithm 2 as written: every time from T to 1, the condition encoded again at each, the two branches
of guidance one after the other. All ways name the photos of a network that was trained on made-up classes, by cosines.
"""

from __future__ import annotations

import functools
import statistics

import torch
from networks import in_turn, network, one_member, ratio, rows
from torch import Generator, Tensor

from revcd_cli.config import InferenceConfig
from revcd_cli.core.model import RevCD
from revcd_cli.core.objective import Estimate
from revcd_cli.core.sample import ddpm_sample, sample_semantics
from revcd_cli.core.trainer import Trainer
from revcd_cli.scoring.cosine import cosine_scores
from revcd_cli.system.memory import keep_freed_memory

PHOTOS, CLASSES, SAMPLES, EPOCHS, ROUNDS = 64, 20, 16, 8, 2
NOISE = 2.5  # so much that some photos are named wrongly
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
    tested = rows(2000 + PHOTOS, CLASSES, NOISE)
    model, x, labels = trainer.ema, tested.features[-PHOTOS:], tested.labels[-PHOTOS:]
    z = model.precondition(data.prototypes)
    print(f"T = {one_member().diffusion.timesteps}, {PHOTOS} photos, {SAMPLES} samples each, {CLASSES} classes")
    with torch.inference_mode():
        for guidance in (1.0, 2.0):
            compare(model, x, z, labels, guidance)


def compare(model: RevCD, x: Tensor, z: Tensor, labels: Tensor, guidance: float) -> None:
    def answers(samples: Tensor) -> Tensor:
        return cosine_scores(samples, z).argmax(1)

    def share(left: Tensor, right: Tensor) -> str:
        return f"{float((left == right).float().mean()):.0%}"

    ways = {"naive": functools.partial(full_chain, model, x, guidance)}
    ways |= {str(steps): functools.partial(few_steps, model, x, guidance, steps) for steps in STEPS}
    seconds = in_turn(ways, ROUNDS)
    chain = answers(ways["naive"]())
    chain_s, again = statistics.median(seconds["naive"]), answers(full_chain(model, x, guidance, first_seed=PHOTOS))
    print(f"\nguidance {guidance:g}: naive chain {chain_s:.1f} s, {share(chain, labels)} right; ", end="")
    print(f"{share(again, chain)} the same with other noise")
    print("\n| steps | s | ratio | same class as the chain | right |")
    for steps in map(str, STEPS):
        ours = answers(ways[steps]())
        times = f"{statistics.median(seconds[steps]):.3f} | {ratio(seconds['naive'], seconds[steps])}"
        print(f"| {steps} | {times} | {share(ours, chain)} | {share(ours, labels)} |")


if __name__ == "__main__":
    main()
