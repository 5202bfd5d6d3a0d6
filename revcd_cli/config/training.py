"""Settings of the optimisation and of validation."""

from __future__ import annotations

from dataclasses import dataclass

from .checks import check_choice, check_range


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The optimisation. One epoch draws as many rows as the training set has, class-balanced."""

    members: int = 1  # networks of each view, which differ by their seed
    epochs: int = 20  # at most; validation chooses how many of them are kept
    batch_size: int = 128
    learning_rate: float = 1e-3  # AdamW, decaying to zero over `epochs`
    lr_schedule: str = "cosine"  # "cosine" | "linear" (the paper presets')
    weight_decay: float = 0.01
    gradient_clip: float = 1.0  # largest gradient norm
    ema_decay: float = 0.995  # per step, of the exponential moving average of the weights, which is kept
    mixup: float = 0.0  # share of conditional rows that are convex mixtures of two photos and their descriptions
    validation_classes: float = 0.2  # share of the seen classes that a fold holds out, if no split says so
    validation_folds: int = 5  # at most; no class is held out in more than one of them
    validation_rows: float = 0.2  # share of each remaining class's photos held out as a fold's seen test
    evaluate_every: int = 5  # epochs between two validations
    # The candidates of validation: "seen", the classes with photos in trainval, as S, U and H are measured, or "table",
    # all classes of the class table, as a model that names all of them is used. "auto": "table" where the penalty
    # becomes "sparing" by "auto", else "seen"
    candidates: str = "auto"
    # On seen classes: "harmonic" (best H on validation) | "sparing" | "none" (the paper). "auto": "sparing" for a model
    # that `revcd train` makes from the user's own data, else "harmonic" (benchmarks, comparisons, `tune` and `study`)
    penalty: str = "auto"
    false_reject: float = 0.1  # share of validation's right answers that --reject may withhold
    give_away: float = 0.1  # "sparing": share of validation's seen accuracy that the penalty may cost

    def __post_init__(self) -> None:
        for name in ("members", "epochs", "batch_size", "evaluate_every", "validation_folds"):
            check_range(f"train.{name}", getattr(self, name), 1)
        check_choice("train.penalty", self.penalty, ("auto", "harmonic", "sparing", "none"))
        check_choice("train.candidates", self.candidates, ("auto", "seen", "table"))
        check_choice("train.lr_schedule", self.lr_schedule, ("cosine", "linear"))
        check_range("train.learning_rate", self.learning_rate, 1e-8, 1)
        check_range("train.weight_decay", self.weight_decay, 0, 10)
        check_range("train.gradient_clip", self.gradient_clip, 1e-6)
        check_range("train.ema_decay", self.ema_decay, 0, 0.99999)
        check_range("train.mixup", self.mixup, 0, 1)
        check_range("train.validation_classes", self.validation_classes, 0, 0.9)
        check_range("train.validation_rows", self.validation_rows, 0.01, 0.9)
        check_range("train.give_away", self.give_away, 0, 1)
        check_range("train.false_reject", self.false_reject, 0, 1)
