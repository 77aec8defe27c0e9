"""The structural features of Fu et al. (high-entropy LZSP): what a relaxed framework looks like, in 17 numbers.

mobile ions per formula unit; cell volume and lengths; and for each kind of cation X (mobile ion, substituted
sublattice, Si, P): mean and spread of the continuous symmetry measure of its XO_n polyhedra, and the X-O distance at
the first peak of the radial distribution function smeared with a Gaussian of sigma 0.5 Å. The 18th, for compositions
of unequal proportions, is the configurational entropy of the substituted sublattice. The paper names these kinds of
features and their number but does not list the seventeen; 1 + 1 + 3 + 4 x 3 is our reading.

On the unrelaxed lattice of a host they hardly differ from one composition to the next: relax first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from ase import Atoms
from ase.data import atomic_numbers
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from models.polyhedra import ideal_corners, symmetry_measure

Floats = NDArray[np.float64]

#: A corner of a coordination polyhedron is no further from its centre than this (Å).
REACH_A = 4.0
#: The first peak of a radial distribution function is looked for up to here (Å), in bins of `BIN_A`.
RDF_RANGE_A, BIN_A = 5.0, 0.002
#: Gaussian smearing of the radial distribution function (Å), as in the paper.
SIGMA_A = 0.5


@dataclass(frozen=True)
class Framework:
    """Which elements of a structure play which part.

    Attributes:
        mobile: the mobile ion.
        framework: cations of the framework that no dopant replaces, each with features of its own.
        anions: corners of the polyhedra.
        anions_per_formula: anions in a formula unit, by which mobile ions and volume are counted.
        geometries: ChemEnv's symbol of the ideal polyhedron: of the mobile ion, of the substituted sublattice (all
            elements that are not named above), of the framework's cations.
    """

    mobile: str = "Li"
    framework: tuple[str, ...] = ("Si", "P")
    anions: tuple[str, ...] = ("O",)
    anions_per_formula: float = 12.0
    geometries: tuple[str, str, str] = ("T:4", "O:6", "T:4")

    def __post_init__(self) -> None:
        for symbol in (self.mobile, *self.framework, *self.anions):
            if symbol not in atomic_numbers or symbol == "X":
                raise ValueError(f"structural features: {symbol!r} is no element")
        for geometry in self.geometries:
            ideal_corners(geometry)

    def parts(self, atoms: Atoms) -> dict[str, tuple[NDArray[np.bool_], str]]:
        """Name -> (which atoms, ideal polyhedron) of every kind of cation.

        Raises:
            ValueError: one of them is not there.
        """
        symbols = np.array(atoms.get_chemical_symbols())
        mobile, substituted, rigid = self.geometries
        named = {self.mobile: (symbols == self.mobile, mobile)}
        others = ~np.isin(symbols, [self.mobile, *self.framework, *self.anions])
        named["M"] = (others, substituted)
        named |= {element: (symbols == element, rigid) for element in self.framework}
        formula = atoms.get_chemical_formula()
        if not np.isin(symbols, self.anions).any():
            raise ValueError(f"structural features: no {' or '.join(self.anions)} in {formula}")
        for name, (members, _) in named.items():
            what = {self.mobile: f"mobile ion {name}", "M": "substituted sublattice"}.get(name, f"framework {name}")
            if not members.any():
                raise ValueError(f"structural features: no {what} in {formula}")
        return named


def default_geometry(mobile: str, geometry: str | None = None) -> str:
    """Ideal polyhedron of the mobile ion: the given one, else a tetrahedron for Li, an octahedron for others."""
    return geometry or ("T:4" if mobile == "Li" else "O:6")


def structural_features(atoms: Atoms, framework: Framework | None = None) -> dict[str, float]:
    """The 17 features of one relaxed structure, its configurational entropy (R) and its cell angles (degrees).

    Sites with atomic number 0 are vacant and left out. Invariant under rotation, translation and the order of atoms.

    Raises:
        ValueError: no cell, a kind of cation is missing, or it has too few anions around it for its polyhedron.
    """
    framework = framework or Framework()
    atoms = atoms[atoms.numbers != 0]
    if len(atoms) == 0 or atoms.cell.rank != 3 or not np.isfinite(atoms.positions).all():
        raise ValueError("structural features: a periodic structure with atoms at finite positions is needed")
    atoms.pbc = True
    parts = framework.parts(atoms)
    anions = np.isin(atoms.get_chemical_symbols(), framework.anions)
    units = anions.sum() / framework.anions_per_formula
    lengths, angles = atoms.cell.lengths(), atoms.cell.angles()
    found = {
        f"{framework.mobile}_per_formula": parts[framework.mobile][0].sum() / units,
        "volume_A3_per_formula": atoms.cell.volume / units,
        **{f"{axis}_A": length for axis, length in zip("abc", lengths, strict=True)},
    }
    pairs = _Pairs.of(atoms, anions)
    for name, (members, geometry) in parts.items():
        measures = symmetry_measure(_polyhedra(atoms, members, pairs, geometry), geometry)
        found[f"csm_{name}_mean"], found[f"csm_{name}_sd"] = measures.mean(), measures.std()
        found[f"{name}-O_A"] = first_peak_A(pairs.distance_A[members[pairs.centre]])
    found["entropy_R"] = entropy_R(np.array(atoms.get_chemical_symbols())[parts["M"][0]])
    found |= {f"{angle}_deg": value for angle, value in zip(("alpha", "beta", "gamma"), angles, strict=True)}
    return {name: float(value) for name, value in found.items()}


def feature_table(
    structures: Iterable[tuple[str, Atoms]], framework: Framework | None = None
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Features of many structures, one row each, and what is wrong with those that have none.

    Raises:
        ValueError: cells of different size, whose lengths cannot stand in one column; or no structure is usable.
    """
    rows, refused, sizes = {}, {}, {}
    for name, atoms in structures:
        try:
            rows[name] = structural_features(atoms, framework)
            sizes[name] = int(np.isin(atoms.get_chemical_symbols(), (framework or Framework()).anions).sum())
        except ValueError as error:
            refused[name] = str(error)
    if not rows:
        first = next(iter(refused.values()), "no structures were given")
        raise ValueError(f"structural features: no structure is usable; the first: {first}")
    if len(set(sizes.values())) > 1:
        small, large = min(sizes, key=lambda n: sizes[n]), max(sizes, key=lambda n: sizes[n])
        raise ValueError(
            f"structural features: {small} has {sizes[small]} anions in its cell and {large} has {sizes[large]}; "
            "cell lengths can only be compared between cells of the same size"
        )
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("id"), refused


