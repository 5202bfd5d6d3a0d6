"""Sentences of advice on a class table, from the measurements of `suggest`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import listed

HARDLY, WELL = 0.3, 0.6  # reliability below which photos hardly show an attribute, and from which they show it well
ALIKE = 0.5  # standard deviations within which two classes share a value
_NAMED = 3  # classes or attributes of a sentence


def pair_advice(pair: dict[str, Any], hardly: float) -> str:
    """Return advice on a pair of classes. hardly: reliability below which photos hardly show an attribute."""
    x, y = pair["classes"]
    if not pair["differ"]:
        advice = f"The rows of {x} and {y} are the same, so the classes cannot be distinguished."
        return f"{advice} {_alternatives(pair, 'Change a value, or add an attribute in which they differ')}"
    if not pair["above"]:
        return ""
    known = [each for each in pair["apart"] if each["reliability"] is not None]
    if known and all(is_below(each["reliability"], hardly) for each in known):
        names = _and([each["attribute"] for each in known])
        return (
            f"Photos hardly show the largest differences between {x} and {y} ({names}). "
            f"{_alternatives(pair, 'Add an attribute in which they look different')}"
        )
    return _alternatives(pair, f"Add or change an attribute in which {x} and {y} differ")


def alike_but_seen(
    attributes: Sequence[str], apart: np.ndarray, reliability: Sequence[float | None], count: int = 5
) -> list[str]:
    """Return attributes that photos show well and in which two classes are alike, the best shown first.

    apart: (A,), differences of the two classes in standard deviations; reliability: (A,).
    """
    found = [(value, k) for k, value in enumerate(reliability) if value is not None and value >= WELL]
    found.sort(key=lambda each: (-each[0], each[1]))
    return [attributes[k] for _, k in found if apart[k] < ALIKE][:count]


def visible_differences(
    attributes: Sequence[str], apart: np.ndarray, reliability: Sequence[float | None], count: int = _NAMED
) -> list[str]:
    """Return attributes that photos show and in which two classes differ, the largest difference first.

    apart: (A,), differences of the two classes in standard deviations; reliability: (A,), None where not measured.
    """
    order = np.argsort(-apart, kind="stable").tolist()
    return [attributes[k] for k in order if apart[k] > 0 and not is_below(reliability[k], HARDLY)][:count]


def taken_advice(new: str, seen: str, differences: list[str]) -> str:
    """Return advice on a new class that would take photos of a seen one. differences: see `visible_differences`."""
    raised = f"raise the differences from {seen} where photos show larger ones (now the largest: {_and(differences)})"
    if not differences:
        raised = f"describe differences from {seen} that photos show"
    return f"What helps: {raised}, give photos of {new} (--photos {new}=DIR), or leave one of the two out (--only)."


def is_below(reliability: float | None, bound: float) -> bool:
    """Return whether the reliability is known and below the bound."""
    return reliability is not None and reliability < bound


def _alternatives(pair: dict[str, Any], advice: str) -> str:
    seen = pair["alike_but_seen"][:_NAMED]
    return f"{advice}; photos show {_and(seen)} well, but in these they are alike." if seen else f"{advice}."


def next_steps(document: dict[str, Any]) -> list[str]:
    """Return at least one sentence on what to do next, the most important first."""
    steps = []
    table, model = document["source"], document["model"]
    if document["identical"]:
        names = document["identical"][0]
        steps.append(f"Give {_and(names)} different rows, or keep one of them: they cannot be distinguished.")
    near = next((pair for pair in document["pairs"] if pair["above"] and pair["differ"]), None)
    if near is not None:
        steps.append(near["advice"])
    constant = [fact["name"] for fact in document["attribute_facts"] if fact["constant"]]
    if constant and document["classes"] > 1:
        steps.append(f"Remove or vary {_and(constant)}: its values are the same for all classes, so it separates none.")
    hardly = [fact["name"] for fact in document["attribute_facts"] if is_below(fact["reliability"], document["hardly"])]
    if hardly:
        count = "1 attribute is" if len(hardly) == 1 else f"{len(hardly):,} attributes are"
        steps.append(
            f"{count} hardly visible in photos ({_and(hardly)}): do not rely on these alone to separate classes; "
            "describe visible properties."
        )
    if model is not None and not document["reliability_known"]:
        steps.append(
            f"Train {model['name']} again to measure which attributes photos show: its file has no such record."
        )
    if steps:
        return steps
    if model is None:
        return ["Nothing to improve. Train on photos of some of these classes, then repeat this with --model."]
    return [f"Nothing to improve. Next: revcd predict PHOTOS --model {model['name']} --classes {table}"]


def _and(names: list[str]) -> str:
    """Return the first few names as a list in a sentence."""
    if len(names) > _NAMED:
        return listed(names, _NAMED)
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
