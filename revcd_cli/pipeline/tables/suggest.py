"""Find weaknesses of a class table: nearly indistinguishable classes, and attributes that do not separate classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, islice
from typing import Any

import numpy as np

from ...data.classes.attributes import ClassAttributes, align, class_key, class_keys
from ...data.classes.scale import column_findings
from ...data.classes.similarity import OnTile, closest_pairs, nearest, similarity_order, unit_rows
from ...data.classes.table_findings import table_findings
from ...version import __version__
from .advice import HARDLY, alike_but_seen, next_steps, pair_advice
from .description_space import DescriptionSpace, own_units, spreads, varies
from .taken_photos import taken_findings

BOUND = 0.95  # cosine above which two classes are nearly indistinguishable
_KEPT = 200  # pairs, classes or values listed of each kind; counts are of all
_NAMED = 5  # attributes listed for a pair
_MAPPED = 60  # classes in the map of similarities
_SAME = 1 - 1e-6  # correlation of redundant attributes; the resolution of float32


@dataclass(frozen=True, eq=False)
class PreparedTable:
    """A table with the unit in which its attributes are compared; `suggest` sorts it by name."""

    classes: ClassAttributes
    units: np.ndarray  # (C, F)
    spread: np.ndarray  # (A,) standard deviations, the unit of differences
    known: DescriptionSpace | None

    def reliability(self, name: str) -> float | None:
        return None if self.known is None or self.known.reliability is None else self.known.reliability[name]


def suggest(
    table: ClassAttributes,
    known: DescriptionSpace | None = None,
    *,
    bound: float = BOUND,
    on_tile: OnTile | None = None,
) -> dict[str, Any]:
    """Return all findings about a table as JSON values, which `reports.classes` shows.

    known: compare classes as this model does; by default, by their standardised values. Raises `InputFileError` if the
    attributes of the table are not those of the model.
    """
    classes = table if known is None else align(table, known.classes.attributes)
    findings = table_findings(classes, known.classes if known else None)
    if known is None:  # otherwise `table_findings` compares the columns with the model's
        findings += column_findings(classes)
    taken = taken_findings(known.seen_photos, classes) if known else []
    warnings = tuple(each.sentence for each in (*findings, *taken))
    prepared = _prepare(classes, known)
    document = {
        "revcd": __version__,
        "source": table.source,
        "sha256": table.sha256,
        "classes": len(table.names),
        "attributes": len(table.attributes),
        "model": known and {"name": known.name, "sha256": known.classes.sha256, "seen": len(known.seen)},
        "bound": bound,
        "hardly": HARDLY,
        "warnings": list(warnings),
        **_closeness(prepared, bound, on_tile),
        "reliability_known": known is not None and known.reliability is not None,
        "attribute_facts": _attribute_facts(prepared),
        "redundant": _redundant(prepared.classes),
        "out_of_range": _out_of_range(prepared),
        "nearest_seen": _nearest_seen(prepared),
    }
    return document | {"next": next_steps(document)}


def _prepare(classes: ClassAttributes, known: DescriptionSpace | None) -> PreparedTable:
    order = sorted(range(len(classes.names)), key=classes.names.__getitem__)
    columns = sorted(range(len(classes.attributes)), key=classes.attributes.__getitem__)
    units = (own_units if known is None else known.units)(classes.values)[order]
    spread = spreads(classes.values if known is None else known.classes.values)[columns]
    names = (tuple(classes.names[row] for row in order), tuple(classes.attributes[column] for column in columns))
    values = classes.values[np.ix_(order, columns)] + np.float32(0)  # -0.0 becomes 0.0: they differ in bytes
    return PreparedTable(replace(classes, names=names[0], attributes=names[1], values=values), units, spread, known)


def _closeness(table: PreparedTable, bound: float, on_tile: OnTile | None) -> dict[str, Any]:
    """Describe the closest pairs. Classes with equal rows are compared once, and have a cosine of exactly 1."""
    names, values = table.classes.names, table.classes.values
    _, first, alike, counts = np.unique(values, axis=0, return_index=True, return_inverse=True, return_counts=True)
    alike = alike.reshape(-1)
    members = np.split(np.argsort(alike, kind="stable"), np.cumsum(counts)[:-1])
    identical = sorted((rows.tolist() for rows in members if len(rows) > 1), key=lambda rows: names[rows[0]])
    close = closest_pairs(table.units[first], bound, _KEPT, counts=counts, on_tile=on_tile)

    equal = islice((pair for rows in identical for pair in combinations(rows, 2)), _KEPT)
    found = [(1.0, *pair) for pair in equal]
    for (a, b), cosine in zip(close.pairs.tolist(), close.cosines.tolist(), strict=True):
        found.append((round(cosine, 6), *sorted((int(first[a]), int(first[b])))))
    found.sort(key=lambda pair: (not (values[pair[1]] == values[pair[2]]).all(), -pair[0], pair[1:]))

    groups = close.groups[alike]
    sizes = np.bincount(groups)
    chains = [np.flatnonzero(groups == group) for group in np.flatnonzero(sizes > 2)[:_KEPT]]
    pairs_of_equal = int(sum(len(rows) * (len(rows) - 1) // 2 for rows in identical))
    return {
        "pairs_above": close.above + pairs_of_equal,
        "classes_above": int(sizes[sizes > 1].sum()),
        "identical": [[names[row] for row in rows[:_KEPT]] for rows in identical[:_KEPT]],
        "groups": sorted([names[row] for row in rows[:_KEPT]] for rows in chains),
        "pairs": [describe_pair(table, *pair, bound) for pair in found[:_KEPT]],
        "map": _map(table, [row for pair in found for row in pair[1:]]),
    }


def describe_pair(table: PreparedTable, cosine: float, a: int, b: int, bound: float) -> dict[str, Any]:
    """Describe two classes: the attributes that separate them most, and visible attributes in which they agree."""
    classes, rows = table.classes, (table.classes.values[a], table.classes.values[b])
    apart = np.abs(rows[0].astype(np.float64) - rows[1]) / table.spread
    by_distance = [int(k) for k in np.argsort(-apart, kind="stable")[:_NAMED] if apart[k] > 0]
    reliability = [table.reliability(name) for name in classes.attributes]
    pair = {
        "classes": [classes.names[a], classes.names[b]],
        "cosine": cosine,
        "above": cosine > bound,
        "differ": int((apart > 0).sum()),
        "apart": [
            {
                "attribute": classes.attributes[k],
                "values": [_plain(row[k]) for row in rows],
                "spreads": round(float(apart[k]), 3),
                "reliability": reliability[k],
            }
            for k in by_distance
        ],
        "alike_but_seen": alike_but_seen(classes.attributes, apart, reliability, _NAMED),
    }
    return pair | {"advice": pair_advice(pair, HARDLY)}


def _plain(value: np.float32) -> float:
    """Return the shortest decimal number for a float32: 0.3 instead of 0.30000001192."""
    return float(str(value))


def _map(table: PreparedTable, rows: list[int]) -> dict[str, Any]:
    """Return the cosines between classes, ordered by similarity: all classes, or those of the closest pairs."""
    names = table.classes.names
    chosen = sorted(list(dict.fromkeys(rows))[:_MAPPED]) if len(names) > _MAPPED else list(range(len(names)))
    units, values = table.units[chosen], table.classes.values[chosen]
    cosines = (units @ units.T).clip(-1, 1)
    cosines[(values[:, None] == values[None]).all(axis=2)] = 1.0
    order = similarity_order(cosines)
    return {
        "classes": [names[chosen[k]] for k in order],
        "cosines": cosines[np.ix_(order, order)].astype(np.float64).round(3).tolist(),
    }


def _attribute_facts(table: PreparedTable) -> list[dict[str, Any]]:
    """Describe each attribute, the least reliable first; if reliability is unknown, by name."""
    values = table.classes.values
    facts = [
        {
            "name": name,
            "reliability": table.reliability(name),
            "constant": not changes,
            "lowest": _plain(column.min()),
            "highest": _plain(column.max()),
        }
        for name, changes, column in zip(table.classes.attributes, varies(values), values.T, strict=True)
    ]
    return sorted(facts, key=lambda fact: (fact["reliability"] is None, fact["reliability"] or 0.0))


def _redundant(classes: ClassAttributes) -> list[list[str]]:
    """Return groups of attributes with a correlation of 1 or -1 over these classes."""
    values = classes.values.astype(np.float64)
    changing = np.flatnonzero(varies(values))
    if len(values) < 3 or len(changing) < 2:  # over two classes, all attributes correlate
        return []
    columns = values[:, changing]
    units = unit_rows((columns - columns.mean(axis=0)).T)
    groups = closest_pairs(units, _SAME, 1, absolute=True).groups
    same = [changing[groups == group] for group in np.flatnonzero(np.bincount(groups) > 1)]
    return [[classes.attributes[k] for k in members] for members in same]


def _out_of_range(table: PreparedTable) -> dict[str, Any]:
    """Return values outside the range of the table of the model, the most extreme first."""
    if table.known is None:
        return {"count": 0, "values": []}
    own, classes = align(table.known.classes, table.classes.attributes).values, table.classes
    low, high = own.min(axis=0), own.max(axis=0)
    beyond = np.maximum(low - classes.values, classes.values - high) / table.spread
    rows, columns = np.nonzero(beyond > 1e-4)
    order = np.argsort(-beyond[rows, columns], kind="stable")[:_KEPT]
    return {
        "count": len(rows),
        "values": [
            {
                "class": classes.names[row],
                "attribute": classes.attributes[column],
                "value": _plain(classes.values[row, column]),
                "range": [_plain(low[column]), _plain(high[column])],
            }
            for row, column in zip(rows[order], columns[order], strict=True)
        ],
    }


def _nearest_seen(table: PreparedTable) -> list[dict[str, Any]]:
    """Return the nearest seen class of each unseen class, the most distant first."""
    if table.known is None or not table.known.seen:
        return []
    seen = table.known.classes.select(sorted(table.known.seen))
    keys = {class_key(name) for name in seen.names}
    unseen = [row for row, name in enumerate(table.classes.names) if keys.isdisjoint(class_keys(name))]
    if not unseen:
        return []
    which, cosines = nearest(table.units[unseen], table.known.units(seen.values))
    order = np.argsort(cosines, kind="stable")[:_KEPT]
    return [
        {
            "class": table.classes.names[unseen[k]],
            "seen": seen.names[which[k]],
            "cosine": round(float(cosines[k]), 6),
        }
        for k in order
    ]
