"""Composition descriptors: statistics of elemental properties, and the four descriptors of the entropy paper.

The elemental properties are Magpie's (Ward et al., npj Comput. Mater. 2, 16028 (2016)) as matminer tabulates
them: 22 properties, 6 statistics each. The CGformer paper clusters on a 120-dimensional vector of elemental
statistics (AlphaMat) whose content is not published; this is the same kind of vector, not the same vector.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition as Formula
from pymatgen.core import Element

from agent.composition import Composition
from agent.elements import shannon_radius_A
from agent.hosts import Host

Floats = NDArray[np.float64]
Scope = Literal["substituted", "formula"]

STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")
ENTROPY_PAPER = ("mean radius A", "mean electronegativity", "mean valence e", "entropy R")
CHUNK = 16_384


@dataclass(frozen=True)
class Descriptors:
    """`values` (n, d), one row per composition, and the `names` of the d columns."""

    values: Floats
    names: tuple[str, ...]

    def scaled(self) -> Floats:
        """Columns to zero mean and unit variance; those that do not vary are dropped. (n, d')."""
        spread = self.values.std(axis=0)
        varies = spread > 1e-9 * np.maximum(1.0, np.abs(self.values).max(axis=0, initial=0.0))
        kept = self.values[:, varies]
        return np.asarray((kept - kept.mean(axis=0)) / spread[varies])


def describe(host: Host, compositions: Iterable[Composition], scope: Scope = "substituted") -> Descriptors:
    """Elemental statistics (132) and the four descriptors of Zuo et al. (EES 19, 860 (2026)) of each
    composition.

    Args:
        host: the host.
        compositions: of that host.
        scope: "substituted" takes the statistics over the substituted sublattice, in which compositions
            differ; "formula" over the whole formula (where lithium or oxygen sets most of the extremes), as
            matminer's ElementProperty does.

    Cost: about 15 µs a composition.
    """
    stream = iter(compositions)
    parts: list[Floats] = []
    while block := list(islice(stream, CHUNK)):
        elements, weights = _weights(host, block, scope)
        parts.append(np.hstack([_statistics(elements, weights), _entropy_paper(block)]))
    names = tuple(f"{statistic} {name}" for name in _properties()[0] for statistic in STATISTICS) + ENTROPY_PAPER
    return Descriptors(np.concatenate(parts) if parts else np.empty((0, len(names))), names)


@cache
def _properties() -> tuple[tuple[str, ...], Floats]:
    """Names of the Magpie properties and their table (119, properties) by atomic number."""
    from matminer.featurizers.composition import ElementProperty

    preset = ElementProperty.from_preset("magpie", impute_nan=True)
    table = np.zeros((119, len(preset.features)))
    for z in range(1, 104):
        element = Element.from_Z(z)
        table[z] = [preset.data_source.get_elemental_property(element, name) for name in preset.features]
    return tuple(preset.features), table


@cache
def _framework(host: Host) -> tuple[tuple[int, float], ...]:
    formula = Formula(host.framework_formula).get_el_amt_dict()
    return tuple((Element(e).Z, float(amount)) for e, amount in formula.items())


def _weights(host: Host, block: list[Composition], scope: Scope) -> tuple[NDArray[np.int64], Floats]:
    """Padded atomic numbers and fractions (n, most elements); padding has weight 0 and repeats the first
    element.
    """
    rows = []
    for composition in block:
        row = [(_z(element), float(count)) for element, count in composition.amounts]
        if scope == "formula":
            units = host.formula_units
            row = [(z, n / units) for z, n in row]
            row += [(_z(host.mobile), composition.mobile / units), *_framework(host)]
        rows.append([(z, n) for z, n in row if n > 0])
    most = max(map(len, rows))
    padded = np.array([row + [(row[0][0], 0.0)] * (most - len(row)) for row in rows])
    weights = padded[..., 1]
    return padded[..., 0].astype(np.int64), weights / weights.sum(axis=1, keepdims=True)


@cache
def _z(element: str) -> int:
    return int(Element(element).Z)


def _statistics(elements: NDArray[np.int64], weights: Floats) -> Floats:
    """(n, 6 x properties): minimum, maximum, range, mean, mean absolute deviation, mode, as Magpie defines
    them.
    """
    values = _properties()[1][elements]  # (n, k, properties)
    low, high = values.min(axis=1), values.max(axis=1)
    mean = np.einsum("nk,nkp->np", weights, values)
    deviation = np.einsum("nk,nkp->np", weights, np.abs(values - mean[:, None]))
    # The mode is the value of the most abundant element, the smallest one if several are equally abundant.
    most = weights >= weights.max(axis=1, keepdims=True) - 1e-9
    mode = np.where(most[..., None], values, np.inf).min(axis=1)
    stacked = np.stack([low, high, high - low, mean, deviation, mode], axis=2)
    return stacked.reshape(len(elements), -1)


@cache
def ion_properties(element: str, valence: int) -> tuple[float, float]:
    """Radius (Å, sixfold; the tabulated one of another valence if this is missing) and Pauling
    electronegativity.
    """
    radius = shannon_radius_A(element, valence)
    if np.isnan(radius):
        radius = float(Element(element).average_ionic_radius)
    return radius, float(Element(element).X)


def _entropy_paper(block: list[Composition]) -> Floats:
    """(n, 4): mean ionic radius (Å), electronegativity and valence (e) of the sublattice; its entropy (R)."""
    rows = []
    for composition in block:
        count = np.array([n for _, n in composition.amounts], dtype=float)
        fraction = count / count.sum()
        ions = np.array([(*ion_properties(e, v), v) for e, v in composition.valences])
        rows.append([*(fraction @ ions), composition.entropy_R])
    return np.array(rows)
