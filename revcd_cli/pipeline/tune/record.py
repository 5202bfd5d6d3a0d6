"""The record of a search: a JSON Lines file with a header and one line per trial and stage."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...config import Config
from ...errors import InputFileError, UsageError, brief
from ...system import files
from ..fingerprint import differences
from ..train.validation import merit
from .search_space import with_settings


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """The validation of one trial at one stage."""

    trial: int  # 0 is the starting point
    stage: int  # index into `tune.STAGES`
    folds: int
    epochs: int
    settings: dict[str, Any]  # differences from the starting point, by dotted name, with the best inference settings
    rule: str = ""  # the best rule
    figures: dict[str, float | None] = field(default_factory=dict)  # S, U, H, T1, AUSUC; empty if the trial failed
    error: str = ""
    seed: int
    seconds: float

    @property
    def merit(self) -> float:
        """The value that the search maximises: see `validation.merit`."""
        return merit(self.figures)


def write_record(path: Path, header: dict[str, Any], results: Iterable[TrialResult]) -> None:
    """Write the whole record atomically."""
    lines = [header, *({**asdict(result), "merit": result.merit} for result in results)]
    text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
    files.write_bytes(path, text.encode())


def read_record(path: Path, header: dict[str, Any], base: Config, n_stages: int) -> list[TrialResult]:
    """Return the results in a record.

    Raises `UsageError` if it belongs to another search than that of `header`, `InputFileError` for a line that
    `write_record` did not write.
    """
    number, results = 1, []
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        earlier = json.loads(first)["search"]
        changed = differences(earlier, json.loads(json.dumps(header["search"])))  # JSON has lists for tuples
        for number, line in enumerate(lines if not changed else [], 2):  # noqa: B007 (used in the error)
            results.append(_parse_result(json.loads(line), base, n_stages))
    except Exception as error:  # a damaged line may hold anything
        raise InputFileError(
            path,
            f"is not the record of a search ({brief(error)}).",
            line=number,
            hint="Delete it to start a new search.",
        ) from error
    if changed:
        raise UsageError(
            f"{path}: belongs to another search: {'; '.join(changed[:5])}.",
            hint="Use the same settings and data, choose another -o, or add --overwrite to start a new search.",
        )
    return results


def _parse_result(values: dict[str, Any], base: Config, n_stages: int) -> TrialResult:
    recorded_merit = values.pop("merit")
    result = TrialResult(**values)
    numbers = [value for value in result.figures.values() if value is not None] + [result.seconds]
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        raise TypeError("a metric is not a number")
    if {type(getattr(result, name)) for name in ("trial", "stage", "folds", "epochs", "seed")} != {int}:
        raise TypeError("a count is not an integer")
    if result.stage not in range(n_stages) or result.trial < 0 or type(result.error) is not str:
        raise ValueError(f"there is no trial {result.trial} at stage {result.stage}")
    if result.merit != recorded_merit:
        raise ValueError("the metrics do not match the merit")
    with_settings(base, result.settings)
    return result
