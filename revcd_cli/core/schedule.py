"""Noise schedules and the closed forms of the forward process (paper section 3.1, Eq. 1-9).

Time is t = 0..T: t = 0 is the clean vector (alpha_bar = 1), t = T almost pure noise. Coefficients are tables in float64
on the CPU; their values at t have the dtype of the data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAX_BETA = 0.999  # keeps alpha_bar_T positive


def linear_betas(timesteps: int) -> Tensor:
    """Return beta_1..beta_T, rising linearly; both ends scale with 1000/T so that alpha_bar_T is small for any T."""
    scale = 1000 / timesteps
    return torch.linspace(1e-4 * scale, 0.02 * scale, timesteps, dtype=torch.float64).clamp(max=MAX_BETA)


def cosine_betas(timesteps: int) -> Tensor:
    """Return beta_1..beta_T of alpha_bar_t = f(t)/f(0), f(t) = cos^2((t/T + 0.008)/1.008 * pi/2)."""
    t = torch.arange(timesteps + 1, dtype=torch.float64)
    f = torch.cos((t / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - f[1:] / f[:-1]).clamp(max=MAX_BETA)


class NoiseSchedule:
    """The coefficients of q(s_t | s_0) and q(s_{t-1} | s_t, s_0); every method takes t as an integer tensor 0..T."""

    def __init__(self, betas: Tensor) -> None:
        self.betas = torch.cat([betas.new_zeros(1), betas])  # (T+1,), betas[0] = 0
        self.alphas = 1 - self.betas
        self.alphas_cumprod = torch.cumprod(self.alphas, 0)  # alpha_bar, alphas_cumprod[0] = 1

    @classmethod
    def named(cls, name: str, timesteps: int) -> NoiseSchedule:
        """Return the schedule "linear" or "cosine" with T = `timesteps`."""
        return cls({"linear": linear_betas, "cosine": cosine_betas}[name](timesteps))

    @property
    def timesteps(self) -> int:
        """The number of steps, T."""
        return len(self.betas) - 1

    def alpha_bar(self, t: Tensor, like: Tensor) -> Tensor:
        """Return alpha_bar_t with one trailing axis, to multiply vectors of shape (*t.shape, A)."""
        return _gather(self.alphas_cumprod, t, like)

    def beta(self, t: Tensor, like: Tensor) -> Tensor:
        """Return beta_t with one trailing axis."""
        return _gather(self.betas, t, like)

    def snr(self, t: Tensor, like: Tensor) -> Tensor:
        """Return SNR(t) = alpha_bar_t / (1 - alpha_bar_t), t >= 1, with one trailing axis."""
        return _gather(self.alphas_cumprod / (1 - self.alphas_cumprod), t, like)

    def q_sample(self, s_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Noise a clean vector (Eq. 1): s_t = sqrt(alpha_bar_t) s_0 + sqrt(1 - alpha_bar_t) eps."""
        alpha_bar = self.alpha_bar(t, s_0)
        return alpha_bar.sqrt() * s_0 + (1 - alpha_bar).sqrt() * eps

    def posterior_mean(self, s_0: Tensor, s_t: Tensor, t: Tensor) -> Tensor:
        """Return the mean of q(s_{t-1} | s_t, s_0) for t >= 1 (Eq. 8)."""
        of_s_t = self.alphas.sqrt() * (1 - self._before) / (1 - self.alphas_cumprod)
        of_s_0 = self._before.sqrt() * self.betas / (1 - self.alphas_cumprod)
        return _gather(of_s_t, t, s_t) * s_t + _gather(of_s_0, t, s_t) * s_0

    def posterior_variance(self, t: Tensor, like: Tensor) -> Tensor:
        """Return sigma_q^2(t) = beta_t (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t), t >= 1; zero at t = 1."""
        return _gather(self._variance, t, like)

    def exact_rec_weight(self, t: Tensor, like: Tensor) -> Tensor:
        """Return (SNR(t-1) - SNR(t)) / 2, the variational weight of ||s_hat - s_0||^2 (Eq. 10), for t >= 2."""
        snr = self.alphas_cumprod / (1 - self.alphas_cumprod)
        return _gather((torch.cat([snr[:1], snr[:-1]]) - snr) / 2, t, like)

    def exact_noise_weight(self, t: Tensor, like: Tensor) -> Tensor:
        """Return beta_t^2 / (2 sigma_q^2 (1 - alpha_bar_t) alpha_t), that of ||eps_hat - eps||^2 (Eq. 13), t >= 2."""
        weight = self.betas**2 / (2 * self._variance * (1 - self.alphas_cumprod) * self.alphas)
        return _gather(weight, t, like)

    @property
    def _before(self) -> Tensor:
        """alpha_bar_{t-1}"""
        return torch.cat([self.alphas_cumprod[:1], self.alphas_cumprod[:-1]])

    @property
    def _variance(self) -> Tensor:
        return self.betas * (1 - self._before) / (1 - self.alphas_cumprod)


def _gather(values: Tensor, t: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype).to(t.device)[t].unsqueeze(-1)  # not every device has float64
