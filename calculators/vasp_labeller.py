"""VASP in the registry: `vasp` (the band is driven by ASE) and `vasp-native` (the band is driven by VASP + VTST)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.mep import NEB

from calculators.barrier import BarrierRun
from calculators.failures import invalid
from calculators.frames import BAND
from calculators.labeller import NebLabeller
from calculators.neb import ABSURD_BARRIER_EV, BAND_FILE, Band, interpolated, path_lengths, unwrapped
from calculators.relax import Progress, forget, silent
from calculators.storage import write_images

#: Settings that say how small forces must be.
CRITERIA = ("relax_fmax_eV_per_A", "endpoint_fmax_eV_per_A", "fmax_eV_per_A")


def _vasp(directory: Path, **options: Any) -> Any:
    from calculators.vasp import make_vasp

    return make_vasp(directory, **options)


class VaspLabeller(NebLabeller):
    """Relaxations and band with ASE's Vasp calculator; every image and step is a VASP run of its own."""

    def __init__(self, name: str) -> None:
        super().__init__(name, _vasp, fidelity="vasp-neb", packages=("custodian",))

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        from calculators.vasp import preset_of

        options = {"preset": "cgformer", "incar": {}} | given.get("options", {})
        # The paper's force criterion is that of everything that ASE or VTST moves, where nothing else is asked for.
        criterion_eV_per_A = -preset_of(options["preset"]).incar["EDIFFG"]
        papers = dict.fromkeys(CRITERIA, criterion_eV_per_A) if given.get("preset", "thorough") == "thorough" else {}
        return super().settings({"keep_frames": True} | papers | given | {"options": options})

    def reported(self, folder: Path) -> dict[str, str]:
        from calculators.vasp import versions_reported

        found = versions_reported(folder)
        return {"vasp": ", ".join(found)} if found else {}

    def unavailable(self) -> str | None:
        from calculators.vasp import missing

        return super().unavailable() or missing()

    def run(self, settings: dict[str, Any], folder: Path, progress: Progress = silent) -> BarrierRun:
        usual = super().run(settings, folder, progress)
        return VaspRun(usual.factory, usual.settings, folder, progress, surrogate=usual.surrogate)


@dataclass
class VaspRun(BarrierRun):
    """A barrier run whose images keep a folder each, images/01, ..., and go on from the CONTCARs in them.

    A band is saved every few steps; a CONTCAR is one image's geometry of the last step that VASP finished.
    """

    def image_factory(self, folder: Path) -> Callable[[], Any]:
        numbers = itertools.count(1)
        return lambda: _vasp(image_folder(folder, next(numbers)), **self.settings.options)

    def last_band(self, initial: Atoms, final: Atoms, folder: Path) -> list[Atoms] | None:
        saved = super().last_band(initial, final, folder)
        band = saved or interpolated(initial, final, self.settings.images)
        when = (folder / BAND_FILE).stat().st_mtime_ns if saved else 0
        newer = [contcar_after(when, image_folder(folder, n), image) for n, image in enumerate(band[1:-1], start=1)]
        if saved is None and None in newer:  # killed in the first step
            return None
        return [band[0], *(new or old for new, old in zip(newer, band[1:-1], strict=True)), band[-1]]


def image_folder(folder: Path, number: int) -> Path:
    """Where an interior image of a band is computed, counted from 1."""
    return folder / "images" / f"{number:02d}"


def contcar_after(when_ns: int, folder: Path, image: Atoms) -> Atoms | None:
    """The image as it stands in the CONTCAR of its folder, or None if that is not whole or older than `when_ns`."""
    contcar = folder / "CONTCAR"
    try:
        if contcar.stat().st_mtime_ns <= when_ns:
            return None
        order = np.loadtxt(folder / "ase-sort.dat", dtype=int, ndmin=2)[:, 1]
        return unwrapped(image, ase.io.read(contcar, format="vasp")[order])
    except (OSError, ValueError, IndexError, RuntimeError):  # a killed run leaves it empty, or half of it
        return None


class NativeVaspLabeller(VaspLabeller):
    """End points as `vasp`; the whole band in one VASP run with LCLIMB and VTST's optimiser."""

    def run(self, settings: dict[str, Any], folder: Path, progress: Progress = silent) -> BarrierRun:
        usual = super().run(settings, folder, progress)
        return NativeRun(usual.factory, usual.settings, folder, progress)


@dataclass
class NativeRun(BarrierRun):
    """A barrier run that hands the band to VASP."""

    def band(self, initial: Atoms, final: Atoms, folder: Path) -> Band:
        from calculators.vasp import check_version, vasp_failure
        from calculators.vasp_neb import all_steps, run_native

        settings, options = self.settings, self.settings.options
        images = self.last_band(initial, final, folder) or interpolated(initial, final, settings.images)
        images[0].calc, images[-1].calc = initial.calc, final.calc
        tags = {"EDIFFG": -settings.fmax_eV_per_A, "NSW": settings.steps, "LCLIMB": settings.climb}
        tags["SPRING"] = -5
        with self.timed("neb"):
            self.report({"stage": "neb", "native": True})
            preset, given = options.get("preset", "cgformer"), options.get("incar", {})
            try:
                done = run_native(folder / "vasp", images, preset, tags | {"IMAGES": settings.images} | given)
            except RuntimeError as error:
                raise vasp_failure(str(error)) from error
            check_version(options.get("version", ""), folder / "vasp")
        write_images(folder / BAND_FILE, done)
        if (record := self.record(BAND)) is not forget:
            record(all_steps(folder / "vasp"))
        steps = ionic_steps(folder / "vasp" / "01" / "vasprun.xml")
        self.force_calls += steps * settings.images
        energies = np.array([image.get_potential_energy() for image in done])
        path_eV = energies - energies[0]
        if not np.isfinite(path_eV).all() or path_eV.max() > ABSURD_BARRIER_EV:
            raise invalid(f"an image lies {path_eV.max():.1f} eV above the initial state", "neb")
        fmax = projected_fmax(done, settings.climb)
        return Band(
            images=done,
            path_A=path_lengths(done).tolist(),
            path_eV=path_eV.tolist(),
            fmax_eV_per_A=fmax,
            steps=steps,
            force_calls=steps * settings.images,
            converged=fmax < settings.fmax_eV_per_A,
        )


def projected_fmax(images: list[Atoms], climb: bool) -> float:
    """Largest projected NEB force (eV/Å) of a band with frozen results, by VASP's spring of 5 eV/Å^2."""
    forces = NEB(images, k=5.0, climb=climb, method="improvedtangent").get_forces()
    return float(np.linalg.norm(forces, axis=1).max())


def ionic_steps(vasprun: Path) -> int:
    """Number of ionic steps in a vasprun.xml, complete or not."""
    return vasprun.read_text(errors="replace").count("<calculation>")


vasp = VaspLabeller("vasp")
vasp_native = NativeVaspLabeller("vasp-native")
