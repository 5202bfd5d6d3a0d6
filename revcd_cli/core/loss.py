"""The three losses and one training step's total (paper sections 3.1-3.2, Eq. 10, 13, 15, 16, Algorithm 1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import LossConfig
from .model import RevCD
from .objective import Estimate
from .schedule import NoiseSchedule

SNR_CLIP = 5.0  # bound on the weight of the loss that a head does not predict directly, as in Min-SNR weighting


class Losses(NamedTuple):
    """Scalar means over the batch; `total` is what is minimised."""

    total: Tensor
    rec: Tensor
    noise: Tensor
    cls: Tensor


def loss_weights(
    config: LossConfig, objective: str, schedule: NoiseSchedule, t: Tensor, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weights of ||s_hat - s_0||^2 and ||eps_hat - eps||^2 at times t (B,), each (B, 1).

    "simple" is 1, "exact" the variational weight (defined for t >= 2). If the head predicts only one of the two, the
    error of the other is that error times SNR or 1/SNR, which is unbounded; its weight is clipped so that the product
    stays within `SNR_CLIP`.
    """
    ones = torch.ones_like(like[:, :1])
    if config.weighting == "exact":
        return schedule.exact_rec_weight(t, like), schedule.exact_noise_weight(t, like)
    if objective == "x0":
        return ones, (SNR_CLIP / schedule.snr(t, like)).clamp(max=1)
    if objective == "eps":
        return (SNR_CLIP * schedule.snr(t, like)).clamp(max=1), ones
    return ones, ones


def reconstruction_loss(s_0_hat: Tensor, s_0: Tensor, weight: Tensor) -> Tensor:
    """Return w_rec(t) ||s_0_hat - s_0||^2 / A (Eq. 10), per row: (B,). s_0_hat, s_0: (B, A); weight: (B, 1)."""
    return (weight * (s_0_hat - s_0) ** 2).mean(-1)


def noise_loss(eps_hat: Tensor, eps: Tensor, weight: Tensor) -> Tensor:
    """Return w_noise(t) ||eps_hat - eps||^2 / A (Eq. 13), per row: (B,). eps_hat, eps: (B, A); weight: (B, 1)."""
    return (weight * (eps_hat - eps) ** 2).mean(-1)


def class_log_probabilities(s_0_hat: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """Return log p(y | s), the classifier of Eq. 14: a softmax over cosines to the seen prototypes: (B, C).

    Its gradient by s moves an estimate towards a class. Unseen prototypes are excluded: as negatives they would train
    the network against unseen classes. s_0_hat: (B, A); prototypes: (C, A).
    """
    cosines = F.normalize(s_0_hat, dim=-1) @ F.normalize(prototypes, dim=-1).T
    return F.log_softmax(cosines / temperature, dim=-1)


def class_loss(s_0_hat: Tensor, labels: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of the classifier (Eq. 15), per row: (B,).

    s_0_hat: (B, A); labels: (B,) index into prototypes (C, A), or -1 for a row without a class, which counts 0.
    """
    log_probabilities = class_log_probabilities(s_0_hat, prototypes, temperature)
    return F.nll_loss(log_probabilities, labels, ignore_index=-1, reduction="none")


def total_loss(config: LossConfig, rec: Tensor, noise: Tensor, cls: Tensor) -> Tensor:
    """Return lambda_1 L_rec + lambda_2 L_noise + lambda_3 L_cls (Eq. 16)."""
    return config.rec_weight * rec + config.noise_weight * noise + config.cls_weight * cls


def training_losses(model: RevCD, x: Tensor, s_0: Tensor, labels: Tensor, prototypes: Tensor) -> Losses:
    """Draw times, noise and dropped conditions for one batch and return its losses (Algorithm 1, without the step).

    x: (B, width) features that `RevCD.scaler` scaled; s_0: (B, A) preconditioned descriptions; labels: (B,) index into
    prototypes (C, A), preconditioned, of the seen classes, or -1 where a row is a mixture and has no class. All
    randomness comes from torch's global generator.
    """
    config, schedule = model.config.loss, model.schedule
    rows = len(x)
    # The exact weights begin at t = 2: Eq. 5 leaves the last step out.
    first = 2 if config.weighting == "exact" else 1
    t = torch.randint(first, schedule.timesteps + 1, (rows,), device=x.device)
    eps = torch.randn_like(s_0)
    kept = torch.rand(rows, 1, device=x.device) >= config.drop_condition  # (B, 1)

    s_t = schedule.q_sample(s_0, t, eps)
    condition = model.encoder(x)  # (B, W)
    masked = torch.where(kept, condition, model.null)
    of_noise = model.estimate(s_t, t, masked)
    # L_cls needs the photo: it counts only rows that keep it. In a second pass all rows do, for L_rec and L_cls.
    of_photo, with_photo = of_noise, kept[:, 0]
    if config.drop == "two-pass":
        of_photo, with_photo = model.estimate(s_t, t, condition), torch.ones_like(with_photo)
    # L_noise alone hardly trains the clean vector near t = T, so rows without a photo count in L_rec, too.
    counted = torch.ones_like(with_photo) if config.rec_rows == "all" else with_photo

    rec_weight, noise_weight = loss_weights(config, model.config.diffusion.objective, schedule, t, s_0)
    rec = _mean_over(reconstruction_loss(of_photo.s_0, s_0, rec_weight), counted)
    noise = noise_loss(of_noise.eps, eps, noise_weight).mean()
    cls = s_0.new_zeros(())
    if config.cls_weight > 0:
        per_row = class_loss(of_photo.s_0, labels, prototypes, config.cls_temperature)
        if config.cls_fade:
            per_row = schedule.alpha_bar(t, s_0)[:, 0] * per_row
        cls = _mean_over(per_row, with_photo & (labels >= 0))
    total = total_loss(config, rec, noise, cls)
    if model.config.diffusion.objective == "both" and config.consistency_weight > 0:
        total = total + config.consistency_weight * consistency(of_noise, s_t, schedule.alpha_bar(t, s_0))
    return Losses(total, rec.detach(), noise.detach(), cls.detach())


def consistency(estimate: Estimate, s_t: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return the mean square of s_t - sqrt(ab) s_0_hat - sqrt(1 - ab) eps_hat, which is zero for a single head."""
    return (s_t - alpha_bar.sqrt() * estimate.s_0 - (1 - alpha_bar).sqrt() * estimate.eps).square().mean()


def _mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).sum() / chosen.sum().clamp(min=1)
