"""Training of the generative baselines: RevCD's batches, optimiser and moving average with another loss."""

from __future__ import annotations

from ..core.loss import Losses
from ..core.trainer import RowSource, Trainer, TrainingRows
from .gan import ConditionalGAN
from .generative import GenerativeBaseline

CRITIC_STEPS = 3  # per step of the generator
_ADAM_BETAS = (0.5, 0.9)  # less momentum than usual, as the loss changes while critic and generator alternate


class GenerativeTrainer(Trainer[GenerativeBaseline]):
    """Trains a generative baseline; of the losses that `run_epoch` returns, only the total is meaningful."""

    def _losses(self) -> Losses:
        loss = self.model.loss(*self._batch(), self.z)
        return Losses(loss, *loss.new_zeros(len(Losses._fields) - 1))


class GANTrainer(GenerativeTrainer):
    """Trains the critic for `CRITIC_STEPS` steps before each step of the generator.

    One optimiser is enough: it skips parameters without a gradient, and each loss has gradients for one network only.
    """

    model: ConditionalGAN

    def __init__(self, model: ConditionalGAN, rows: TrainingRows, source: RowSource | None = None) -> None:
        super().__init__(model, rows, source)
        for group in self.optimizer.param_groups:
            group["betas"] = _ADAM_BETAS

    def _losses(self) -> Losses:
        self.model.critic.requires_grad_(True)
        for _ in range(CRITIC_STEPS):
            x, s_0, _ = self._batch()
            self._descend(self.model.critic_loss(x, s_0))
        self.model.critic.requires_grad_(False)
        return super()._losses()
