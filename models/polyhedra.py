"""Continuous symmetry measures: how far a coordination polyhedron is from an ideal one.

Pinsky & Avnir, Inorg. Chem. 37, 5575 (1998); the ideal polyhedra, their symbols ("T:4", "O:6", ...) and the
convention (points with their centre, about the common centroid) are those of pymatgen's ChemEnv:

    S(Q, P) = 100 min over rotations, scale and labelling of  sum |q_k - p_k|^2 / sum |q_k|^2

0 is ideal, 100 the worst. For a given labelling the optimum over rotations and scale is closed,
S = 100 (1 - (sum of singular values of P^T Q)^2 / (|P|^2 |Q|^2)), and labellings that differ by a symmetry of the
ideal polyhedron give the same value: 1 of 24 is left for a tetrahedron, 15 of 720 for an octahedron, so that the
minimum over all of them is exact and costs one batched SVD, where ChemEnv searches by separation planes.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: More corners than this have too many labellings to try all of them (8! = 40,320).
MOST_CORNERS = 8


def symmetry_measure(corners_A: Floats, geometry: str) -> Floats:
    """Continuous symmetry measures of n polyhedra.

    Args:
        corners_A: (n, corners, 3) positions of the corners relative to the central atom, Å, in any order.
        geometry: ChemEnv's symbol of the ideal polyhedron, such as "T:4" or "O:6".

    Returns:
        (n,) measures, 0 to 100.

    Raises:
        ValueError: no such polyhedron, or another number of corners.
    """
    ideal = ideal_corners(geometry)
    given = np.asarray(corners_A, dtype=float)
    if given.ndim != 3 or given.shape[1:] != ideal.shape:
        raise ValueError(f"polyhedra: {geometry} has corners of shape (n, {len(ideal)}, 3), got {given.shape}")
    distorted = _centred(given)
    labelled = _centred(ideal[_labellings(geometry)])  # (labellings, corners + 1, 3)
    stretch = np.linalg.svd(np.einsum("nca,lcb->nlab", distorted, labelled), compute_uv=False).sum(axis=-1)
    norms = (distorted**2).sum(axis=(1, 2))[:, None] * (labelled**2).sum(axis=(1, 2))[None]
    return np.asarray(np.clip(100 * (1 - (stretch**2 / norms).max(axis=1)), 0, 100))


@lru_cache
def ideal_corners(geometry: str) -> Floats:
    """(corners, 3) of an ideal polyhedron about its central atom.

    Raises:
        ValueError: ChemEnv has no such polyhedron, or it has too many corners.
    """
    from pymatgen.analysis.chemenv.coordination_environments.coordination_geometries import AllCoordinationGeometries

    known = AllCoordinationGeometries()
    symbols = [g.mp_symbol for g in known.get_geometries() if 2 < (g.coordination_number or 0) <= MOST_CORNERS]
    if geometry not in symbols:
        raise ValueError(f"polyhedra: {geometry!r} is not one of {', '.join(symbols)}")
    found = known[geometry]
    return np.array(found.points, dtype=float) - np.array(found.get_central_site(), dtype=float)


def _centred(corners: Floats) -> Floats:
    """Corners and their centre (the origin), about the centroid of all of them."""
    points = np.concatenate([np.zeros_like(corners[:, :1]), corners], axis=1)
    return points - points.mean(axis=1, keepdims=True)


@lru_cache
def _labellings(geometry: str) -> Ints:
    """One labelling of the corners out of each class that the polyhedron's symmetries connect."""
    corners = ideal_corners(geometry)
    distances = np.linalg.norm(corners[:, None] - corners[None], axis=-1).round(4)
    everything = np.array(list(permutations(range(len(corners)))))
    symmetries = [p for p in everything if np.array_equal(distances[np.ix_(p, p)], distances)]
    seen: set[tuple[int, ...]] = set()
    kept = []
    for labelling in everything:
        if tuple(labelling.tolist()) in seen:
            continue
        kept.append(labelling)
        seen.update(tuple(symmetry[labelling].tolist()) for symmetry in symmetries)
    return np.array(kept)
