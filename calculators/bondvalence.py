"""The bond-valence site energy of a mobile ion, anywhere in a cell, and the percolation barriers of its
landscape.

Adams & Rao, in Bond Valences (2014); parameters (softBV) as the package `bvlain` tabulates them:

    E(r) = sum over counter-ions D0/2 ((exp(alpha (R_min - R)) - 1)^2 - 1)
    (Morse)
         + sum over like ions 14.4 q1 q2 / sqrt(n1 n2) / R erfc(R / (f (rc1 + rc2)))      (screened Coulomb),
         eV

The mobile sublattice itself is left out, as in bvlain, so that the landscape belongs to the framework alone.
bvlain evaluates it with 100 neighbours per grid point; here each species has one radial table over R^2, which
every atom adds to the grid points around it: the same numbers, more than ten times faster.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections import defaultdict, deque
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray
from scipy.ndimage import generate_binary_structure, label
from scipy.special import erfc

#: Screening factor f of the Coulomb term (Adams & Rao).
SCREENING = 0.74
COULOMB_EV_A = 14.4
#: Below this distance the table is constant: no mobile ion gets there.
CORE_A = 0.8
#: Step of the radial table in R^2 (Å^2): 0.2 meV at the steepest place that matters.
TABLE_STEP_A2 = 2e-4


@dataclass(frozen=True)
class PairParameters:
    """What the tables say about one framework species and the mobile ion. NaN: no Morse term."""

    r_min_A: float
    alpha_per_A: float
    d0_eV: float
    radii_A: float  # sum of covalent radii
    quantum: float  # product of principal quantum numbers


@functools.lru_cache(maxsize=4096)
def pair_parameters(ion: str, ion_charge: int, symbol: str, charge: int) -> PairParameters:
    """Parameters of a pair from bvlain's softBV tables.

    Raises:
        ValueError: the tables do not know this pair of oxidation states.
    """
    from bvlain import Lain
    from pymatgen.core import Lattice, Structure

    lain = Lain(verbose=False)
    sign = "+" if ion_charge > 0 else "-"
    with contextlib.redirect_stdout(io.StringIO()):
        structure = Structure(Lattice.cubic(10), [symbol, ion], np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
        structure.add_oxidation_state_by_site([charge, ion_charge])
        lain.read_structure(structure, oxi_check=False)
        try:
            lain._get_params(f"{ion}{abs(ion_charge)}{sign}")
        except KeyError:
            raise ValueError(
                f"bond valence: no softBV parameters for {ion}{ion_charge:+d} with {symbol}{charge:+d}"
            ) from None
    values = {name: float(lain.atoms.get_array(name)[0]) for name in ("r_min", "alpha", "d0", "r_c", "n")}
    return PairParameters(
        r_min_A=values["r_min"],
        alpha_per_A=values["alpha"],
        d0_eV=values["d0"],
        radii_A=float(lain.rc_mi + values["r_c"]),
        quantum=float(lain.n_mi * values["n"]),
    )


def pair_energy(r_A: NDArray[np.float64], ion: str, ion_charge: int, symbol: str, charge: int) -> NDArray[np.float64]:
    """Energy (eV) of the mobile ion at distances `r_A` from one framework ion."""
    if charge == 0:
        return np.zeros_like(r_A)
    pair = pair_parameters(ion, ion_charge, symbol, charge)
    if charge * ion_charge > 0:
        strength = COULOMB_EV_A * ion_charge * charge / np.sqrt(pair.quantum)
        return strength / r_A * erfc(r_A / (SCREENING * pair.radii_A))
    return pair.d0_eV / 2 * ((np.exp(pair.alpha_per_A * (pair.r_min_A - r_A)) - 1) ** 2 - 1)


class SiteEnergy:
    """The bond-valence site energy of one mobile ion in a framework.

    Args:
        atoms: a periodic structure; mobile ions and vacant sites in it are ignored.
        charges_e: (n_atoms,) formal charges, whole numbers.
        ion: symbol of the mobile ion; its charge is the one that it has in `charges_e`.
        cutoff_A: interactions beyond are left out.

    Raises:
        ValueError: no parameters for a pair, no mobile ion, or an uncharged mobile ion.
    """

    def __init__(self, atoms: Atoms, charges_e: NDArray[np.float64], ion: str, cutoff_A: float = 7.0) -> None:
        mobile = atoms.numbers == atomic_numbers[ion]
        if not mobile.any():
            raise ValueError(f"bond valence: no {ion} in {atoms.get_chemical_formula()}")
        self.ion, self.ion_charge = ion, round(float(charges_e[mobile][0]))
        if self.ion_charge == 0:
            raise ValueError(f"bond valence: the formal charge of {ion} is 0; set formal charges")
        framework = ~mobile & (atoms.numbers != 0)
        self.cell = atoms.cell.array.copy()
        self.fractional = atoms.get_scaled_positions()[framework]
        self.cutoff_A = cutoff_A
        symbols = np.array(atoms.get_chemical_symbols())[framework]
        charges = np.rint(charges_e[framework]).astype(int)
        kinds = sorted(set(zip(symbols.tolist(), charges.tolist(), strict=True)))
        self.tables = [self._table(symbol, charge) for symbol, charge in kinds]
        self.kind = np.array([kinds.index(pair) for pair in zip(symbols.tolist(), charges.tolist(), strict=True)])

    def _table(self, symbol: str, charge: int) -> NDArray[np.float32]:
        bins = int(self.cutoff_A**2 / TABLE_STEP_A2) + 1
        r = np.sqrt((np.arange(bins) + 0.5) * TABLE_STEP_A2)
        energy = pair_energy(np.maximum(r, CORE_A), self.ion, self.ion_charge, symbol, charge)
        return np.append(energy, 0.0).astype(np.float32)  # the last bin stands for everything beyond the cutoff

    def at(self, points_A: NDArray[np.float64]) -> NDArray[np.float64]:
        """Energies (n,) in eV at Cartesian points (n, 3)."""
        fractional = points_A @ np.linalg.inv(self.cell)
        fractional -= np.floor(fractional)
        heights = 1 / np.linalg.norm(np.linalg.inv(self.cell), axis=0)
        reach = np.ceil(self.cutoff_A / heights).astype(int)
        shifts = np.stack(np.meshgrid(*(np.arange(-n - 1, n + 2) for n in reach), indexing="ij"), axis=-1).reshape(
            -1, 3
        )
        energy = np.zeros(len(points_A))
        for kind, table in enumerate(self.tables):
            images = (self.fractional[self.kind == kind][:, None] + shifts).reshape(-1, 3) @ self.cell
            for start in range(0, len(points_A), 256):
                points = fractional[start : start + 256] @ self.cell
                squared = ((points[:, None] - images) ** 2).sum(-1)
                bins = np.minimum(squared / TABLE_STEP_A2, len(table) - 1).astype(np.int64)
                energy[start : start + 256] += table[bins].sum(1)
        return energy

    def grid(self, spacing_A: float = 0.2) -> NDArray[np.float64]:
        """Energies (eV) on a periodic grid of about this spacing, shape (n_a, n_b, n_c); cost grows with its
        cube.
        """
        lengths = np.linalg.norm(self.cell, axis=1)
        shape = np.maximum(1, np.rint(lengths / spacing_A).astype(int))
        heights = 1 / np.linalg.norm(np.linalg.inv(self.cell), axis=0)
        reach = np.ceil(self.cutoff_A / heights * shape).astype(int)
        padded = np.zeros(shape + 2 * reach + 2, dtype=np.float32)
        steps = self.cell / shape[:, None]
        metric = steps @ steps.T / TABLE_STEP_A2
        for fractional, kind in zip(self.fractional, self.kind, strict=True):
            table = self.tables[kind]
            position = fractional % 1.0 * shape
            base = position.astype(int)
            axes = [np.arange(-n, n + 2) - offset for n, offset in zip(reach, position - base, strict=True)]
            a, b, c = (axis.astype(np.float32) for axis in axes)
            plane = metric[0, 0] * a[:, None] ** 2 + metric[1, 1] * b**2 + 2 * metric[0, 1] * a[:, None] * b
            slope = 2 * (metric[0, 2] * a[:, None] + metric[1, 2] * b)
            squared = plane[:, :, None] + slope[:, :, None] * c + (metric[2, 2] * c**2).astype(np.float32)
            np.clip(squared, 0, len(table) - 1, out=squared)
            window = tuple(slice(start, start + len(axis)) for start, axis in zip(base, axes, strict=True))
            padded[window] += table[squared.astype(np.int32)]
        return _folded(padded, shape, reach)


def _folded(padded: NDArray[np.float32], shape: NDArray[np.int64], reach: NDArray[np.int64]) -> NDArray[np.float64]:
    """Add what fell outside the cell to where it belongs periodically."""
    folded = padded.astype(np.float64)
    for axis in range(3):
        index = (np.arange(folded.shape[axis]) - reach[axis]) % shape[axis]
        order = np.argsort(index, kind="stable")
        starts = np.searchsorted(index[order], np.arange(shape[axis]))
        folded = np.add.reduceat(np.take(folded, order, axis=axis), starts, axis=axis)
    return folded


def percolation_dimension(open_points: NDArray[np.bool_]) -> int:
    """In how many independent directions a periodic region (26-connected grid points) connects with itself.

    The region is labelled once in a cell with one wrapped layer; pieces that touch across the boundary are
    joined with the lattice vector that was crossed, and closed loops give the vectors along which it is
    infinite.
    """
    extended = np.pad(open_points, [(0, 1)] * 3, mode="wrap")
    pieces, count = label(extended, structure=generate_binary_structure(3, 3))
    if count == 0:
        return 0
    n = np.array(open_points.shape)
    links = []
    for axis in range(3):
        face = [slice(None)] * 3
        face[axis] = slice(-1, None)
        points = np.argwhere(pieces[tuple(face)])
        points[:, axis] = n[axis]
        crossed = points >= n
        home = np.where(crossed, points - n, points)
        links.append(np.column_stack([pieces[tuple(points.T)], pieces[tuple(home.T)], crossed]))
    unique = np.unique(np.concatenate(links), axis=0)
    return max(_loop_ranks([(int(a), int(b), offset) for a, b, *offset in unique.tolist()]), default=0)


def _loop_ranks(links: list[tuple[int, int, list[int]]]) -> list[int]:
    """Rank of the lattice vectors of the closed loops, for each connected piece of a periodic graph."""
    neighbours: dict[int, list[tuple[int, NDArray[np.int64]]]] = defaultdict(list)
    for a, b, offset in links:
        neighbours[a].append((b, -np.array(offset)))
        neighbours[b].append((a, np.array(offset)))
    place: dict[int, NDArray[np.int64]] = {}
    ranks = []
    for start in neighbours:
        if start in place:
            continue
        place[start] = np.zeros(3, dtype=int)
        queue: deque[int] = deque([start])
        loops: list[NDArray[np.int64]] = []
        while queue:
            here = queue.popleft()
            for there, step in neighbours[here]:
                arrival = place[here] + step
                if there not in place:
                    place[there] = arrival
                    queue.append(there)
                elif (loop := arrival - place[there]).any():
                    loops.append(loop)
        ranks.append(int(np.linalg.matrix_rank(np.array(loops))) if loops else 0)
    return ranks


def percolation_barriers(
    energy_eV: NDArray[np.float64], limit_eV: float = 10.0, tolerance_eV: float = 0.001
) -> tuple[float, float, float]:
    """Lowest energies above the minimum at which the open region is infinite in 1, 2 and 3 directions (eV).

    Found by bisection; `inf` where even `limit_eV` does not percolate.
    """
    above = energy_eV - energy_eV.min()

    @functools.cache
    def dimension(threshold: float) -> int:
        return percolation_dimension(above <= threshold)

    barriers, low = [], 0.0
    for wanted in (1, 2, 3):
        if dimension(limit_eV) < wanted:
            barriers.append(np.inf)
            continue
        high = limit_eV
        lower = low
        while high - lower > tolerance_eV:
            middle = (lower + high) / 2
            lower, high = (lower, middle) if dimension(middle) >= wanted else (middle, high)
        barriers.append(round(high, 4))
        low = lower
    return barriers[0], barriers[1], barriers[2]


def formal_charges(atoms: Atoms) -> NDArray[np.float64]:
    """Formal charges (e): those that the structure carries, else pymatgen's bond-valence analysis or guess.

    Raises:
        ValueError: none are given and none can be guessed.
    """
    given = atoms.get_initial_charges()
    if given.any():
        return given
    from pymatgen.analysis.bond_valence import BVAnalyzer
    from pymatgen.core import Lattice, Structure

    real = atoms.numbers != 0
    structure = Structure(Lattice(atoms.cell.array), atoms.numbers[real], atoms.get_scaled_positions()[real])
    charges = np.zeros(len(atoms))
    try:
        charges[real] = BVAnalyzer().get_valences(structure)
    except ValueError:
        structure.add_oxidation_state_by_guess()
        charges[real] = [getattr(site.specie, "oxi_state", 0) or 0 for site in structure]
    if not charges.any() or (charges != np.rint(charges)).any():
        raise ValueError(
            f"formal charges: none could be found for {atoms.get_chemical_formula()}; "
            "set them as initial charges of the structure"
        )
    return charges
