"""Reading data sets (CIFs with id_prop.csv, ASE databases, extended XYZ) and structures to predict."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from models.crystal import check_structure

Floats = NDArray[np.float64]
DATABASES = {".db", ".json", ".aselmdb"}
XYZ = {".xyz", ".extxyz"}
ALLOWED = "a folder with CIFs and id_prop.csv, an ASE database (.db, .json) or an extended XYZ file (.xyz, .extxyz)"


@dataclass(frozen=True)
class DataSet:
    """Structures with targets: ids, structures and y have one entry per row; y is in the data's own unit."""

    ids: list[str]
    structures: list[Atoms]
    y: Floats
    target: str

    def __len__(self) -> int:
        return len(self.ids)

    def __post_init__(self) -> None:
        if not self.ids:
            raise ValueError("the data set is empty")
        twice = [name for name, count in Counter(self.ids).items() if count > 1]
        if twice:
            raise ValueError(f"ids must be unique; {_some(twice)} occur more than once")
        bad = [name for name, value in zip(self.ids, self.y, strict=True) if not np.isfinite(value)]
        if bad:
            raise ValueError(f"targets must be finite numbers; those of {_some(bad)} are not")
        for name, atoms in zip(self.ids, self.structures, strict=True):
            check_structure(atoms, name)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def read_dataset(path: Path | str, target: str | None = None) -> DataSet:
    """Read a data set.

    Args:
        path: a folder with `id_prop.csv` (lines `id,value`, no header) and `id.cif` files; an ASE database; an
            extended XYZ file.
        target: name of the value in a database's key-value pairs or in the XYZ comment lines; needed only if there is
            more than one number to choose from.

    Raises:
        FileNotFoundError: nothing there, or a CIF is missing.
        ValueError: another kind of file, or bad contents; the message names the entry.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; expected {ALLOWED}")
    if path.is_dir():
        return _read_folder(path, target)
    if path.suffix in DATABASES:
        return _read_database(path, target)
    if path.suffix in XYZ:
        return _read_xyz(path, target)
    raise ValueError(f"{path}: not a data set; expected {ALLOWED}")


def _read_folder(path: Path, target: str | None) -> DataSet:
    table = path / "id_prop.csv"
    if not table.is_file():
        raise FileNotFoundError(
            f"{table}: missing; a data folder holds id_prop.csv (lines: id,value) and id.cif files"
        )
    ids, values = [], []
    for number, line in enumerate(csv.reader(table.read_text().splitlines()), 1):
        if not line or not "".join(line).strip():
            continue
        try:
            name, value = line[0].strip(), float(line[1])
        except (IndexError, ValueError):
            raise ValueError(f"{table}, line {number}: expected id,value; got {','.join(line)!r}") from None
        ids.append(name)
        values.append(value)
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise ValueError(f"{table}: ids must be unique; {_some(twice)} occur more than once")
    structures = [read_structure(path / f"{name}.cif") for name in ids]
    return DataSet(ids, structures, np.array(values), target or "value")


def _read_database(path: Path, target: str | None) -> DataSet:
    with ase.db.connect(path) as database:
        rows = list(database.select())
    if not rows:
        raise ValueError(f"{path}: the database is empty")
    target = _target(path, target, [_numbers(row.key_value_pairs) for row in rows])
    ids = [str(row.key_value_pairs.get("id", row.id)) for row in rows]
    values = [row.key_value_pairs[target] for row in rows]
    return DataSet(ids, [_marked(row.toatoms(), row.data) for row in rows], np.array(values, float), target)


def _marked(atoms: Atoms, data: Mapping[str, Any]) -> Atoms:
    """With the array "focus" that a database's row has among its data."""
    if "focus" in data:
        atoms.set_array("focus", np.asarray(data["focus"]))
    return atoms


def _read_xyz(path: Path, target: str | None) -> DataSet:
    frames = _read(path, index=":")
    target = _target(path, target, [_numbers(atoms.info) for atoms in frames])
    ids = [str(atoms.info.get("id", number)) for number, atoms in enumerate(frames)]
    return DataSet(ids, frames, np.array([atoms.info[target] for atoms in frames], float), target)


def _numbers(entries: dict[str, object]) -> set[str]:
    """Names of entries that are numbers (not yes or no), ids aside."""
    return {
        name
        for name, value in entries.items()
        if isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and name != "id"
    }


def _target(path: Path, target: str | None, present: list[set[str]]) -> str:
    """The named target, or the only number that every entry has."""
    everywhere = set.intersection(*present)
    if target is None:
        if len(everywhere) == 1:
            return everywhere.pop()
        raise ValueError(f"{path}: name the target; every entry has {sorted(everywhere) or 'no number at all'}")
    missing = [str(number) for number, names in enumerate(present) if target not in names]
    if missing:
        raise ValueError(f"{path}: no number {target!r} in entries {_some(missing)}; all have {sorted(everywhere)}")
    return target


def _read(path: Path, index: str | int) -> list[Atoms]:
    try:
        found = ase.io.read(path, index=index)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except Exception as error:  # noqa: BLE001 - ASE's readers raise whatever their parsers do
        text = str(error).splitlines()
        raise ValueError(
            f"{path}: cannot be read as a structure ({text[0] if text else type(error).__name__})"
        ) from None
    return found if isinstance(found, list) else [found]


def read_structure(path: Path) -> Atoms:
    """One crystal from a CIF, POSCAR or other file that ASE reads.

    Raises:
        FileNotFoundError, ValueError: no such file, unreadable, or sites shared by several elements.
    """
    atoms = _read(path, index=0)[0]
    occupancy = atoms.info.get("occupancy") or {}
    shared = [site for site, kinds in occupancy.items() if abs(sum(kinds.values()) - 1) > 1e-3 or len(kinds) > 1]
    if shared:
        raise ValueError(f"{path}: {len(shared)} sites are partially occupied; give an ordered structure")
    check_structure(atoms, str(path))
    return atoms


def read_structures(paths: Sequence[Path | str]) -> tuple[list[str], list[Atoms]]:
    """Names and structures of CIF, POSCAR and extended-XYZ files and of folders of them (sorted by name).

    Frames of an XYZ file with several are named file#0, file#1, ...
    """
    names: list[str] = []
    structures: list[Atoms] = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        if path.is_dir():
            inside = sorted(entry for entry in path.iterdir() if _is_structure(entry))
            if not inside:
                raise ValueError(f"{path}: no CIF, POSCAR or extended XYZ files in this folder")
        else:
            inside = [path]
        for file in inside:
            if file.suffix in XYZ:
                frames = _read(file, index=":")
                for number, atoms in enumerate(frames):
                    title = f"{file.stem}#{number}" if len(frames) > 1 else file.stem
                    check_structure(atoms, title)
                    names.append(title)
                    structures.append(atoms)
            else:
                structures.append(read_structure(file))
                names.append(file.name if file.suffix != ".cif" else file.stem)
    return names, structures


def _is_structure(path: Path) -> bool:
    return path.suffix in {".cif", ".vasp", *XYZ} or path.name.startswith(("POSCAR", "CONTCAR"))
