"""What the geometry of a migration path says of its barrier, without any calculation.

A row of ../shared/data/migration_barriers_dft.jsonl.gz holds a cell in which the moving ion stands at five images of
its path. `images` looks at these five only, `along` follows the path between them on straight lines, at seventeen
points in all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.analysis.bond_valence import BV_PARAMS
from pymatgen.core import Element, Lattice
from scipy.special import erfc

from calculators.bondvalence import COULOMB_EV_A, SCREENING, PairParameters, pair_parameters

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Formal charges (e) of what counts as an anion.
ANIONS = {"O": -2, "F": -1, "S": -2, "Se": -2, "Te": -2, "N": -3, "Cl": -1, "Br": -1, "I": -1}
#: Å; how sharply a bond's valence falls with its length (O'Keeffe & Brese).
SOFTNESS_A = 0.31
#: Points on each of the four straight pieces.
PER_PIECE = 4
#: Nothing of the framework is this near: it is the moving ion's own image.
OWN_A = 0.4


@dataclass(frozen=True)
class Path:
    """A path and what is around it.

    Attributes:
        ion, charge: the moving ion and its formal charge (e).
        distance_A: (points, n) to the n other atoms.
        species: (n,) their symbols.
        anion, same, cation: (n,) which of them are anions, of the moving ion's kind, and the rest.
        length_A: along the path.
        volume_A3: of the cell.
    """

    ion: str
    charge: int
    distance_A: Floats
    species: NDArray[np.str_]
    anion: Bools
    same: Bools
    cation: Bools
    length_A: float
    volume_A3: float

    @classmethod
    def of(cls, row: dict[str, Any], per_piece: int = PER_PIECE) -> Path:
        lattice, fractional = Lattice(row["lattice_A"]), np.array(row["coords"])
        if row["cartesian"]:
            fractional = lattice.get_fractional_coords(fractional)
        images, rest, ion = fractional[:5], fractional[5:], row["species"][0]
        steps = np.diff(images, axis=0)
        steps -= np.round(steps)
        between = np.arange(per_piece)[:, None] / per_piece
        points = np.vstack(
            [start + between * step for start, step in zip(images, steps, strict=False)] + [images[-1:]]
        )
        distance = lattice.get_all_distances(points, rest)
        there = distance.min(axis=0) > OWN_A
        distance, species = distance[:, there], np.array(row["species"][5:])[there]
        anion = np.isin(species, list(ANIONS))
        if not anion.any():  # an alloy: whatever is not the moving ion
            anion = species != ion
        same = species == ion
        length = float(np.linalg.norm(lattice.get_cartesian_coords(steps), axis=1).sum())
        charge = Element(ion).common_oxidation_states[0]
        return cls(ion, charge, distance, species, anion, same, ~anion & ~same, length, lattice.volume)

    @property
    def cation_charge(self) -> float:
        """Mean charge (e) of the framework's cations that makes the cell neutral."""
        anions = sum(ANIONS.get(s, -1) for s in self.species[self.anion])
        mobile = (self.same.sum() + 1) * self.charge
        return float(np.clip((-anions - mobile) / max(1, self.cation.sum()), 0, 7))


