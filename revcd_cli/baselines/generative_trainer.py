"""The optimisation of RevCD's rivals: its own batches, optimiser, learning rate and average, another loss."""

from __future__ import annotations

from ..core.loss import Losses
from ..core.trainer import Trainer, TrainingRows
from .gan import ConditionalGAN
from .generative import GenerativeBaseline

CRITIC_STEPS = 3  # per step of the generator
_ADAM_BETAS = (0.5, 0.9)  # less momentum than usual: the loss itself moves while critic and generator take turns


class GenerativeTrainer(Trainer):
    """Trains a rival; of the losses that `run_epoch` returns, only the total has a meaning."""

    model: GenerativeBaseline

    def _losses(self) -> Losses:
        loss = self.model.loss(*self._batch(), self.z)
        return Losses(loss, *loss.new_zeros(len(Losses._fields) - 1))


class GANTrainer(GenerativeTrainer):
    """Lets the critic make `CRITIC_STEPS` steps before each step of the generator.

    One optimiser serves both: it passes over parameters without a gradient, and each side's loss reaches its own only.
    """

    model: ConditionalGAN

    def __init__(self, model: ConditionalGAN, rows: TrainingRows) -> None:
        super().__init__(model, rows)
        for group in self.optimizer.param_groups:
            group["betas"] = _ADAM_BETAS

    def _losses(self) -> Losses:
        self.model.critic.requires_grad_(True)
        for _ in range(CRITIC_STEPS):
            x, s_0, _ = self._batch()
            self._descend(self.model.critic_loss(x, s_0))
        self.model.critic.requires_grad_(False)
        return super()._losses()
