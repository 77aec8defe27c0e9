"""VASP through ASE, with the papers' settings as presets.

Two ways to a barrier: `vasp` lets ASE drive the band, one VASP run per image and step (works with stock VASP; images
can run side by side, `parallel_images`); `calculators.vasp_neb` hands the whole band to VASP with the
transition-state tools of Henkelman's group. VASP itself and its POTCAR files are licensed: bring your own,

    export VASP_PP_PATH=/path/with/potpaw_PBE       # ASE's convention: potpaw_PBE/Na_pv/POTCAR
    export ASE_VASP_COMMAND="mpirun vasp_std"

Magnetic moments and Hubbard U are those of the Materials Project (pymatgen's MPRelaxSet), from the composition. Runs
go through custodian (see `calculators.vasp_run`), which repairs what it knows to repair.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed as ASECalculationFailed
from ase.calculators.calculator import all_changes
from ase.calculators.vasp import Vasp

from calculators.failures import CalculationFailed
from calculators.label import FailureKind

PSEUDOPOTENTIALS = "VASP_PP_PATH"
COMMAND = "ASE_VASP_COMMAND"


@dataclass(frozen=True)
class Preset:
    """INCAR tags in capitals, and a k-point mesh.

    Attributes:
        k_mesh: the mesh itself, or None where `k_spacing_per_A` (1/Å, without 2 pi) gives it for each cell.
        gamma: centred on the zone centre.
        assumed: what the source does not state, and why it is as it is.
    """

    source: str
    incar: dict[str, Any]
    k_mesh: tuple[int, int, int] | None = None
    k_spacing_per_A: float | None = None
    gamma: bool = True
    assumed: dict[str, str] = field(default_factory=dict)


#: Common to all: PBE with PAW, no wave functions or densities kept.
_BASE = {"GGA": "PE", "LREAL": "Auto", "LWAVE": False, "LCHARG": False, "LASPH": True, "PREC": "Accurate"}

PRESETS = {
    "cgformer": Preset(
        source="Tao et al., Matter 8, 102380 (2025)",
        incar=_BASE
        | {"ENCUT": 520, "EDIFF": 1e-5, "EDIFFG": -0.01, "IVDW": 11, "ISMEAR": 0, "SIGMA": 0.05, "ISPIN": 2},
        k_mesh=(1, 1, 1),
        assumed={
            "IVDW": "the paper says DFT-D3 without a damping: zero damping",
            "ISMEAR": "Gaussian smearing, 0.05 eV: oxides are insulators",
            "k_mesh": "the paper states none: the zone centre of an 80-atom cell",
        },
    ),
    "lzsp": Preset(
        source="Fu et al., high-entropy LZSP",
        incar=_BASE | {"ENCUT": 520, "EDIFF": 1e-5, "EDIFFG": -0.01, "ISPIN": 2, "ISMEAR": 0, "SIGMA": 0.05},
        k_spacing_per_A=0.1,
        assumed={"ENCUT": "the Materials Project's 520 eV, which the paper follows for its other settings"},
    ),
    "nvpf": Preset(
        source="Shim et al., Batteries & Supercaps (2024)",
        incar=_BASE | {"ENCUT": 550, "EDIFF": 1e-6, "EDIFFG": -0.01, "ISPIN": 2, "ISMEAR": 0, "SIGMA": 0.05},
        k_mesh=(1, 1, 1),
        gamma=False,  # Monkhorst-Pack, which for one point is the zone centre as well
    ),
}


def preset_of(name: str) -> Preset:
    if name not in PRESETS:
        raise ValueError(f"VASP preset '{name}' is unknown; allowed: {', '.join(PRESETS)}")
    return PRESETS[name]


def incar_of(atoms: Atoms, preset: str, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """All INCAR tags for a structure: the preset's, U and moments as the Materials Project has them, then `extra`.

    MAGMOM is in the order of the atoms as given, LDAU* in that of their elements: group the atoms by element first.
    """
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.vasp.sets import MPRelaxSet

    bare = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    structure = AseAtomsAdaptor.get_structure(bare)
    project = MPRelaxSet(structure, sort_structure=False).incar
    magnetic = {tag: project[tag] for tag in project if tag == "MAGMOM" or tag.startswith("LDAU") or tag == "LMAXMIX"}
    return magnetic | preset_of(preset).incar | (extra or {})


def k_points(atoms: Atoms, preset: str) -> tuple[int, int, int]:
    """The mesh of a preset for this cell."""
    chosen = preset_of(preset)
    if chosen.k_mesh is not None:
        return chosen.k_mesh
    assert chosen.k_spacing_per_A is not None
    lengths = [1 / length for length in atoms.cell.lengths()]
    mesh = [max(1, round(length / chosen.k_spacing_per_A)) for length in lengths]
    return mesh[0], mesh[1], mesh[2]


def missing() -> str | None:
    """What VASP needs and this machine lacks, in one line with what to do; None if all is there."""
    path = os.environ.get(PSEUDOPOTENTIALS)
    if not path:
        return f"no POTCAR files: set {PSEUDOPOTENTIALS} to the directory that holds potpaw_PBE (they are licensed)"
    if not (Path(path) / "potpaw_PBE").is_dir():
        return f"no POTCAR files: {PSEUDOPOTENTIALS}={path} holds no potpaw_PBE"
    command = os.environ.get(COMMAND)
    if not command:
        return f'no VASP command: set {COMMAND}, for example to "mpirun vasp_std"'
    executable = shlex.split(command)[0]
    if shutil.which(executable) is None:
        return f"no VASP executable: {COMMAND} names {executable}, which is not found"
    return None


class PresetVasp(Vasp):
    """ASE's Vasp calculator that sets itself up for the structure it gets, and runs through custodian.

    Args:
        directory: where to run; kept.
        preset: a name of `PRESETS`.
        incar: further tags, which win.
        version: the version that has to run, as far as it is given ("6.4"); any if empty.

    Raises:
        FileNotFoundError: no POTCAR files or no executable; the message says what to set.
    """

    def __init__(
        self, directory: str | Path, preset: str = "cgformer", incar: dict[str, Any] | None = None, version: str = ""
    ) -> None:
        problem = missing()
        if problem:
            raise FileNotFoundError(problem)
        preset_of(preset)
        self.preset, self.extra, self.stated = preset, dict(incar or {}), version
        super().__init__(
            directory=str(directory),
            command=f"{shlex.quote(sys.executable)} -m calculators.vasp_run",
            setups="materialsproject",
            pp="PBE",
            txt="custodian.out",
        )

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: tuple[str, ...] = ("energy",),
        system_changes: tuple[str, ...] = tuple(all_changes),
    ) -> None:
        assert atoms is not None
        self.set(**ase_arguments(atoms, self.preset, {"NSW": 0, "IBRION": -1} | self.extra))
        try:
            super().calculate(atoms, properties, system_changes)
        except ASECalculationFailed as error:
            raise vasp_failure(str(error)) from error
        check_version(self.stated, Path(self.directory))


def versions_reported(folder: Path) -> list[str]:
    """Versions of VASP that the OUTCAR files in and below this folder name: it says so nowhere before a run."""
    runs = sorted({path.parent for path in folder.rglob("OUTCAR")})
    return sorted({found for run in runs if (found := Vasp(directory=str(run)).read_version()) is not None})


def check_version(stated: str, folder: Path) -> None:
    """Raises CalculationFailed if another VASP ran in this folder than the one that the label's address names."""
    for found in versions_reported(folder):
        if stated and not f"{found}.".startswith(f"{stated}."):
            reason = f"VASP {found} ran, but options.version says {stated}: load that one, or state {found}"
            raise CalculationFailed(FailureKind.TRANSIENT, reason, "vasp")


