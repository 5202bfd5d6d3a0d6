"""Checks of settings that are valid alone and wrong together, which raise `ConfigError`.

A network is asked only for estimates that its training determines, and only by samplers that do not amplify their
error (docs/method.md, section 8): else samples without a photo do not follow the distribution of the descriptions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    from .config import Config
    from .scoring import InferenceConfig

_FEWEST_LINEAR_STEPS = 100  # with fewer, beta_T is above 0.2, and the first steps of the chain amplify errors


def check_combination(config: Config) -> None:
    """Raise `ConfigError` if settings of different sections contradict each other."""
    inference = config.inference
    if inference.rule in ("prototype", "joint") and config.prototypes.components == 0:
        raise ConfigError(f"inference.rule = {inference.rule} needs prototypes.components above 0.")
    if config.simulation.share > 0 and config.prototypes.components == 0:
        raise ConfigError(
            f"simulation.share = {config.simulation.share:g} needs prototypes.components above 0.",
            hint="Classes are simulated by the visual prototypes; without them, set simulation.share to 0, too.",
        )
    if inference.network_share > 0 and not (config.class_network.width and config.prototypes.components):
        raise ConfigError(
            f"inference.network_share = {inference.network_share:g} needs class_network.width and "
            "prototypes.components above 0."
        )
    if config.denoiser.norm == "batch" and config.train.batch_size < 2:
        raise ConfigError("denoiser.norm = batch needs a train.batch_size of at least 2.")
    if inference.steps > config.diffusion.timesteps:
        raise ConfigError(
            f"inference.steps must be in 1..{config.diffusion.timesteps} (diffusion.timesteps); got {inference.steps}."
        )
    check_estimates(config, inference)


def check_estimates(config: Config, inference: InferenceConfig) -> None:
    """Raise `ConfigError` if the rule needs an estimate that training leaves open, or a sampler that amplifies it.

    inference: used with a model of these settings, instead of its own.
    """
    if inference.rule in ("cosine", "auto") and _head(config, inference) == "eps":
        _check_noise_sampler(config, inference)
    reason = _needs_no_photo(inference)
    if reason:
        _check_trained_without_photo(config, inference, reason)


def _head(config: Config, inference: InferenceConfig) -> str:
    """Return what sampling reads: "v", "x0", "eps" or "mixed"."""
    return inference.head if config.diffusion.objective == "both" else config.diffusion.objective


def _named(config: Config, inference: InferenceConfig) -> str:
    """Return the setting that names the head."""
    if config.diffusion.objective == "both":
        return f"inference.head = {inference.head}"
    return f"diffusion.objective = {config.diffusion.objective}"


def _check_noise_sampler(config: Config, inference: InferenceConfig) -> None:
    """A clean vector computed from the noise divides the error by sqrt(alpha_bar_t), 1e-4 to 1e-2 at t = T."""
    diffusion = config.diffusion
    which = f"{_named(config, inference)} samples from the estimate of the noise"
    if inference.sampler != "ddpm":
        raise ConfigError(
            f"{which}, whose error inference.sampler = {inference.sampler} amplifies.",
            hint="Use inference.sampler = ddpm, diffusion.objective = v, or inference.rule = evidence.",
        )
    if not inference.clip and (diffusion.schedule != "linear" or diffusion.timesteps < _FEWEST_LINEAR_STEPS):
        raise ConfigError(
            f"{which}, whose error the first steps of diffusion.schedule = {diffusion.schedule} with "
            f"diffusion.timesteps = {diffusion.timesteps} amplify.",
            hint=f"Use diffusion.schedule = linear and {_FEWEST_LINEAR_STEPS} or more timesteps, or inference.clip.",
        )


def _needs_no_photo(inference: InferenceConfig) -> str:
    """Return the setting for which the network is used without a photo; "" if there is none."""
    if inference.rule in ("cosine", "auto") and inference.guidance_scale != 1:
        return f"inference.guidance_scale = {inference.guidance_scale:g}"
    return f"inference.rule = {inference.rule}" if inference.rule in ("evidence", "joint", "auto") else ""


def _check_trained_without_photo(config: Config, inference: InferenceConfig, reason: str) -> None:
    loss = config.loss
    which = f"{reason} uses the network without a photo"
    if loss.drop_condition == 0:
        raise ConfigError(
            f"{which}, which loss.drop_condition = 0 does not train.",
            hint="Set loss.drop_condition above 0, or use inference.rule = cosine or prototype without guidance.",
        )
    by_rec = loss.drop == "masked" and loss.rec_rows == "all" and loss.rec_weight > 0
    needed = "Use loss.drop = masked, loss.rec_rows = all and a loss.rec_weight above 0"
    if config.diffusion.objective == "both" and inference.head != "eps" and not by_rec:
        raise ConfigError(
            f"{which}, where no loss trains the clean vector, which inference.head = {inference.head} reads.",
            hint=f"{needed}, or inference.head = eps.",
        )
    by_noise = loss.noise_weight > 0
    if not by_noise and (not by_rec or (config.diffusion.objective == "both" and inference.head != "x0")):
        raise ConfigError(
            f"{which}, which loss.noise_weight = 0 does not train.", hint="Set loss.noise_weight above 0."
        )
    one_step = inference.sampler == "ddim" and inference.steps == 1
    if inference.rule in ("cosine", "auto") and inference.guidance_scale != 1 and one_step and not by_rec:
        raise ConfigError(
            f"{which}; inference.steps = 1 reads it at t = T, where L_noise alone does not train it.",
            hint=f"{needed}, or more steps.",
        )
