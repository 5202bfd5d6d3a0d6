"""Noise schedules and the closed forms of the forward process (paper section 3.1, Eq. 1-9).

Time is t = 0..T: t = 0 is the clean vector (alpha_bar = 1), t = T almost pure noise. The values of a coefficient at t
have the dtype of the data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

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


class NoiseSchedule(nn.Module):
    """The coefficients of q(s_t | s_0) and q(s_{t-1} | s_t, s_0); every method takes t as an integer tensor 0..T.

    Each coefficient is a table of T + 1 values, computed once in float64 and kept in float32 on the model's device.
    They are not part of the model's state. betas: (T,) float64.
    """

    betas: Tensor  # beta_t, betas[0] = 0
    alphas_cumprod: Tensor  # alpha_bar_t, alphas_cumprod[0] = 1

    def __init__(self, betas: Tensor) -> None:
        super().__init__()
        beta = torch.cat([betas.new_zeros(1), betas])
        alpha = 1 - beta
        now = alpha.cumprod(0)  # alpha_bar_t
        before = torch.cat([now[:1], now[:-1]])  # alpha_bar_{t-1}
        variance = beta * (1 - before) / (1 - now)
        snr, snr_before = now / (1 - now), before / (1 - before)
        tables = {
            "betas": beta,
            "alphas_cumprod": now,
            "_snr": snr,
            "_variance": variance,
            "_mean_of_s_t": alpha.sqrt() * (1 - before) / (1 - now),
            "_mean_of_s_0": before.sqrt() * beta / (1 - now),
            "_mean_scale": alpha.rsqrt(),
            "_mean_of_eps": beta / (1 - now).sqrt(),
            "_rec_weight": (snr_before - snr) / 2,
            "_noise_weight": beta**2 / (2 * variance * (1 - now) * alpha),
        }
        for name, table in tables.items():
            # 0/0 at t = 0, which no step reads, becomes 0.
            self.register_buffer(name, table.float().nan_to_num(posinf=math.inf), persistent=False)

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
        return self._at("alphas_cumprod", t, like)

    def beta(self, t: Tensor, like: Tensor) -> Tensor:
        """Return beta_t with one trailing axis."""
        return self._at("betas", t, like)

    def snr(self, t: Tensor, like: Tensor) -> Tensor:
        """Return SNR(t) = alpha_bar_t / (1 - alpha_bar_t), t >= 1, with one trailing axis."""
        return self._at("_snr", t, like)

    def q_sample(self, s_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Noise a clean vector (Eq. 1): s_t = sqrt(alpha_bar_t) s_0 + sqrt(1 - alpha_bar_t) eps."""
        alpha_bar = self.alpha_bar(t, s_0)
        return alpha_bar.sqrt() * s_0 + (1 - alpha_bar).sqrt() * eps

    def posterior_mean(self, s_0: Tensor, s_t: Tensor, t: Tensor) -> Tensor:
        """Return the mean of q(s_{t-1} | s_t, s_0), t >= 1 (Eq. 8); of p_theta for an estimate of s_0 (Eq. 9)."""
        return self._at("_mean_of_s_t", t, s_t) * s_t + self._at("_mean_of_s_0", t, s_t) * s_0

    def posterior_mean_from_noise(self, eps: Tensor, s_t: Tensor, t: Tensor) -> Tensor:
        """Return that mean from the noise (Eq. 12): (s_t - beta_t/sqrt(1-alpha_bar_t) eps)/sqrt(alpha_t), t >= 1."""
        return self._at("_mean_scale", t, s_t) * (s_t - self._at("_mean_of_eps", t, s_t) * eps)

    def posterior_variance(self, t: Tensor, like: Tensor) -> Tensor:
        """Return sigma_q^2(t) = beta_t (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t), t >= 1; zero at t = 1."""
        return self._at("_variance", t, like)

    def exact_rec_weight(self, t: Tensor, like: Tensor) -> Tensor:
        """Return (SNR(t-1) - SNR(t)) / 2, the variational weight of ||s_hat - s_0||^2 (Eq. 10), for t >= 2."""
        return self._at("_rec_weight", t, like)

    def exact_noise_weight(self, t: Tensor, like: Tensor) -> Tensor:
        """Return beta_t^2 / (2 sigma_q^2 (1 - alpha_bar_t) alpha_t), that of ||eps_hat - eps||^2 (Eq. 13), t >= 2."""
        return self._at("_noise_weight", t, like)

    def _at(self, table: str, t: Tensor, like: Tensor) -> Tensor:
        values: Tensor = self.get_buffer(table)
        return values[t].unsqueeze(-1).to(like.dtype)
