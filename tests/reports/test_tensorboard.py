"""TensorBoard scalars equal the training history, also after an interruption."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import revcd_cli.pipeline.train.run as run_module
from revcd_cli.errors import UsageError
from revcd_cli.pipeline.train.train import EpochInfo, train
from revcd_cli.reports.tensorboard import check_log_folder, scalar_log


def read_back(folder: Path) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """Return (run, tag) -> [(step, value)], as TensorBoard reads it."""
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = {}
    for run in sorted(folder.iterdir()):
        events = loader.EventAccumulator(str(run))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            found[run.name, tag] = [(event.step, event.value) for event in events.Scalars(tag)]
    return found


def expected(history: list[dict]) -> dict[tuple[str, str], list[tuple[int, float]]]:
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for entry in history:
        run = f"fold-{entry['fold']}" if entry["fold"] else "final"
        values = {f"loss/{name}": entry[name] for name in ("loss", "rec", "noise", "cls")}
        values |= {f"validation/{name}": share for name, share in (entry["validation"] or {}).items()}
        for tag, value in values.items():
            if value is not None:
                found.setdefault((run, tag), []).append((entry["epoch"], pytest.approx(value, rel=1e-5, abs=1e-7)))
    return found


@pytest.mark.parametrize("stop", [None, 3, 6], ids=["at once", "interrupted", "interrupted in the second fold"])
def test_scalars_equal_the_training_history_also_after_an_interruption(
    toy_model, tmp_path: Path, stop: int | None, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(run_module, "SAVE_SECONDS", -1)  # save after every epoch
    output, folder, reported = tmp_path / "m.safetensors", tmp_path / "log", []

    def stopping(log):
        def on_epoch(info: EpochInfo) -> None:
            log(info)
            reported.append(info)
            if len(reported) == stop:
                raise KeyboardInterrupt

        return on_epoch

    if stop:
        with pytest.raises(KeyboardInterrupt), scalar_log(folder) as log:
            train(toy_model.dataset, toy_model.config, output, device="cpu", on_epoch=stopping(log))
    with scalar_log(folder) as log:
        summary = train(toy_model.dataset, toy_model.config, output, device="cpu", resume=True, on_epoch=log)
    assert read_back(folder) == expected(summary.history)


def test_two_trainings_cannot_share_a_log(tmp_path: Path):
    pytest.importorskip("tensorboard")
    check_log_folder(tmp_path / "new", resume=False)
    check_log_folder(tmp_path, resume=False)
    (tmp_path / "fold-1").mkdir()
    with pytest.raises(UsageError, match="not empty"):
        check_log_folder(tmp_path, resume=False)
    check_log_folder(tmp_path, resume=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        check_log_folder(tmp_path / "file", resume=True)


def test_without_tensorboard_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find(name))
    with pytest.raises(UsageError, match="tensorboard is not installed") as caught:
        check_log_folder(tmp_path, resume=False)
    assert "pip install tensorboard" in caught.value.hint