def along(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """32 features of each path; what one lacks is the median of the others."""
    paths = map(Path.of, rows)
    table = pd.DataFrame([_crystal(p) | _landscape(p) | _valence(p) | _neighbours(p) | _chemistry(p) for p in paths])
    return table.fillna(table.median())


def images(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Twelve features of each path: valence sum and nearest neighbours where the moving ion stands."""
    return pd.DataFrame([_images(Path.of(row, per_piece=1)) for row in rows])


def _images(path: Path) -> dict[str, float]:
    middle, ends = slice(1, 4), [0, 4]
    valence = _valences(path).sum(axis=1)
    shortest = np.sort(path.distance_A[:, path.anion], axis=1)
    cation = path.distance_A[:, ~path.anion].min(axis=1, initial=6.0)
    return {
        "length": path.length_A,
        "volume per atom": path.volume_A3 / (len(path.species) + 1),
        "valence ends": valence[ends].mean(),
        "valence middle": valence[middle].max(),
        "valence change": valence[middle].max() - valence[ends].min(),
        "valence lowest": valence.min(),
        "anion ends": shortest[ends, 0].mean(),
        "anion middle": shortest[middle, 0].min(),
        "window": shortest[middle, :3].mean(axis=1).min(),
        "window of four": shortest[middle, :4].mean(axis=1).min(),
        "cation middle": cation[middle].min(),
        "cation ends": cation[ends].min(),
    }


def _crystal(path: Path) -> dict[str, float]:
    anions, mobile = path.anion.sum(), path.same.sum() + 1
    return {
        "path length": path.length_A,
        "cation charge": path.cation_charge,
        "mobile per anion": mobile / anions,
        "alone": float(mobile == 1),
        "volume per anion": path.volume_A3 / anions,
        "cations per anion": path.cation.sum() / anions,
    }


def _landscape(path: Path) -> dict[str, float]:
    """Differences of the bond-valence site energy along the unrelaxed path (Adams & Rao, in Bond Valences (2014)),
    in eV, compressed by arsinh.
    """
    points, charge = len(path.distance_A), path.cation_charge
    morse, repulsion = np.zeros(points), np.zeros(points)
    for symbol in set(path.species[path.anion]):
        pair = _pair(path.ion, path.charge, symbol, ANIONS.get(symbol, -1))
        if pair is None or not np.isfinite(pair.d0_eV):
            morse[:] = np.nan
            continue
        d = path.distance_A[:, path.species == symbol]
        energy = pair.d0_eV / 2 * ((np.exp(pair.alpha_per_A * (pair.r_min_A - d)) - 1) ** 2 - 1)
        morse += np.where(d < 7, energy, 0.0).sum(axis=1)
    for symbol in set(path.species[path.cation]):
        pair = _pair(path.ion, path.charge, symbol, max(1, round(charge)))
        radii, quantum = (pair.radii_A, pair.quantum) if pair else (2.8, 9.0)
        d = np.minimum(path.distance_A[:, path.species == symbol], 8)
        strength = COULOMB_EV_A * path.charge * max(charge, 0.5) / np.sqrt(quantum)
        repulsion += (strength / d * erfc(d / (SCREENING * radii))).sum(axis=1)
    energy = morse + repulsion
    inner = energy[PER_PIECE : 3 * PER_PIECE + 1]
    return {
        "morse": float(np.arcsinh(np.ptp(morse))),
        "repulsion": float(np.arcsinh(np.ptp(repulsion))),
        "site energy": float(np.arcsinh(np.ptp(energy))),
        "site energy above ends": float(np.arcsinh(inner.max() - max(energy[0], energy[-1]))),
    }


@cache
def _pair(ion: str, ion_charge: int, symbol: str, charge: int) -> PairParameters | None:
    """Parameters of the pair, or of the nearest tabulated charge of the same sign."""
    for other in sorted(range(-4, 8), key=lambda q: abs(q - charge)):
        if other * charge > 0:
            try:
                return pair_parameters(ion, ion_charge, symbol, other)
            except ValueError:
                continue
    return None


def _valence(path: Path) -> dict[str, float]:
    """Bond-valence sum, effective coordination number (sum v)² / sum v², and the window of three or four anions."""
    valences = _valences(path)
    total = np.log(valences.sum(axis=1) / path.charge + 0.05)
    share = valences / valences.sum(axis=1, keepdims=True).clip(1e-9)
    number = 1 / np.maximum((share**2).sum(axis=1), 1e-9)
    nearest = np.sort(path.distance_A[:, path.anion], axis=1)
    three, four = nearest[:, :3].mean(axis=1), nearest[:, :4].mean(axis=1)
    return {
        "valence highest": total.max(),
        "valence lowest": total.min(),
        "valence range": np.ptp(total),
        "coordination ends": number[[0, -1]].mean(),
        "coordination change": np.ptp(number),
        "anion nearest": nearest[:, 0].min(),
        "window": three.min(),
        "window to pass": three.min() - float(Element(path.ion).average_ionic_radius),
        "window ratio": three.min() / three[[0, -1]].mean(),
        "window of four ratio": four.min() / four[[0, -1]].mean(),
    }


def _valences(path: Path) -> Floats:
    """(points, n) bond valences of the moving ion with the anions (O'Keeffe & Brese, J. Am. Chem. Soc. 113, 3226
    (1991)); 0 for what has no parameters or is beyond 5 Å.
    """
    own, valence = BV_PARAMS[Element(path.ion)], np.zeros_like(path.distance_A)
    for i in np.flatnonzero(path.anion):
        pair = BV_PARAMS.get(Element(path.species[i]))
        if pair is None:
            continue
        r1, r2, c1, c2 = own["r"], pair["r"], own["c"], pair["c"]
        length = r1 + r2 - r1 * r2 * (np.sqrt(c1) - np.sqrt(c2)) ** 2 / (c1 * r1 + c2 * r2)
        d = path.distance_A[:, i]
        valence[:, i] = np.where(d < 5.0, np.exp((length - d) / SOFTNESS_A), 0.0)
    return valence


def _neighbours(path: Path) -> dict[str, float]:
    """How near the framework's cations and the other mobile ions come, and how the crowd of them changes."""
    found: dict[str, float] = {}
    for name, which in (("cation", path.cation), ("mobile", path.same)):
        d = path.distance_A[:, which]
        nearest, crowd = d.min(axis=1, initial=7.0), np.exp(-d / 2.0).sum(axis=1)
        found |= {
            f"{name} ends": nearest[[0, -1]].mean(),
            f"{name} middle": nearest[len(d) // 2],
            f"{name} crowd change": crowd[len(d) // 2] - crowd[[0, -1]].mean(),
        }
    return found


def _chemistry(path: Path) -> dict[str, float]:
    """Elemental properties of anions and cations, weighted by how near they come."""
    weight = np.exp(-path.distance_A.min(axis=0) / 0.8)
    properties: dict[str, Callable[[Element], Any]] = {
        "electronegativity": lambda e: e.X,
        "period": lambda e: e.row,
        "group": lambda e: e.group,
        "radius": lambda e: e.atomic_radius or np.nan,
    }
    wanted = [("anion", path.anion, name) for name in ("electronegativity", "period", "radius")]
    wanted += [("cation", path.cation, name) for name in ("electronegativity", "period", "group")]
    found: dict[str, float] = {}
    for kind, which, name in wanted:
        values = np.array([float(properties[name](Element(s))) for s in path.species[which]])
        known = np.isfinite(values)
        near = weight[which][known]
        found[f"{kind} {name}"] = float((values[known] * near).sum() / near.sum()) if known.any() else np.nan
    return found
