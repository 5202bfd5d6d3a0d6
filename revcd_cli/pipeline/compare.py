"""Table 2: posterior approximation by diffusion, VAE and GAN, compared like with like (paper section 4.2).

Every method is trained on the same rows with the same encoder, preconditioning and widths, by the same protocol:
validation chooses the number of epochs and the seen penalty, trainval trains anew, and the test photos are read once.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..config import Config
from ..core.cvae import ConditionalVAE
from ..core.gan import ConditionalGAN
from ..core.model import RevCD
from ..core.rival_trainer import GANTrainer, RivalTrainer
from ..core.rivals import Rival
from ..core.trainer import Trainer
from ..data.dataset import Dataset
from ..data.splits import Split
from ..errors import UsageError, did_you_mean
from ..files import check_output, write_bytes
from ..runtime import choose_device
from .evaluate import score_split
from .train import EpochInfo, TrainingRun

FIGURES = ("S", "U", "H", "T1")
_RIVALS: dict[str, tuple[type[Rival], type[RivalTrainer]]] = {
    "cvae": (ConditionalVAE, RivalTrainer),
    "gan": (ConditionalGAN, GANTrainer),
}
_RULES = {"revcd": "cosine", "revcd-evidence": "evidence", "cvae": "cosine", "gan": "cosine"}
METHODS = tuple(_RULES)
_FILES = ("comparison.json", "comparison.csv")


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """One method trained with one seed."""

    method: str
    rule: str  # by which its photos were answered
    seed: int
    epochs: int  # chosen on validation
    gamma: float  # the seen penalty, fitted on validation
    validation: dict[str, float | None]  # S, U, H, T1 as shares of 1
    test: dict[str, float | None]


@dataclass(frozen=True)
class Fitted:
    """A trained method, before any test photo was read."""

    model: RevCD | Rival
    config: Config
    epochs: int
    gamma: float
    validation: dict[str, float | None]


class _MethodRun(TrainingRun):
    """The training of a model, for any method; nothing of it is saved."""

    def __init__(self, dataset: Dataset, config: Config, method: str, seed: int, device: torch.device) -> None:
        super().__init__(dataset, config, Path(), seed, device, lambda info: None)
        self.method = method

    def make_trainer(self, split: Split) -> Trainer:
        trainer = super().make_trainer(split)
        if self.method not in _RIVALS:
            return trainer
        rival, trained_by = _RIVALS[self.method]
        return trained_by(rival(trainer.model).to(self.device), trainer.rows)

    def finish_epoch(self, trainer: Trainer, info: EpochInfo) -> None:
        self.progress.epochs_done = info.epoch


def compare_methods(
    dataset: Dataset,
    config: Config,
    seeds: Sequence[int],
    methods: Sequence[str] = ("revcd", "cvae", "gan"),
    *,
    device: str = "auto",
    on_progress: Callable[[int, int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> list[MethodResult]:
    """Train and test every method with every seed; all of them are scored by the cosine rule over K samples.

    "revcd-evidence" is RevCD with its own rule, for which the rivals have no counterpart. Equal seeds give equal
    results (on a CPU). Raises `UsageError` for an unknown method or a data set without features.
    """
    check_methods(methods)
    if dataset.features is None:
        raise UsageError("The data set has no features yet; extract them first.")
    where = choose_device(device).value
    results: list[MethodResult] = []
    for method in methods:
        for seed in seeds:
            fitted = fit_method(dataset, config, method, seed, where, on_note)
            results.append(_tested(fitted, dataset, method, seed))
            if on_note:
                on_note(f"{method}, seed {seed}: {fitted.epochs} epochs, as validation chose")
            if on_progress:
                on_progress(len(results), len(methods) * len(seeds), 0)
    return results


def check_methods(methods: Sequence[str]) -> None:
    """Raise `UsageError` for a method that is not known or named twice."""
    for method in methods:
        if method not in METHODS:
            raise UsageError(
                f'There is no method "{method}"{did_you_mean(method, METHODS)}.', hint=f"Methods: {', '.join(METHODS)}"
            )
    if len(set(methods)) < len(methods):
        raise UsageError("A method is named twice.")


def fit_method(
    dataset: Dataset,
    config: Config,
    method: str,
    seed: int,
    device: torch.device,
    on_note: Callable[[str], None] | None = None,
) -> Fitted:
    """Train one method with one seed by the protocol of `revcd train`. No test photo is read."""
    config = replace(config, inference=replace(config.inference, rule=_RULES[method]))
    with torch.random.fork_rng():
        run = _MethodRun(dataset, config, method, seed, device)
        run.validate(on_note or (lambda text: None))
        model = run.finish()
    return Fitted(model, config, run.epochs, run.progress.calibration.get("gamma", 0.0), run.progress.best)


def _tested(fitted: Fitted, dataset: Dataset, method: str, seed: int) -> MethodResult:
    inference = fitted.config.inference
    report = score_split(fitted.model, dataset, dataset.split, inference, seed=seed).report(fitted.gamma)
    return MethodResult(
        method=method,
        rule=inference.rule,
        seed=seed,
        epochs=fitted.epochs,
        gamma=fitted.gamma,
        validation=fitted.validation,
        test=report.headline(),
    )


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and sample standard deviation of a figure over seeds; None where they are not defined."""

    mean: float | None
    std: float | None


