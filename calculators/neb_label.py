"""Labels with a calculator of energies and forces: of an ordering, or of a path between two given states."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from calculators.arrangement import lowest_arrangement
from calculators.barrier import BarrierRun, filled, unconverged_band
from calculators.failures import invalid
from calculators.hops import Edge, build_network
from calculators.label import Hop, Label, Work
from calculators.neb import unwrapped
from calculators.rules import HopRecord, crossing_barrier, follow_rule, saddle_is_end_point
from calculators.storage import read_images, write_images
from calculators.structures import check_overlap, split, vacancies_after


def label_ordering(work: Work, run: BarrierRun, label: Label) -> None:
    """Fill `label` with E_b of the ordering of `work`; what was done before a failure stays in it.

    `label.converged` is about end points and band; a bounded relaxation of the ordering
    (`relax_must_converge` off) that did not finish says so in `extra["relax_converged"]`.

    Raises:
        CalculationFailed: there is no barrier; the exception says why.
        ValueError: the input makes no sense.
    """
    settings = run.settings
    atoms = work.structure.to_atoms()
    ordering = split(atoms, work.ion)
    if not len(ordering.vacancies):
        raise ValueError(
            f"hops: the structure has no vacant {work.ion} site (atomic number 0, symbol X) to hop to; "
            "mark one, or let vacancy() empty one"
        )
    if settings.arrangements > 1:
        atoms, relaxed, label.provenance["arrangements"] = lowest_arrangement(run, atoms, work.ion)
        ordering = split(atoms, work.ion)
    else:
        relaxed = run.relax_ordering(ordering)
    label.extra["relax_fmax_eV_per_A"] = round(relaxed.fmax_eV_per_A, 4)
    label.extra["relax_converged"] = float(relaxed.converged)
    label.extra["energy_eV"] = relaxed.energy_eV
    vacancies, names, moved = vacancies_after(ordering, relaxed.atoms)
    label.extra["ions_that_changed_site"] = float(moved)
    initial = run.initial_state(relaxed)
    with run.timed("hops"):
        carrier = initial.copy()
        if (charges := atoms.get_initial_charges()).any():
            carrier.set_initial_charges(charges[atoms.numbers != 0])
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
    for which, state in (("initial", initial), ("final", final)):
        try:
            check_overlap(state)
        except ValueError as error:
            raise ValueError(f"{which} state: {error}") from None
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
