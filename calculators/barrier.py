"""The steps from an ordering to a barrier with any ASE calculator: relaxation, end points, band.

`BarrierRun` is one label in the making; `calculators.neb_label` strings its steps together, `calculators.rules` says
which hops it is asked for.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from calculators.endpoints import check_hop, check_physical
from calculators.failures import CalculationFailed, unconverged
from calculators.frames import BAND, recorder
from calculators.hops import Edge
from calculators.label import FailureKind, Hop
from calculators.neb import BAND_FILE, Band, interpolated, run_band, saved_band
from calculators.relax import Progress, Record, Relaxation, forget, relax, silent
from calculators.rules import HopRecord
from calculators.settings import NebSettings
from calculators.storage import read_images, write_images, write_json
from calculators.structures import Ordering


@dataclass
class BarrierRun:
    """One label in the making: the calculator, the settings, the folder, and what has been spent so far."""

    factory: Callable[[], Any]
    settings: NebSettings
    folder: Path
    progress: Progress = silent
    force_calls: int = 0
    surrogate: Callable[[], Any] | None = None
    surrogate_force_calls: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    stage: str = ""  # none yet: the input is being looked at

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        self.stage = stage
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - start, 3)

    def report(self, event: dict[str, Any]) -> None:
        """Pass an event on with the force calls of the whole label instead of the stage's own."""
        self.progress(event | {"force_calls": self.force_calls + event.get("force_calls", 0)})

    def record(self, stage: str) -> Record:
        """Where the frames of a stage go."""
        return recorder(self.folder, stage) if self.settings.keep_frames else forget

    def relax(self, atoms: Atoms, which: str, progress: Progress, **options: Any) -> Relaxation:
        """Relax, or go on from the last step of an earlier run that was killed in the relaxation of these very atoms.

        Args:
            which: names the files of its last step and of its frames.
            options: of `calculators.relax.relax`.
        """
        path, origin = self.folder / "restart" / f"{which}.extxyz", fingerprint(atoms)
        start, frames = atoms.copy(), self.record(which)
        for last in read_images(path) or []:
            if last.info.get("origin") == origin:
                start.set_cell(last.cell)
                start.positions = last.positions

        def record(steps: Sequence[Atoms]) -> None:
            last = steps[-1].copy()
            last.info = {"origin": origin}
            write_images(path, last)
            frames(steps)

        result = relax(start, self.factory(), progress=progress, record=record, **options)
        self.force_calls += result.force_calls
        return result

    # -- the ordering
    # ------------------------------------------------------------------------------------------

    def relax_ordering(self, ordering: Ordering) -> Relaxation:
        """Relax the ordering as the settings say; a finished relaxation in the folder is read back."""
        settings = self.settings
        path = self.folder / "relaxed.extxyz"
        earlier = saved_relaxation(path)
        if earlier is not None:
            return earlier
        write_images(self.folder / "initial.extxyz", ordering.atoms)
        with self.timed("relax"):
            relaxed = self.relax(
                ordering.atoms,
                "relax",
                self.report,
                fmax_eV_per_A=settings.relax_fmax_eV_per_A,
                steps=0 if settings.relax == "none" else settings.relax_steps,
                cell=settings.relax == "cell",
            )
        if settings.relax != "none" and settings.relax_must_converge and not relaxed.converged:
            raise unconverged(
                f"relaxation: {relaxed.fmax_eV_per_A:.3f} eV/Å after {relaxed.steps} steps "
                f"(wanted {settings.relax_fmax_eV_per_A}); raise relax_steps",
                "relax",
            )
        check_physical(relaxed.atoms, "relax")
        record = relaxed.atoms.copy()
        record.calc = relaxed.atoms.calc
        record.info["relaxation"] = {
            "fmax_eV_per_A": relaxed.fmax_eV_per_A,
            "steps": relaxed.steps,
            "force_calls": relaxed.force_calls,
            "converged": relaxed.converged,
        }
        write_images(path, record)
        plain = relaxed.atoms.copy()
        plain.info.clear()
        write_images(self.folder / "relaxed.cif", plain, format="cif")
        write_images(self.folder / "POSCAR", plain, format="vasp")
        # What a restart would read, so that it goes the same way to the last digit.
        return saved_relaxation(path) or relaxed

    def initial_state(self, relaxed: Relaxation) -> Atoms:
        """The initial end point that all hops share: atoms relaxed in the fixed cell."""
        settings = self.settings
        state = relaxed.atoms
        if np.linalg.norm(state.get_forces(), axis=1).max() < settings.endpoint_fmax_eV_per_A:
            return state
        path = self.folder / "initial-state.extxyz"
        earlier = read_images(path)
        if earlier:
            return earlier[0]
        with self.timed("end points"):
            result = self.relax_end_point(state, "initial")
        write_images(path, result)
        return (read_images(path) or [result])[0]

    def relax_end_point(self, atoms: Atoms, which: str) -> Atoms:
        settings = self.settings
        result = self.relax(
            atoms,
            which,
            lambda event: self.report(event | {"end_point": which}),
            fmax_eV_per_A=settings.endpoint_fmax_eV_per_A,
            steps=settings.endpoint_steps,
            stage="end points",
        )
        if not result.converged:
            raise unconverged(
                f"{which} end point: {result.fmax_eV_per_A:.3f} eV/Å after {result.steps} steps "
                f"(wanted {settings.endpoint_fmax_eV_per_A}); raise endpoint_steps",
                "end points",
            )
        check_physical(result.atoms, "end points")
        return result.atoms

    # -- one hop
    # -----------------------------------------------------------------------------------------------

    def final_state(self, initial: Atoms, atom: int, vector_A: np.ndarray) -> Atoms:
        """Move one ion by `vector_A`, relax, and make sure that the result still is this hop.

        Raises:
            CalculationFailed: `invalid`, if the ion came back or went elsewhere, or another atom moved too
                far.
        """
        moved = initial.copy()
        moved.positions[atom] += vector_A
        check_physical(moved, "end points")
        with self.timed("end points"):
            final = self.relax_end_point(moved, "final")
        check_hop(initial, final, atom, vector_A, self.settings.max_other_move_A)
        return final

    def last_band(self, initial: Atoms, final: Atoms, folder: Path) -> list[Atoms] | None:
        """Where an earlier, unfinished run between these end points stood, or None."""
        return saved_band(folder / BAND_FILE, initial, final, self.settings.images)

    def image_factory(self, folder: Path) -> Callable[[], Any]:
        """What makes the calculators of a band's interior images, one after the other."""
        return self.factory

    def band(self, initial: Atoms, final: Atoms, folder: Path) -> Band:
        """A converged band between two relaxed end points; goes on from where an earlier run stopped."""
        images = self.last_band(initial, final, folder)
        with self.timed("interpolate"):
            fresh = images is None
            images = images or interpolated(initial, final, self.settings.images)
        if fresh and self.surrogate is not None:
            with self.timed("surrogate"):
                images = self.preconverged(images, self.surrogate)
        images[0].calc, images[-1].calc = initial.calc, final.calc
        with self.timed("neb"):
            band = run_band(
                images,
                self.image_factory(folder),
                self.settings,
                band_file=folder / BAND_FILE,
                progress=self.report,
                record=self.record(BAND),
            )
        self.force_calls += band.force_calls
        return band

    def preconverged(self, images: list[Atoms], surrogate: Callable[[], Any]) -> list[Atoms]:
        """The same band converged with a cheap calculator between the same end points: a better place to start from.

        Surrogate calls are counted on their own; they are no force calls of this fidelity. Whatever goes wrong with
        the surrogate costs nothing but its time: the band is then what it was.
        """
        band = [image.copy() for image in images]
        for end in (band[0], band[-1]):
            end.calc = surrogate()
        try:
            done = run_band(
                band, surrogate, self.settings, progress=lambda event: self.progress(event | {"stage": "surrogate"})
            )
        except CalculationFailed:
            return images
        self.surrogate_force_calls += done.force_calls
        return [image.copy() for image in done.images]

    def hop(self, initial: Atoms, atom: int, edge: Edge) -> HopRecord:
        """Compute one hop, or read back what became of it."""
        folder = self.folder / "hops" / edge.label
        try:
            record = HopRecord.model_validate_json((folder / "hop.json").read_text())
            if record.hop.converged or (record.failure and record.failure.kind is FailureKind.INVALID):
                return record
        except FileNotFoundError:
            pass
        vector = np.array(edge.vector_A)
        hop = Hop(
            atom=atom,
            target_A=(initial.positions[atom] + vector).tolist(),
            length_A=edge.length_A,
            name=edge.name,
        )
        spent = self.force_calls
        try:
            earlier = read_images(folder / "final.extxyz")
            if not earlier:
                write_images(folder / "final.extxyz", self.final_state(initial, atom, vector))
            final = (earlier or read_images(folder / "final.extxyz") or [])[0]
            band = self.band(initial, final, folder)
            hop = filled(hop, band, self.force_calls - spent)
            failure = None if band.converged else unconverged_band(band, self.settings).failure
        except CalculationFailed as problem:
            failure = problem.failure
            hop.force_calls = self.force_calls - spent
        record = HopRecord(hop=hop, failure=failure)
        write_json(folder / "hop.json", record)
        return record


