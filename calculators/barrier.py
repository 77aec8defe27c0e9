"""The shared labeller: ordering -> relaxed ordering -> hops -> end points -> CI-NEB -> E_b, with any ASE
calculator.

**What E_b is.** A hop's crossing barrier is the saddle above the *lower* of its two end points,
max(forward, backward): on a path that crosses the cell a hop is met from both sides. By rule:

- `bottleneck` (default): the barrier that must be crossed to percolate in at least one direction. The
  network of all mobile sites gets bond-valence estimates; the easiest percolating path (minimax) is found;
  its highest hop that is not yet computed gets a NEB; that barrier replaces the estimate and the offset
  between the two corrects the remaining estimates; and so on, until all hops of the easiest path that can be
  computed are, or `max_hops` NEBs are spent. E_b is the highest *computed* crossing barrier on that path. A
  hop that proves invalid is impassable. `extra` says how many hops the path has (`path_hops`) and how many
  of them were computed (`path_hops_computed`): hops between two occupied or two vacant sites cannot be. If
  nothing percolates, or no hop of the path can be computed, the rule is `easiest`.
- `easiest`: one number for one NEB. Hops in the order of their estimates; the first of at most `max_hops`
  whose end points hold is the label. A cheap, biased stand-in for `bottleneck`.
- `all`: every distinct computable hop, without bound; E_b as by `bottleneck`.
- `named A-B`: distinct hops between sites of these names, at most `max_hops`; E_b is the lowest crossing
  barrier.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from pydantic import BaseModel

from calculators.failures import CalculationFailed, invalid, unconverged
from calculators.hops import Edge, Network, build_network, distinct, easiest_path, named
from calculators.label import Failure, FailureKind, Hop, Label, Work
from calculators.neb import Band, interpolated, run_band, saved_band, unwrapped
from calculators.relax import Progress, Relaxation, relax, silent
from calculators.settings import NebSettings
from calculators.storage import read_images, write_images, write_json
from calculators.structures import Ordering, check_overlap, split, vacancies_after

#: An end point still is the state one asked for if the ion stays within this share of the hop's length of
#: its site.
MAX_DRIFT = 0.45


class HopRecord(BaseModel):
    """What became of one hop; kept in its folder, so that a restart does not repeat it."""

    hop: Hop
    failure: Failure | None = None


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
            relaxed = relax(
                ordering.atoms,
                self.factory(),
                fmax_eV_per_A=settings.relax_fmax_eV_per_A,
                steps=0 if settings.relax == "none" else settings.relax_steps,
                cell=settings.relax == "cell",
                progress=self.report,
            )
        self.force_calls += relaxed.force_calls
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
        result = relax(
            atoms,
            self.factory(),
            fmax_eV_per_A=settings.endpoint_fmax_eV_per_A,
            steps=settings.endpoint_steps,
            stage="end points",
            progress=lambda event: self.report(event | {"end_point": which}),
        )
        self.force_calls += result.force_calls
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

    def band(self, initial: Atoms, final: Atoms, folder: Path) -> Band:
        """A converged band between two relaxed end points; goes on from the last saved one."""
        band_file = folder / "band.extxyz"
        images = saved_band(band_file, initial, final, self.settings.images)
        with self.timed("interpolate"):
            fresh = images is None
            images = images or interpolated(initial, final, self.settings.images)
        if fresh and self.surrogate is not None:
            with self.timed("surrogate"):
                images = self.preconverged(images, self.surrogate)
        images[0].calc, images[-1].calc = initial.calc, final.calc
        with self.timed("neb"):
            band = run_band(images, self.factory, self.settings, band_file=band_file, progress=self.report)
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


def crossing_barrier(hop: Hop) -> float:
    """The saddle above the lower end point (eV)."""
    assert hop.forward_eV is not None
    assert hop.backward_eV is not None
    return max(hop.forward_eV, hop.backward_eV)


def saddle_is_end_point(hop: Hop) -> bool:
    """No image lies above both end points: the energy difference is all the barrier there is."""
    return max(hop.path_eV) <= max(hop.path_eV[0], hop.path_eV[-1])


def check_physical(atoms: Atoms, stage: str) -> None:
    """Refuse a geometry in which atoms lie on top of each other (`invalid`)."""
    try:
        check_overlap(atoms)
    except ValueError as error:
        raise invalid(str(error), stage) from None


def check_hop(initial: Atoms, final: Atoms, atom: int, vector_A: np.ndarray, max_other_move_A: float) -> None:
    """Is the final state still the hop of this atom by this vector, and of this atom alone?

    Raises:
        CalculationFailed: `invalid`, saying which atom went where.
    """
    moves = find_mic(final.positions - initial.positions, initial.cell)[0]
    own = final.positions[atom] - initial.positions[atom]
    limit = MAX_DRIFT * np.linalg.norm(vector_A)
    if np.linalg.norm(own) < limit:
        raise invalid("the ion relaxed back to where it came from: this site holds no ion here", "end points")
    missed = np.linalg.norm(own - vector_A)
    if missed > limit:
        raise invalid(
            f"the ion left the site it was put on by {missed:.2f} Å: another hop than asked for", "end points"
        )
    others = np.linalg.norm(moves, axis=1)
    others[atom] = 0
    if others.max() > max_other_move_A:
        other = int(others.argmax())
        raise invalid(
            f"{initial.symbols[other]} {other} moves by {others[other]:.2f} Å as well "
            f"(allowed {max_other_move_A} Å): a concerted hop",
            "end points",
        )


# -- the rules
# -------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """The records of all hops that were tried, the one that decides E_b, and facts about the choice."""

    records: dict[str, HopRecord]
    decisive: str
    extra: dict[str, float] = field(default_factory=dict)


Compute = Callable[[Edge], HopRecord]


def follow_rule(rule: str, network: Network, compute: Compute, max_hops: int) -> Outcome:
    """Compute the hops that a rule asks for and say which one is E_b.

    Raises:
        CalculationFailed: no hop is left that has a barrier; carries the reason of the last one.
        ValueError: the named hop does not exist.
    """
    if not network.computable:
        raise invalid("no mobile ion has a vacant site within the hop cutoff: nothing can hop", "hops")
    if rule == "easiest":
        return _easiest(network, compute, max_hops)
    if rule.startswith("named "):
        edges = distinct(named(network.computable, rule.split(maxsplit=1)[1]))[:max_hops]
        return _lowest({edge.label: compute(edge) for edge in edges})
    if rule == "all":
        edges = distinct(network.computable)
        records = {edge.label: compute(edge) for edge in edges}
        path = easiest_path(network.edges, len(network.positions_A), _heights(network, records))
        return _on_path(path[0] if path else [], records) or _lowest(records)
    return _bottleneck(network, compute, max_hops)


def _easiest(network: Network, compute: Compute, max_hops: int) -> Outcome:
    records: dict[str, HopRecord] = {}
    for edge in distinct(network.computable)[:max_hops]:
        records[edge.label] = compute(edge)
        failure = records[edge.label].failure
        if failure is None or failure.kind is not FailureKind.INVALID:
            break
    return _lowest(records)


def _bottleneck(network: Network, compute: Compute, max_hops: int) -> Outcome:
    records: dict[str, HopRecord] = {}
    path: tuple[list[Edge], float] | None = None
    while True:
        height = _heights(network, records)
        path = easiest_path(network.edges, len(network.positions_A), height)
        waiting = [edge for edge in (path[0] if path else []) if edge.computable and edge.label not in records]
        if not waiting or len(records) >= max_hops:
            break
        hardest = max(waiting, key=lambda edge: (edge.estimate, edge.label))
        records[hardest.label] = compute(hardest)
    outcome = _on_path(path[0] if path else [], records)
    if outcome is not None:
        return outcome
    left = max_hops - len(records)
    untried = [edge for edge in distinct(network.computable) if edge.label not in records]
    for edge in untried[:left]:
        if any(record.failure is None for record in records.values()):
            break
        records[edge.label] = compute(edge)
    return _lowest(records)


def _heights(network: Network, records: dict[str, HopRecord]) -> Callable[[Edge], float]:
    """Barrier of an edge: computed, or its estimate corrected by the mean offset of the computed ones."""
    barriers = {
        label: np.inf if record.failure else crossing_barrier(record.hop) for label, record in records.items()
    }
    estimates = {edge.label: edge.estimate for edge in network.edges}
    offsets = [barrier - estimates[label] for label, barrier in barriers.items() if np.isfinite(barrier)]
    offset = float(np.mean(offsets)) if offsets else 0.0
    return lambda edge: barriers.get(edge.label, edge.estimate + offset)


def _on_path(path: list[Edge], records: dict[str, HopRecord]) -> Outcome | None:
    computed = [edge.label for edge in path if edge.label in records and records[edge.label].failure is None]
    if not computed:
        return None
    decisive = max(computed, key=lambda label: crossing_barrier(records[label].hop))
    extra = {"path_hops": float(len(path)), "path_hops_computed": float(len(computed))}
    return Outcome(records, decisive, extra)


def _lowest(records: dict[str, HopRecord]) -> Outcome:
    good = [label for label, record in records.items() if record.failure is None]
    if not good:
        failures = [record.failure for record in records.values() if record.failure]
        # What can be continued matters more than what cannot.
        worst = min(failures, key=lambda failure: failure.kind is FailureKind.INVALID)
        tried = f" ({len(records)} hops tried)" if len(records) > 1 else ""
        raise CalculationFailed(worst.kind, worst.reason + tried, worst.stage)
    return Outcome(records, min(good, key=lambda label: crossing_barrier(records[label].hop)))


# -- the whole
# -------------------------------------------------------------------------------------------------


def label_ordering(work: Work, run: BarrierRun, label: Label) -> None:
    """Fill `label` with E_b of the ordering of `work`; what was done before a failure stays in it.

    `label.converged` is about end points and band; a bounded relaxation of the ordering
    (`relax_must_converge` off) that did not finish says so in `extra["relax_converged"]`.

    Raises:
        CalculationFailed: there is no barrier; the exception says why.
        ValueError: the input makes no sense.
    """
    settings = run.settings
    ordering = split(work.structure.to_atoms(), work.ion)
    if not len(ordering.vacancies):
        raise ValueError(
            f"hops: the structure has no vacant {work.ion} site (atomic number 0, symbol X) to hop to; "
            "mark one, or let vacancy() empty one"
        )
    charges = np.array(work.structure.charges_e)
    relaxed = run.relax_ordering(ordering)
    label.extra["relax_fmax_eV_per_A"] = round(relaxed.fmax_eV_per_A, 4)
    label.extra["relax_converged"] = float(relaxed.converged)
    label.extra["energy_eV"] = relaxed.energy_eV
    vacancies, names, moved = vacancies_after(ordering, relaxed.atoms)
    label.extra["ions_that_changed_site"] = float(moved)
    initial = run.initial_state(relaxed)
    with run.timed("hops"):
        carrier = initial.copy()
        if len(charges):
            carrier.set_initial_charges(charges[np.array(work.structure.numbers) != 0])
        network = build_network(carrier, work.ion, vacancies, names, settings.hop_cutoff_A)
    label.provenance["hops_ranked_by"] = network.estimated_by
    label.provenance["hops_computable"] = len(network.computable)

    def compute(edge: Edge) -> HopRecord:
        run.report({"stage": "hop", "hop": edge.name, "length_A": round(edge.length_A, 2)})
        record = run.hop(initial, int(ordering.mobile[edge.first]), edge)
        label.hops.append(record.hop)
        if record.failure:
            refused = label.provenance.setdefault("hops_refused", {})
            refused[edge.label] = record.failure.reason
        return record

    outcome = follow_rule(settings.rule, network, compute, settings.max_hops)
    decisive = outcome.records[outcome.decisive].hop
    label.decisive = label.hops.index(decisive)
    label.value_eV, label.converged = crossing_barrier(decisive), decisive.converged
    label.extra |= outcome.extra | {"saddle_is_end_point": float(saddle_is_end_point(decisive))}
    label.provenance["decisive_hop"] = outcome.decisive
    write_images(
        run.folder / "band.extxyz", read_images(run.folder / "hops" / outcome.decisive / "band.extxyz") or []
    )


def label_end_points(
    initial: Atoms, final: Atoms, run: BarrierRun, label: Label, band: list[Atoms] | None = None
) -> None:
    """Fill `label` with the barrier between two given states (relaxed here), or of a given band.

    Args:
        band: interior images to start from; by default they are interpolated.

    Raises:
        CalculationFailed, ValueError: as `label_ordering`.
    """
    final = unwrapped(initial, final)
    check_overlap(initial)
    check_overlap(final)
    with run.timed("end points"):
        start = run.relax_end_point(initial, "initial")
        end = run.relax_end_point(final, "final")
    moves = np.linalg.norm(end.positions - start.positions, axis=1)
    atom = int(moves.argmax())
    if moves[atom] < 0.3:
        raise invalid("both end points relax to the same state: there is no hop between them", "end points")
    write_images(run.folder / "initial.extxyz", start)
    write_images(run.folder / "final.extxyz", end)
    if band is not None:
        images = [start.copy(), *(unwrapped(start, image) for image in band), end.copy()]
        write_images(run.folder / "band.extxyz", images)
    result = run.band(start, end, run.folder)
    hop = Hop(atom=atom, target_A=end.positions[atom].tolist(), length_A=float(moves[atom]))
    label.hops = [filled(hop, result, run.force_calls)]
    if not result.converged:
        raise unconverged_band(result, run.settings)
    label.value_eV, label.converged, label.decisive = crossing_barrier(label.hops[0]), True, 0
    label.extra["saddle_is_end_point"] = float(saddle_is_end_point(label.hops[0]))


def vacancy(atoms: Atoms, ion: str) -> Atoms:
    """`atoms` with one mobile ion turned into a vacant site: the first one, for structures that have none.

    Removing one ion leaves a charge behind, which a potential like CHGNet does not see; a label made this
    way says so.
    """
    emptied = atoms.copy()
    emptied.numbers[int(np.flatnonzero(atoms.symbols == ion)[0])] = 0
    return emptied
