"""The native NEB of VASP + VTST (Henkelman group): folders 00, 01, ... NN, one VASP run for the whole band.

Inputs follow the VTST documentation: SPRING -5, LCLIMB, IBRION 3 with POTIM 0 (VTST's own optimiser, IOPT 1), ICHAIN
0, fixed cell. The number of MPI ranks must be a multiple of IMAGES.
"""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from calculators.vasp import PSEUDOPOTENTIALS, incar_of, k_points, preset_of
from calculators.vasp_run import run

#: What makes a band of it, on top of a preset.
NEB_TAGS = {
    "SPRING": -5,
    "LCLIMB": True,
    "ICHAIN": 0,
    "IBRION": 3,
    "POTIM": 0,
    "IOPT": 1,
    "ISIF": 2,
    "NSW": 300,
}


def order_of(atoms: Atoms) -> NDArray[np.int64]:
    """The order in which VASP's files hold the atoms: grouped by element, otherwise as given."""
    return np.argsort(atoms.get_chemical_symbols(), kind="stable")


def write_inputs(
    folder: Path, images: list[Atoms], preset: str = "cgformer", extra: dict[str, Any] | None = None
) -> None:
    """Write a complete NEB run: INCAR, KPOINTS, POTCAR, and a POSCAR in 00 ... NN (KPOINTS there too, for HDF5
    builds).

    Args:
        images: end points included, all in one cell and one order of atoms.
        extra: INCAR tags that win.

    Raises:
        FileNotFoundError: a POTCAR is missing; the message names it.
    """
    from pymatgen.io.vasp.inputs import Incar, Kpoints

    folder.mkdir(parents=True, exist_ok=True)
    order = order_of(images[0])
    tags = incar_of(images[0][order], preset) | NEB_TAGS | {"IMAGES": len(images) - 2} | (extra or {})
    Incar(tags).write_file(folder / "INCAR")
    mesh = k_points(images[0], preset)
    kind = Kpoints.gamma_automatic if preset_of(preset).gamma else Kpoints.monkhorst_automatic
    kind(mesh).write_file(folder / "KPOINTS")
    write_potcar(folder / "POTCAR", images[0][order])
    for number, image in enumerate(images):
        inside = folder / f"{number:02d}"
        inside.mkdir(exist_ok=True)
        ase.io.write(inside / "POSCAR", image[order], format="vasp", direct=True)
        shutil.copy(folder / "KPOINTS", inside / "KPOINTS")


def write_potcar(path: Path, atoms: Atoms) -> None:
    """Join the POTCAR files of the elements (the Materials Project's choice of each) in the order of the atoms."""
    from pymatgen.io.vasp.sets import MPRelaxSet

    root = Path(os.environ.get(PSEUDOPOTENTIALS, "")) / "potpaw_PBE"
    names = MPRelaxSet.CONFIG["POTCAR"]
    sources = [root / names[symbol] / "POTCAR" for symbol in dict.fromkeys(atoms.get_chemical_symbols())]
    for source in sources:
        if not source.is_file():
            raise FileNotFoundError(f"no POTCAR for {source.parent.name}: {source} (set {PSEUDOPOTENTIALS})")
    path.write_text("".join(source.read_text() for source in sources))


def continue_inputs(folder: Path) -> int:
    """Make the last geometry of every image its next start (CONTCAR to POSCAR); returns how many images had one.

    An empty or half-written CONTCAR, as a killed run leaves it, is passed over.
    """
    renewed = 0
    for contcar in sorted(folder.glob("[0-9][0-9]/CONTCAR")):
        poscar = contcar.with_name("POSCAR")
        try:
            new, old = ase.io.read(contcar, format="vasp"), ase.io.read(poscar, format="vasp")
        except (ValueError, IndexError, OSError, RuntimeError):
            continue
        assert isinstance(new, Atoms)
        if len(new) == len(old) and np.isfinite(new.positions).all():
            shutil.copy(contcar, poscar)
            renewed += 1
    return renewed


def read_band(folder: Path, initial: Atoms, final: Atoms) -> list[Atoms]:
    """The band as it stands, in the order of atoms of `initial`, with energies and forces; end points as given.

    Raises:
        ValueError: an image has no complete step yet; the message names the file.
    """
    back = np.argsort(order_of(initial))
    numbers = sorted(path.name for path in folder.glob("[0-9][0-9]") if path.is_dir())
    band = [initial]
    for number in numbers[1:-1]:
        read = read_last_step(folder / number)
        image = read[back]
        results = {name: read.calc.results[name] for name in ("energy", "free_energy")}
        image.calc = SinglePointCalculator(image, forces=read.get_forces()[back], **results)
        band.append(image)
    return [*band, final]


def read_last_step(folder: Path) -> Atoms:
    """The last complete ionic step that VASP wrote in this folder: vasprun.xml, or OUTCAR where that is all there is.

    Raises:
        ValueError: there is none; the message names the file.
    """
    path, form = folder / "vasprun.xml", "vasp-xml"
    if not path.exists() and (folder / "OUTCAR").exists():
        path, form = folder / "OUTCAR", "vasp-out"
    try:
        image = ase.io.read(path, index=-1, format=form)
    except Exception as error:
        raise ValueError(f"VASP: {path} holds no complete step ({type(error).__name__})") from error
    assert isinstance(image, Atoms)
    return image


def all_steps(folder: Path) -> list[Atoms]:
    """Every ionic step of every image that VASP wrote a vasprun.xml for, in VASP's order of atoms."""
    steps: list[Atoms] = []
    for path in sorted(folder.glob("[0-9][0-9]/vasprun.xml")):
        found = ase.io.read(path, index=":", format="vasp-xml")
        steps += found if isinstance(found, list) else [found]
    return steps


def run_native(
    folder: Path, images: list[Atoms], preset: str = "cgformer", extra: dict[str, Any] | None = None
) -> list[Atoms]:
    """Run the band in VASP, going on from CONTCARs if `folder` was started before; returns the band.

    Args:
        images: `images[0]` and `images[-1]` carry their energies.

    Raises:
        RuntimeError: VASP failed beyond custodian's repair.
        FileNotFoundError, ValueError: as `write_inputs` and `read_band`.
    """
    if (folder / "INCAR").exists():
        continue_inputs(folder)
    else:
        write_inputs(folder, images, preset, extra)
    run(folder, shlex.split(os.environ["ASE_VASP_COMMAND"]), neb=True)
    return read_band(folder, images[0], images[-1])