def fingerprint(atoms: Atoms) -> str:
    """Of elements, positions and cell (to 1e-6 Å)."""
    content = [atoms.numbers, *(np.round(lengths, 6) + 0.0 for lengths in (atoms.positions, atoms.cell.array))]
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in content)).hexdigest()
    return f"start-{digest[:16]}"  # never taken for a number


def saved_relaxation(path: Path) -> Relaxation | None:
    """A relaxation that an earlier run finished and wrote, or None."""
    images = read_images(path)
    if not images or "relaxation" not in images[0].info:
        return None
    facts = images[0].info.pop("relaxation")
    return Relaxation(atoms=images[0], energy_eV=images[0].get_potential_energy(), **facts)


def filled(hop: Hop, band: Band, force_calls: int) -> Hop:
    return hop.model_copy(
        update={
            "forward_eV": band.forward_eV,
            "backward_eV": band.backward_eV,
            "reaction_energy_eV": band.reaction_energy_eV,
            "path_A": band.path_A,
            "path_eV": band.path_eV,
            "converged": band.converged,
            "fmax_eV_per_A": band.fmax_eV_per_A,
            "steps": band.steps,
            "force_calls": force_calls,
        }
    )


def unconverged_band(band: Band, settings: NebSettings) -> CalculationFailed:
    return unconverged(
        f"band: {band.fmax_eV_per_A:.3f} eV/Å after {band.steps} steps (wanted {settings.fmax_eV_per_A}); "
        "run again to go on from the last band, or raise steps",
        "neb",
    )
