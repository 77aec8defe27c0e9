"""Image-dependent pair potential (Smidstrup et al., J. Chem. Phys. 140, 214106 (2014)) over pairs that are close.

An image of a band wants every interatomic distance to lie linearly between those of the two ends: S is the
sum of (d - target)^2 / d^4 over pairs of atoms. ASE's version takes all pairs, each with its nearest periodic image,
in a loop over atoms. The weight falls as d^-4, so pairs beyond a cutoff decide nothing; without them the cost grows
linearly with atoms. Every pair keeps its periodic image along the path, so that nothing jumps when another one comes
nearer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.mep import NEB
from ase.neighborlist import neighbor_list
from ase.optimize import MDMin
from numpy.typing import NDArray

#: Pairs that are closer than this at one of the end points count (Å).
CUTOFF_A = 6.0
#: ASE's own choice of optimiser for this; the band need not be converged, it is a start (1/Å^3).
STEPS, FMAX = 50, 0.1
#: Atoms that a straight line leads through each other are pushed apart as if they were this far apart (Å).
CLOSEST_A = 0.3


class PairDistances(Calculator):
    """The objective of one image.

    Args:
        first, second: (n_pairs,) atoms; offsets_A: (n_pairs, 3) lattice translation of the second one.
        target_A: (n_pairs,) wanted distances.
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 - ASE's own protocol

    def __init__(
        self,
        first: NDArray[np.int64],
        second: NDArray[np.int64],
        offsets_A: NDArray[np.float64],
        target_A: NDArray[np.float64],
    ) -> None:
        super().__init__()
        self.first, self.second, self.offsets_A, self.target_A = first, second, offsets_A, target_A

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        vectors = separations(self.atoms, self.first, self.second, self.offsets_A)
        distances = np.maximum(np.linalg.norm(vectors, axis=1), CLOSEST_A)
        missed = distances - self.target_A
        # dS/dd of one pair, along the unit vector from first to second.
        slope = 2 * missed * (1 - 2 * missed / distances) / distances**4
        pull = (slope / distances)[:, None] * vectors
        forces = np.zeros((len(self.atoms), 3))
        np.add.at(forces, self.first, pull)
        np.subtract.at(forces, self.second, pull)
        self.results: dict[str, Any] = {"energy": float((missed**2 / distances**4).sum()), "forces": forces}


def separations(
    atoms: Atoms, first: NDArray[np.int64], second: NDArray[np.int64], offsets_A: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n_pairs, 3) vectors from the first to the second atom of each pair (Å)."""
    vectors: NDArray[np.float64] = atoms.positions[second] + offsets_A - atoms.positions[first]
    return vectors


def close_pairs(ends: Sequence[Atoms], cutoff_A: float) -> tuple[NDArray[np.int64], ...]:
    """Atoms and lattice offsets (first, second, (n, 3)) of the pairs within the cutoff in any structure, once."""
    rows = []
    for atoms in ends:
        first, second, offset = neighbor_list("ijS", atoms, cutoff_A)
        once = first < second  # an atom and its own image never change their distance
        rows.append(np.column_stack([first[once], second[once], offset[once]]))
    found = np.unique(np.concatenate(rows), axis=0)
    return found[:, 0], found[:, 1], found[:, 2:]


def improve(band: Sequence[Atoms], cutoff_A: float = CUTOFF_A) -> None:
    """Move the interior images, which are linearly interpolated, towards interpolated distances.

    Positions of the images must be unwrapped: no atom may jump by a lattice vector between two of them.
    """
    first, second, offset = close_pairs((band[0], band[-1]), cutoff_A)
    offsets_A = offset @ band[0].cell.array
    start, end = (
        np.linalg.norm(separations(atoms, first, second, offsets_A), axis=1) for atoms in (band[0], band[-1])
    )
    for number, image in enumerate(band):
        image.calc = PairDistances(first, second, offsets_A, start + (end - start) * number / (len(band) - 1))
    target: Any = NEB(list(band), method="improvedtangent")  # ASE's optimisers take a band for atoms
    MDMin(target, logfile=os.devnull).run(fmax=FMAX, steps=STEPS)
    for image in band:
        image.calc = None
