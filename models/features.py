"""The 92 elemental node features of CGCNN, recomputed from element data.

The published vectors (Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), table S2) are one-hot bins of nine
properties. Their bins are applied here to values of the `mendeleev` library and, for molar volume, of
`pymatgen` (`models/data/elements.json`, written by `python -m models.features`). `DIFFERENCES` lists the
bins in which today's element data disagrees with the published vectors; there the published bin is kept,
so that released checkpoints see exactly what they were trained on.
"""

from __future__ import annotations

import json
import math
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Heaviest element with features (Lr). Published vectors exist to 100 (Fm).
MAX_NUMBER = 103
FEATURES = 92

#: property -> (first column, number of bins)
COLUMNS = {
    "group": (0, 19),  # 0 is the f block
    "period": (19, 7),
    "electronegativity": (26, 10),  # Pauling
    "radius_pm": (36, 10),  # covalent, Pyykkö
    "valence": (46, 12),  # electrons; 2 throughout the f block
    "ionisation_eV": (58, 10),  # natural logarithm
    "affinity_eV": (68, 10),
    "block": (78, 4),
    "volume_cm3_per_mol": (82, 10),  # natural logarithm
}
RANGES = {
    "electronegativity": (0.5, 4.0),
    "radius_pm": (25.0, 250.0),
    "ionisation_eV": (1.3, 3.3),
    "affinity_eV": (-3.0, 3.7),
    "volume_cm3_per_mol": (1.5, 4.3),
}
LOGARITHMIC = {"ionisation_eV", "volume_cm3_per_mol"}

#: Published bin (None: no bin set) where the recomputed one differs. Volume: gases were taken as liquids
#: or solids by the published set, actinides have newer densities today; the electron affinity of He and Ar
#: was left empty; Pd counts its full 4d shell as twelve.
DIFFERENCES: dict[str, dict[str, int | None]] = {
    "volume_cm3_per_mol": {
        **{"H": 4, "He": 6, "N": 4, "F": 4, "Ne": 4, "Cl": 5, "Ar": 6, "Kr": 7, "Xe": 8},
        **{"Pm": None, "Tm": 4, "Rn": None, "Ra": 8, "Np": 5, "Pu": None},
        **{"Am": 5, "Cm": 5, "Bk": None, "Cf": None, "Es": None},
    },
    "affinity_eV": {"He": None, "Ar": None},
    "valence": {"Pd": 11},
}


def bin_of(name: str, value: float | None) -> int | None:
    """Bin of a continuous property (units in `COLUMNS`), clipped at both ends; None if the value is
    unknown."""
    if value is None:
        return None
    low, high = RANGES[name]
    bins = COLUMNS[name][1]
    position = math.log(value) if name in LOGARITHMIC else value
    return min(max(math.floor((position - low) / (high - low) * bins), 0), bins - 1)


def recomputed_bins(number: int) -> dict[str, int | None]:
    """Bin of every property of an element from today's element data, published differences not applied."""
    row = element_data()[number]
    block = _block(number, row["block"])
    group = 0 if block == "f" else int(row["group"])
    valence = {"s": group if number != 2 else 2, "p": group - 10, "d": min(group, 12), "f": 2}[block]
    bins: dict[str, int | None] = {name: bin_of(name, row[name]) for name in RANGES}
    bins |= {"group": group, "period": int(row["period"]) - 1, "valence": valence - 1}
    return bins | {"block": "spdf".index(block)}


def _block(number: int, block: str) -> str:
    # La and Ac belong to the f block of the published set, Lu and Lr to its d block.
    if 57 <= number <= 70 or 89 <= number <= 102:
        return "f"
    return "d" if number in (71, 103) else block


@cache
def element_data() -> dict[int, dict[str, Any]]:
    """Group, period, block and property values by atomic number, as shipped."""
    text = resources.files("models").joinpath("data/elements.json").read_text()
    return {int(number): row for number, row in json.loads(text)["elements"].items()}


@cache
def _table() -> Floats:
    table = np.zeros((MAX_NUMBER + 1, FEATURES))
    for number in range(1, MAX_NUMBER + 1):
        bins = recomputed_bins(number)
        for name, published in DIFFERENCES.items():
            if chemical_symbols[number] in published:
                bins[name] = published[chemical_symbols[number]]
        for name, position in bins.items():
            if position is not None:
                table[number, COLUMNS[name][0] + position] = 1.0
    table.flags.writeable = False
    return table


def feature_table() -> Floats:
    """(104, 92) read-only: row Z holds the features of element Z; row 0, the vacant site, is all zeros."""
    return _table()


def check_numbers(numbers: NDArray[Any], where: str) -> None:
    """Raise ValueError if an atomic number has no features."""
    outside = np.unique(numbers[(numbers < 0) | (numbers > MAX_NUMBER)])
    if outside.size:
        names = ", ".join(chemical_symbols[z] if 0 <= z < len(chemical_symbols) else str(z) for z in outside)
        raise ValueError(f"{where}: no elemental features for {names}; known are H to Lr and X (vacant site)")


def write_element_data(path: Path) -> None:
    """Read mendeleev and pymatgen anew and write the shipped table (half a minute)."""
    from importlib.metadata import version

    from mendeleev import element
    from pymatgen.core import Element

    elements = {}
    for number in range(1, MAX_NUMBER + 1):
        theirs, pymatgen = element(number), Element.from_Z(number)
        volume = pymatgen.molar_volume
        elements[number] = {
            "symbol": theirs.symbol,
            "group": pymatgen.group,
            "period": theirs.period,
            "block": theirs.block,
            "electronegativity": theirs.en_pauling,
            "radius_pm": theirs.covalent_radius_pyykko,
            "ionisation_eV": theirs.ionenergies.get(1),
            "affinity_eV": theirs.electron_affinity,
            "volume_cm3_per_mol": float(volume) if volume else None,
        }
    sources = {name: version(name) for name in ("mendeleev", "pymatgen")}
    path.write_text(json.dumps({"sources": sources, "elements": elements}, indent=0) + "\n")


if __name__ == "__main__":
    write_element_data(Path(__file__).parent / "data" / "elements.json")
