"""A composition as a set of ions: features in which a linear function is a sum over ions, alike for similar ions.

The inner product of two compositions' features is the set kernel K(c, c') = sum over ions i of c, j of c' of
n_i n_j k(i, j) (Gärtner et al., ICML 2002, "Multi-instance kernels"), with k a Matérn-5/2 kernel of ionic properties
plus a part of each ion's own. So 80 labels of four dopants each are 320 observations of some thirty ions, and an
ion never seen is guessed from those like it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element
from scipy.spatial.distance import cdist

from agent.composition import Composition
from agent.elements import shannon_radius_A

Floats = NDArray[np.float64]
Ion = tuple[str, int]

#: Distance, in standard deviations per property, over which ions stay alike.
LENGTH = 0.85
#: Share of an ion's effect that its properties do not tell.
OWN = 0.1


def ion_features(compositions: Sequence[Composition]) -> Floats:
    """(n, ions) of the substituted sublattice; scaled to unit mean square over all columns together."""
    ions = sorted({ion for c in compositions for ion in c.valences})
    column = {ion: place for place, ion in enumerate(ions)}
    counts = np.zeros((len(compositions), len(ions)))
    for row, composition in enumerate(compositions):
        charge = dict(composition.valences)
        for element, count in composition.amounts:
            counts[row, column[element, charge[element]]] = count
    features = counts @ _root(ions)
    features -= features.mean(axis=0)
    spread = float(np.sqrt((features**2).mean()))
    return features / spread if spread > 0 else features


def ion_properties(ions: Sequence[Ion]) -> Floats:
    """(ions, 5): valence (e), Shannon radius (VI, Å), covalent radius (Å), Pauling electronegativity, period."""
    from mendeleev.fetch import fetch_table  # a second to import

    covalent = dict(fetch_table("elements")[["symbol", "covalent_radius_pyykko"]].itertuples(index=False))
    table = np.array(
        [[v, shannon_radius_A(e, v), covalent[e] / 100, Element(e).X, Element(e).row] for e, v in ions],
        dtype=float,
    )
    known = np.isfinite(table)
    means = np.divide(
        np.where(known, table, 0.0).sum(axis=0), known.sum(axis=0), out=np.zeros(5), where=known.any(axis=0)
    )
    return np.where(known, table, means)


def _root(ions: Sequence[Ion]) -> Floats:
    """(ions, ions) whose rows have the kernel between ions as inner products."""
    properties = ion_properties(ions)
    spread = properties.std(axis=0)
    scaled = properties / np.where(spread > 0, spread, 1.0) / np.sqrt(properties.shape[1])
    distance = np.sqrt(5.0) * cdist(scaled, scaled) / LENGTH
    kernel = (1 + distance + distance**2 / 3) * np.exp(-distance) + OWN * np.eye(len(ions))
    values, vectors = np.linalg.eigh(kernel)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
