"""Competing phases of a convex hull: structures of the compounds that a composition may decompose into.

Two references, both of structures and not of energies: the calculator that gives the candidate's energy relaxes them
too, so that whatever it does wrong in the same way on both sides cancels.

- `shipped`: oxides, phosphates and silicates of Na, Li, Zr and the dopants of the NASICON space. Structures are data
  (`data/hull_phases.extxyz`, each frame with its source) and elements put into their types
  (`data/hull_isostructural.toml`).
- `materials-project`: whatever the Materials Project has within `WITHIN_EV_PER_ATOM` of its own hull (Jain et al.,
  APL Mater. 1, 011002 (2013)), through mp-api and the user's key, which is read from the environment and never
  written.

Elements take no part in either: the hull is closed to oxygen and to metals, and no molecule's energy is needed.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Protocol

import ase.io
from ase import Atoms
from pymatgen.core import Composition

from calculators.failures import CalculationFailed
from calculators.label import FailureKind
from calculators.storage import read_images, write_images

#: Phases of the Materials Project further above its hull than this are left out (eV/atom): they will not come below.
WITHIN_EV_PER_ATOM = 0.03
#: Where the key of the Materials Project is looked for.
KEY_VARIABLE = "MP_API_KEY"
#: What mp-api's client takes: a key of this length, and so many elements at once.
KEY_LENGTH, MOST_ELEMENTS = 32, 9

ReferenceName = Literal["auto", "shipped", "materials-project"]


@dataclass(frozen=True)
class Phase:
    """One compound. `name` is unique within its reference: "ZrO2 baddeleyite", "ZrO2 mp-2858"."""

    name: str
    atoms: Atoms
    source: str

    @property
    def elements(self) -> frozenset[str]:
        return frozenset(self.atoms.get_chemical_symbols())

    @property
    def formula(self) -> str:
        """Reduced: "Na4Zr2(SiO4)3"."""
        return str(Composition(self.atoms.get_chemical_formula()).reduced_formula)


class Reference(Protocol):
    """Where competing phases come from. `version` is part of what a result depends on."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def phases(self, elements: frozenset[str]) -> list[Phase]:
        """Every compound that consists of these elements only."""
        ...


class Shipped:
    """The reference that needs no network."""

    name = "shipped"

    @property
    def version(self) -> str:
        return _shipped()[0]

    def phases(self, elements: frozenset[str]) -> list[Phase]:
        return [phase for phase in _shipped()[1] if phase.elements <= elements]


@functools.cache
def _shipped() -> tuple[str, tuple[Phase, ...]]:
    """The digest of the data, and all phases in it."""
    data = resources.files("calculators").joinpath("data")
    structures, types = data.joinpath("hull_phases.extxyz"), data.joinpath("hull_isostructural.toml")
    digest = hashlib.sha256(structures.read_bytes() + types.read_bytes()).hexdigest()[:12]
    with resources.as_file(structures) as path:
        frames = list(ase.io.iread(path, index=":", format="extxyz"))
    published = {str(atoms.info["name"]): _bare(atoms) for atoms in frames}
    sources = {str(atoms.info["name"]): str(atoms.info["source"]) for atoms in frames}
    phases = [Phase(name, atoms, sources[name]) for name, atoms in published.items()]
    for entry in tomllib.loads(types.read_text(encoding="utf-8"))["isostructural"]:
        parent, kind = entry["parent"], entry["parent"].partition(" ")[2]
        for change in entry["replace"]:
            atoms = isostructural(published[parent], change)
            formula = Composition(atoms.get_chemical_formula()).reduced_formula
            phases.append(Phase(f"{formula} {kind}", atoms, f"in the type of {parent} ({sources[parent]})"))
    return digest, tuple(phases)


def isostructural(parent: Atoms, change: dict[str, Any]) -> Atoms:
    """Other elements in a known structure; `change["volume"]` is the new volume over the parent's."""
    replace = {old: new for old, new in change.items() if old != "volume"}
    atoms = parent.copy()
    atoms.set_chemical_symbols([replace.get(symbol, symbol) for symbol in parent.get_chemical_symbols()])
    atoms.set_cell(parent.cell * change["volume"] ** (1 / 3), scale_atoms=True)
    return atoms


