"""What `ionloop hull` does: E_hull of structure files, as a table and as a data set that `ionloop train` reads."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from calculators.failures import CalculationFailed
from calculators.hull import Energies, Hull, e_hull
from calculators.phases import Reference
from calculators.relax import Progress, silent
from calculators.storage import write_images, write_json
from calculators.structures import read_structure


@dataclass(frozen=True)
class HullOf:
    """E_hull of one file, or why there is none. `atoms` is the structure of the file, without vacant sites."""

    path: Path
    atoms: Atoms
    hull: Hull | None
    reason: str = ""

    @property
    def formula(self) -> str:
        return str(self.atoms.get_chemical_formula("hill"))


def hull_of_files(
    paths: Sequence[Path], energies: Energies, reference: Reference, out: Path, progress: Progress = silent
) -> list[HullOf]:
    """E_hull of every file; one bad structure does not stop the others.

    Writes into `out`: hull.csv with everything, NAME.json and NAME-relaxed.extxyz of each structure, and hull.extxyz,
    the structures of the files with `e_hull_eV_per_atom`.

    Raises:
        FileNotFoundError, ValueError: a file that cannot be read, before anything is computed.
    """
    structures = [(path, read_structure(path)) for path in paths]
    found = [_one(path, atoms, energies, reference, out, progress) for path, atoms in structures]
    frames = []
    for one in found:
        if one.hull is not None:
            frame = Atoms(one.atoms.numbers, positions=one.atoms.positions, cell=one.atoms.cell, pbc=True)
            frame.info = {"name": one.path.stem, "e_hull_eV_per_atom": one.hull.e_hull_eV_per_atom}
            frames.append(frame)
    if frames:
        write_images(out / "hull.extxyz", frames)
    _write_table(out / "hull.csv", found)
    return found


def _one(path: Path, atoms: Atoms, energies: Energies, reference: Reference, out: Path, progress: Progress) -> HullOf:
    atoms = atoms[atoms.numbers != 0]
    try:
        hull, energy = e_hull(atoms, energies, reference, progress)
    except (CalculationFailed, ValueError) as error:
        return HullOf(path, atoms, None, str(error))
    write_json(out / f"{path.stem}.json", hull)
    write_images(out / f"{path.stem}-relaxed.extxyz", energy.structure.to_atoms())
    return HullOf(path, atoms, hull)


def _write_table(path: Path, found: Sequence[HullOf]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "formula", "e_hull_eV_per_atom", "decomposition", "reference", "version", "reason"])
        for one in found:
            hull = one.hull
            facts = ["", "", "", ""]
            if hull is not None:
                value = f"{hull.e_hull_eV_per_atom:.6f}"
                facts = [value, hull.decomposition(), hull.reference, hull.reference_version]
            writer.writerow([str(one.path), one.formula, *facts, one.reason])