def summarise(results: Sequence[MethodResult]) -> dict[str, dict[str, Spread]]:
    """Return S, U, H and T1 of every method over its seeds, in the order of the results."""
    summary = {}
    for method in dict.fromkeys(result.method for result in results):
        of_method = [result.test for result in results if result.method == method]
        summary[method] = {name: _spread([figures[name] for figures in of_method]) for name in FIGURES}
    return summary


def _spread(values: Sequence[float | None]) -> Spread:
    if None in values:
        return Spread(mean=None, std=None)
    return Spread(mean=statistics.fmean(values), std=statistics.stdev(values) if len(values) > 1 else None)


def describe_comparison(results: Sequence[MethodResult], dataset: Dataset, config: Config) -> dict[str, Any]:
    """Return the comparison as plain JSON values, with all that is needed to repeat it."""
    return {
        "revcd": __version__,
        "dataset": {"name": dataset.name, "split_sha256": dataset.split_sha256},
        "backbone": dataset.backbone.to_dict() if dataset.backbone else None,
        "config": config.to_dict(),
        "note": comparison_note(config),
        "methods": {
            method: {name: asdict(spread) for name, spread in figures.items()}
            for method, figures in summarise(results).items()
        },
        "results": [asdict(result) for result in results],
    }


def comparison_note(config: Config) -> str:
    """Say in words how the methods were made comparable."""
    settings = config.inference
    chain = "the full ddpm chain" if settings.sampler == "ddpm" else f"ddim, {settings.steps} steps"
    if settings.sampler == "ddim" and settings.steps == 1:
        chain = "one ddim step, which reads the posterior mean"
    return (
        f"Same rows, encoder, preconditioning, widths and calibration for all. Each photo is answered by the cosine "
        f"rule over {settings.samples} samples of the method's own (RevCD: {chain}); "
        "revcd-evidence, where listed, is RevCD by its evidence rule, which the others have no counterpart of."
    )


def check_comparison_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise `UsageError` if the comparison could not be written, before any work is done."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; a report is a folder.")
    for name in _FILES:
        check_output(folder / name, overwrite=overwrite)


def write_comparison(folder: Path, document: dict[str, Any]) -> None:
    """Write comparison.json and comparison.csv (one row for each method and seed), each whole or not at all."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["method", "rule", "seed", "epochs", "gamma", *FIGURES])
    for result in document["results"]:
        plain = [result[name] for name in ("method", "rule", "seed", "epochs", "gamma")]
        writer.writerow([*plain, *(result["test"][name] for name in FIGURES)])
    whole, table = (folder / name for name in _FILES)
    write_bytes(whole, (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
    write_bytes(table, rows.getvalue().encode())