def _bare(atoms: Atoms) -> Atoms:
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)


class MaterialsProject:
    """Compounds of the Materials Project; what was fetched once is kept in `folder`.

    Raises:
        ImportError: mp-api is not installed.
        ValueError: no key in the environment.
        CalculationFailed: `transient`, if the server cannot be reached.
    """

    name = "materials-project"

    def __init__(self, folder: Path) -> None:
        if not os.environ.get(KEY_VARIABLE):
            raise ValueError(
                f"the Materials Project needs a key: set {KEY_VARIABLE} (materialsproject.org/api), "
                'or use reference = "shipped"'
            )
        if (length := len(os.environ[KEY_VARIABLE])) != KEY_LENGTH:
            raise ValueError(f"{KEY_VARIABLE}: a Materials Project key has {KEY_LENGTH} characters, not {length}")
        try:
            from mp_api.client import MPRester
        except ImportError as error:
            raise ImportError("the Materials Project needs mp-api: pip install ionloop[materials-project]") from error
        self._rester = MPRester
        self.version = str(self._ask(lambda rester: rester.db_version))
        self.folder = folder / self.name / self.version

    def phases(self, elements: frozenset[str]) -> list[Phase]:
        if len(elements) > MOST_ELEMENTS:
            raise ValueError(
                f"the Materials Project's client takes nine elements at most, not {len(elements)}; "
                'use reference = "shipped"'
            )
        path = self.folder / f"{'-'.join(sorted(elements))}.extxyz"
        frames = read_images(path)
        if frames is None:
            frames = self._ask(lambda rester: [_frame(entry) for entry in near_hull(rester, sorted(elements))])
            if frames:
                write_images(path, frames)
        return [Phase(str(atoms.info["name"]), _bare(atoms), str(atoms.info["source"])) for atoms in frames]

    def _ask(self, question: Any) -> Any:
        """Ask the server; its errors become a transient failure in which the key does not appear."""
        key = os.environ[KEY_VARIABLE]
        try:
            with self._rester(key, mute_progress_bars=True) as rester:
                return question(rester)
        except Exception as error:  # noqa: BLE001 - mp-api lets through whatever its transport raises
            text = f"{type(error).__name__}: {error}".replace(key, "<key>").splitlines()[0]
            raise CalculationFailed(
                FailureKind.TRANSIENT, f"the Materials Project cannot be asked: {text}", "hull"
            ) from None


def near_hull(rester: Any, elements: list[str]) -> list[Any]:
    """Computed entries of compounds within `WITHIN_EV_PER_ATOM` of the Materials Project's own hull.

    The hull is that of PBE with +U, on which CHGNet was trained. The client's default, mixed with r2SCAN, is not read
    from the server but from a table in an object store.
    """
    from pymatgen.analysis.phase_diagram import PhaseDiagram

    entries = rester.get_entries_in_chemsys(elements, additional_criteria={"thermo_types": ["GGA_GGA+U"]})
    diagram = PhaseDiagram(entries)
    above = {entry: diagram.get_e_above_hull(entry) for entry in entries if not entry.is_element}
    return [entry for entry, value in above.items() if value is not None and value <= WITHIN_EV_PER_ATOM]


def _frame(entry: Any) -> Atoms:
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms = _bare(AseAtomsAdaptor.get_atoms(entry.structure))
    identity = str(entry.data.get("material_id") or entry.entry_id)
    atoms.info = {
        "name": f"{entry.composition.reduced_formula} {identity}",
        "source": f"Materials Project {identity}",
    }
    return atoms


def open_reference(name: ReferenceName, folder: Path) -> Reference:
    """The reference of this name; "auto" is the Materials Project if there is a key for it, else the shipped one."""
    if name == "auto":
        name = "materials-project" if os.environ.get(KEY_VARIABLE) else "shipped"
    return MaterialsProject(folder) if name == "materials-project" else Shipped()