def feature_sets(columns: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The paper's two selections out of a table's columns.

    "structural": the 17. "multinary", for unequal proportions: entropy in, the volume only as cell lengths, the X-O
    distances (which the paper found negligible) out.
    """
    given = tuple(columns)
    base = [c for c in given if c.endswith("_per_formula")]
    mobile = [c for c in base if not c.startswith("volume")]
    lengths = [c for c in ("a_A", "b_A", "c_A") if c in given]
    measures = [c for c in given if c.startswith("csm_")]
    peaks = [c for c in given if c.endswith("-O_A")]
    entropy = [c for c in ("entropy_R",) if c in given]
    return {
        "structural": (*base, *lengths, *measures, *peaks),
        "multinary": (*mobile, *lengths, *measures, *entropy),
    }


def entropy_R(symbols: Iterable[str]) -> float:
    """Configurational entropy -sum(x ln x) of a sublattice (units of R), from its elements site by site."""
    _, counts = np.unique(list(symbols), return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum()) + 0.0


def first_peak_A(distances_A: Floats, sigma_A: float = SIGMA_A) -> float:
    """Distance (Å) of the first maximum of a radial distribution function.

    As vasppy does it: a histogram of pair distances, divided by the volume of each shell, smeared with a Gaussian. A
    single shell's peak stays where it is, whatever the smearing. (The density in front moves no maximum.)

    Args:
        distances_A: all pair distances up to `RDF_RANGE_A` and three sigma more.

    Raises:
        ValueError: no pair is closer than `RDF_RANGE_A`.
    """
    if not len(distances_A) or distances_A.min() > RDF_RANGE_A:
        raise ValueError(f"structural features: no cation and anion within {RDF_RANGE_A:g} Å of each other")
    edges = np.arange(0.0, RDF_RANGE_A + 3 * sigma_A, BIN_A)
    counts, _ = np.histogram(distances_A, edges)
    middle = (edges[1:] + edges[:-1]) / 2
    g = gaussian_filter1d(counts / middle**2, sigma_A / BIN_A, mode="constant")
    top = int(np.flatnonzero((g[1:-1] > g[:-2]) & (g[1:-1] >= g[2:]))[0]) + 1
    left, peak, right = g[top - 1 : top + 2]  # the parabola through the three points around the maximum
    return float(middle[top] + BIN_A * 0.5 * (left - right) / (left - 2 * peak + right))


@dataclass(frozen=True)
class _Pairs:
    """Every pair of an atom and an anion near it, by atom, nearest first."""

    centre: NDArray[np.int64]  # (n,) indices of atoms
    distance_A: Floats  # (n,)
    vector_A: Floats  # (n, 3)

    @classmethod
    def of(cls, atoms: Atoms, anions: NDArray[np.bool_]) -> _Pairs:
        i, j, distance, vector = neighbor_list("ijdD", atoms, RDF_RANGE_A + 3 * SIGMA_A)
        chosen = np.flatnonzero(anions[j])
        chosen = chosen[np.lexsort((distance[chosen], i[chosen]))]
        return cls(i[chosen], distance[chosen], vector[chosen])


def _polyhedra(atoms: Atoms, members: NDArray[np.bool_], pairs: _Pairs, geometry: str) -> Floats:
    """(n, corners, 3) vectors from each member to its nearest anions, Å."""
    corners, indices = len(ideal_corners(geometry)), np.flatnonzero(members)
    first = np.searchsorted(pairs.centre, indices)
    near = np.bincount(pairs.centre[pairs.distance_A <= REACH_A], minlength=len(atoms))[indices]
    if (near < corners).any():
        worst = int(near.argmin())
        raise ValueError(
            f"structural features: {atoms.symbols[indices[worst]]} {indices[worst]} has {near[worst]} anions within "
            f"{REACH_A:g} Å; a polyhedron {geometry} needs {corners}"
        )
    return np.asarray(pairs.vector_A[first[:, None] + np.arange(corners)])