def vasp_failure(report: str) -> CalculationFailed:
    """What VASP's and custodian's last words mean: the machine's trouble is `transient`, the rest is the input's."""
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    last = lines[-1] if lines else "VASP failed without a word"
    passing = ("no space left", "out of memory", "return code is -9", "killed", "signal 9", "quota")
    kind = FailureKind.TRANSIENT if any(word in report.lower() for word in passing) else FailureKind.INVALID
    return CalculationFailed(kind, last[:400], "vasp")


def ase_arguments(atoms: Atoms, preset: str, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """The same INCAR as arguments of ASE's Vasp: lower case, U by element."""
    # ASE wants moments in the order of the atoms and U by element, and sorts both by itself.
    order = np.argsort(atoms.get_chemical_symbols(), kind="stable")
    tags = incar_of(atoms[order], preset, extra)
    if "MAGMOM" in tags:
        tags["MAGMOM"] = np.array(tags["MAGMOM"])[np.argsort(order)].tolist()
    species = sorted(set(atoms.get_chemical_symbols()))
    hubbard = [tags.pop(tag, None) for tag in ("LDAUL", "LDAUU", "LDAUJ")]
    arguments = {tag.lower(): value for tag, value in tags.items()}
    if arguments.get("ldau") and all(values is not None for values in hubbard):
        arguments["ldau_luj"] = {
            symbol: {"L": int(low), "U": float(u), "J": float(j)}
            for symbol, low, u, j in zip(species, *hubbard, strict=True)
        }
    return arguments | {"kpts": k_points(atoms, preset), "gamma": preset_of(preset).gamma}


def make_vasp(
    directory: Path, preset: str = "cgformer", incar: dict[str, Any] | None = None, version: str = ""
) -> PresetVasp:
    """The factory that the registry knows as `vasp`: one calculator, one directory."""
    return PresetVasp(directory, preset, incar, version)
