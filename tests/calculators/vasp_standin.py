#!/usr/bin/env python
"""A stand-in for vasp_std: reads and writes VASP's files, computes with EMT. NOT VASP; for tests only.

Reads INCAR, KPOINTS, POSCAR and POTCAR (all must be there), runs a single point (NSW 0), a relaxation, or with
IMAGES a NEB over 00 ... NN, and writes OUTCAR, vasprun.xml, CONTCAR and OSZICAR. Fails on demand as VASP does, by
the environment
variable VASP_STANDIN_FAIL: "zbrent" and "edddav" until the INCAR has been changed, "walltime" (killed in the third
step, OUTCAR cut off), "disk" (no space left), "always" (an error nobody can repair). With a file name after a colon,
only until that file exists ("walltime:/tmp/marker"): the failure happens once.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.emt import EMT
from ase.mep import NEB
from ase.optimize import FIRE
from ase.units import GPa
from pymatgen.io.vasp.inputs import Incar


def main() -> None:
    for name in ("INCAR", "KPOINTS", "POTCAR"):
        if not Path(name).is_file():
            sys.exit(f"stand-in for VASP: {name} is missing")
    incar = Incar.from_file("INCAR")
    print(" running on    1 total cores (stand-in, not VASP)\n vasp.6.4.2 stand-in")
    fail_if_told(incar, before=True)
    if "IMAGES" in incar:
        neb(incar)
    else:
        single(incar, Path.cwd())
    print(" reached required accuracy - stopping structural energy minimisation")


def told() -> str:
    wish, _, marker = os.environ.get("VASP_STANDIN_FAIL", "").partition(":")
    if marker and Path(marker).exists():
        return ""
    if marker and wish:
        Path(marker).touch()
    return wish


def fail_if_told(incar: Incar, before: bool = False) -> None:
    wish = os.environ.get("VASP_STANDIN_FAIL", "").partition(":")[0]
    if wish == "zbrent" and incar.get("IBRION") != 1:
        print(" ZBRENT: fatal error in bracketing\n     please rerun with smaller EDIFF, or copy CONTCAR", flush=True)
        single(incar, Path.cwd())
        sys.exit(1)
    if wish == "edddav" and str(incar.get("ALGO", "Normal")).lower() != "all":
        print(" Error EDDDAV: Call to ZHEGV failed. Returncode =   8 1   8", flush=True)
        sys.exit(1)
    if wish == "always":
        print(" |     internal error in stand-in: nobody knows this one", file=sys.stderr, flush=True)
        sys.exit(1)
    if wish == "disk":
        print("forrtl: No space left on device", file=sys.stderr, flush=True)
        raise OSError(28, "No space left on device")


def read_poscar(folder: Path) -> Atoms:
    atoms = ase.io.read(folder / "POSCAR", format="vasp")
    assert isinstance(atoms, Atoms)
    atoms.pbc = True
    return atoms


def single(incar: Incar, folder: Path) -> None:
    atoms = read_poscar(folder)
    atoms.calc = EMT()
    frames: list[Atoms] = []
    wish = told()

    def record() -> None:
        frames.append(frozen(atoms))
        write_outputs(folder, frames, incar)
        if wish == "walltime" and len(frames) == 3:
            cut_off(folder)
            os.kill(os.getpid(), signal.SIGKILL)

    if incar.get("NSW", 0) == 0:
        record()
        return
    with FIRE(atoms, logfile=None) as engine:
        engine.attach(record)
        engine.run(fmax=abs(incar.get("EDIFFG", -0.01)), steps=incar["NSW"])


def neb(incar: Incar) -> None:
    folders = [Path(f"{number:02d}") for number in range(incar["IMAGES"] + 2)]
    images = [read_poscar(folder) for folder in folders]
    for image in images:
        image.calc = EMT()
    band = NEB(images, k=abs(incar.get("SPRING", -5)), climb=bool(incar.get("LCLIMB")), method="improvedtangent")
    frames: list[list[Atoms]] = [[] for _ in folders]
    wish = told()

    def record() -> None:
        for folder, image, history in list(zip(folders, images, frames, strict=True))[1:-1]:
            history.append(frozen(image))
            write_outputs(folder, history, incar)
        if wish == "walltime" and len(frames[1]) == 6:
            for folder in folders[1:-1]:
                cut_off(folder)
            os.kill(os.getpid(), signal.SIGKILL)

    with FIRE(band, logfile=None) as engine:
        engine.attach(record)
        engine.run(fmax=abs(incar.get("EDIFFG", -0.01)), steps=incar["NSW"])


def frozen(atoms: Atoms) -> Atoms:
    from ase.calculators.singlepoint import SinglePointCalculator

    copy = atoms.copy()
    copy.calc = SinglePointCalculator(
        copy, energy=atoms.get_potential_energy(), forces=atoms.get_forces(), stress=atoms.get_stress()
    )
    return copy


def cut_off(folder: Path) -> None:
    """What a killed run leaves: files that end in the middle of a line."""
    for name in ("OUTCAR", "vasprun.xml"):
        text = (folder / name).read_text()
        (folder / name).write_text(text[: int(len(text) * 0.9)])


def write_outputs(folder: Path, frames: list[Atoms], incar: Incar) -> None:
    ase.io.write(folder / "CONTCAR", frames[-1], format="vasp", direct=True)
    (folder / "OSZICAR").write_text(
        "".join(
            f"{n:4d} F= {energy(frame):.8E} E0= {energy(frame):.8E}  d E =0\n" for n, frame in enumerate(frames, 1)
        )
    )
    (folder / "vasprun.xml").write_text(vasprun(frames, incar))
    (folder / "OUTCAR").write_text(outcar(frames))


def energy(frame: Atoms) -> float:
    return float(frame.get_potential_energy())


def rows(array: np.ndarray, indent: int = 4) -> str:
    return "".join(f"{' ' * indent}<v>{' '.join(f'{value:16.8f}' for value in row)}</v>\n" for row in array)


def structure_xml(frame: Atoms, name: str = "") -> str:
    head = f' name="{name}"' if name else ""
    return (
        f' <structure{head}>\n  <crystal>\n   <varray name="basis">\n{rows(frame.cell.array)}   </varray>\n'
        f'   <i name="volume">{frame.get_volume():16.8f}</i>\n  </crystal>\n'
        f'  <varray name="positions">\n{rows(frame.get_scaled_positions())}  </varray>\n </structure>\n'
    )


def vasprun(frames: list[Atoms], incar: Incar) -> str:
    first = frames[0]
    symbols = first.get_chemical_symbols()
    kinds = list(dict.fromkeys(symbols))
    atoms = "".join(f"<rc><c>{s} </c><c>{kinds.index(s) + 1:4d}</c></rc>" for s in symbols)
    steps = ""
    for frame in frames:
        stress = -frame.get_stress(voigt=False) / (0.1 * GPa)
        block = "".join(
            f'<i name="{name}">{energy(frame):16.8f}</i>' for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy")
        )
        steps += (
            f" <calculation>\n  <scstep><energy>{block}</energy></scstep>\n{structure_xml(frame)}"
            f'  <varray name="forces">\n{rows(frame.get_forces())}  </varray>\n'
            f'  <varray name="stress">\n{rows(stress)}  </varray>\n  <energy>{block}</energy>\n </calculation>\n'
        )
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n'
        ' <generator><i name="program" type="string">vasp </i>'
        '<i name="version" type="string">6.4.2 stand-in</i></generator>\n'
        f' <kpoints><varray name="kpointlist">\n{rows(np.zeros((1, 3)))} </varray>'
        '<varray name="weights"><v>1.0</v></varray></kpoints>\n'
        f' <parameters><i type="int" name="NSW">{incar.get("NSW", 0)}</i></parameters>\n'
        f" <atominfo><atoms>{len(first)}</atoms><types>{len(kinds)}</types>"
        f'<array name="atoms"><set>{atoms}</set></array></atominfo>\n'
        f"{structure_xml(first, 'initialpos')}{steps}{structure_xml(frames[-1], 'finalpos')}</modeling>\n"
    )


def outcar(frames: list[Atoms]) -> str:
    first = frames[0]
    symbols = first.get_chemical_symbols()
    kinds = list(dict.fromkeys(symbols))
    text = " vasp.6.4.2 stand-in\n"
    text += "".join(f" POTCAR:    PAW_PBE {kind} 01Jan2000\n" for kind in kinds * 2)
    text += "   ions per type = " + " ".join(f"{symbols.count(kind):5d}" for kind in kinds) + "\n"
    text += "   number of bands    NBANDS=      8\n   ISPIN  =      1    spin polarized calculation?\n"
    text += "   EDIFF  = 0.1E-04   stopping-criterion for ELM\n   NELM   =     60;   NELMIN=  2\n"
    for number, frame in enumerate(frames, 1):
        text += f"----------------------------------------- Iteration {number:4d}(   1)  ----------------------\n"
        text += " number of electron      88.0000000 magnetization       0.0000000\n"
        text += " aborting loop because EDIFF is reached\n"
        text += f"  free  energy   TOTEN  = {energy(frame):18.8f} eV\n\n"
        text += f"  energy  without entropy={energy(frame):18.8f}  energy(sigma->0) ={energy(frame):18.8f}\n"
        text += " POSITION                                       TOTAL-FORCE (eV/Angst)\n " + "-" * 83 + "\n"
        for position, force in zip(frame.positions, frame.get_forces(), strict=True):
            text += " ".join(f"{value:12.5f}" for value in position) + "  "
            text += " ".join(f"{value:12.6f}" for value in force) + "\n"
        text += " " + "-" * 83 + "\n"
    return text + " General timing and accounting informations for this job:\n Voluntary context switches:   0\n"


if __name__ == "__main__":
    main()
