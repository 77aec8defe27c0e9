"""A campaign as plain files that a scientist can use: tables, structures, paths, plots, report."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms
from ase.io.formats import UnknownFileTypeError

from flows.plots import save_plots
from flows.report import outcome, write_report
from flows.view import Acquisition, CampaignView
from flows.wording import file_stem

#: What a label's folder calls its structures and paths; a file with several frames is a path.
TRAJECTORIES = ("*.extxyz", "*.xyz")


@dataclass(frozen=True)
class Exported:
    """What `export` wrote."""

    folder: Path
    tables: tuple[Path, ...]
    structures: int
    paths: int
    plots: tuple[Path, ...]
    report: Path
    unreadable: tuple[Path, ...]  # structure files of labels that could not be read


def export(view: CampaignView, folder: Path) -> Exported:
    """Write everything about a campaign into `folder`; files that are already there are replaced.

    ranking.csv, labels.csv, acquisitions.csv; structures/ (CIF, POSCAR, extended XYZ) and paths/ (extended XYZ)
    of every target label, named by barrier rank, composition and ledger id; plots/; report.html.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = (
        _write(folder / "ranking.csv", RANKING, (_ranked(line) for line in view.ranking)),
        _write(folder / "labels.csv", LABELS, (_labelled(a) for a in view.acquisitions if a.value_eV is not None)),
        _write(folder / "acquisitions.csv", ACQUISITIONS, (_acquired(a) for a in view.acquisitions)),
    )
    structures, paths, unreadable = _copy_structures(view, folder)
    return Exported(
        folder=folder,
        tables=tables,
        structures=structures,
        paths=paths,
        plots=tuple(save_plots(view, folder / "plots")),
        report=write_report(view, folder / "report.html"),
        unreadable=tuple(unreadable),
    )


# --- tables ----------------------------------------------------------------------------------------------------

RANKING = ("rank", "formula", "E_b_eV", "sigma_eV", "source", "cluster", "orderings", "after_round", "composition")
LABELS = (
    *("ledger_id", "round", "formula", "ordering", "E_b_eV", "fidelity", "converged", "calculator", "asked_for"),
    *("cluster", "force_calls", "wall_s", "label_key", "prefect_run", "composition"),
)
ACQUISITIONS = (
    *("ledger_id", "round", "rank", "formula", "ordering", "cluster", "predicted_eV", "sigma_eV", "score", "why"),
    *("state", "outcome", "E_b_eV", "fidelity", "converged", "calculator", "asked_for", "attempts", "wall_s"),
    *("failure_reason", "proposed_utc", "label_key", "prefect_run", "composition"),
)


def _ranked(line: Any) -> Sequence[Any]:
    return (
        *(line.rank, line.formula, _eV(line.mean_eV), _eV(line.sigma_eV), line.source, line.cluster),
        *(line.orderings, line.round, line.composition),
    )


def _labelled(a: Acquisition) -> Sequence[Any]:
    return (
        *(a.id, a.round, a.formula, a.ordering, _eV(a.value_eV), a.fidelity, a.converged, a.calculator, a.asked),
        *(a.cluster, a.force_calls, round(a.seconds, 1), a.label_key, a.prefect_run, a.composition),
    )


def _acquired(a: Acquisition) -> Sequence[Any]:
    return (
        *(a.id, a.round, a.rank, a.formula, a.ordering, a.cluster, _eV(a.mean_eV), _eV(a.sigma_eV), _eV(a.score)),
        *(a.reason, a.state, outcome(a), _eV(a.value_eV), a.fidelity, a.converged if a.fidelity else None),
        *(a.calculator, a.asked, len(a.attempts), round(a.seconds, 1), a.failure[1] if a.failure else None),
        *(a.created.isoformat(timespec="seconds"), a.label_key, a.prefect_run, a.composition),
    )


def _eV(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """A CSV that appears whole or not at all."""
    draft = path.with_name(f".{path.name}.part")
    with draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
    draft.replace(path)
    return path


# --- structures ------------------------------------------------------------------------------------------------


def _copy_structures(view: CampaignView, folder: Path) -> tuple[int, int, list[Path]]:
    ranked = sorted(view.at_target, key=lambda a: (not a.converged, a.value_eV, a.id))
    structures, paths, unreadable = 0, 0, []
    for place, acquisition in enumerate(ranked, start=1):
        stem = f"{place:04d}_{file_stem(acquisition.formula)}_id{acquisition.id}"
        for source in _trajectories(view, acquisition):
            try:
                frames = ase.io.read(source, index=":")
            except (OSError, ValueError, KeyError, IndexError, UnknownFileTypeError):
                unreadable.append(source)
                continue
            assert isinstance(frames, list)
            name = f"{stem}_{file_stem(source.stem)}"
            if len(frames) == 1:
                _write_structure(folder / "structures", name, frames[0])
                structures += 1
            elif frames:
                (folder / "paths").mkdir(exist_ok=True)
                ase.io.write(folder / "paths" / f"{name}.extxyz", frames, format="extxyz")
                paths += 1
    return structures, paths, unreadable


def _trajectories(view: CampaignView, acquisition: Acquisition) -> list[Path]:
    """The structure files of a label: where the campaign keeps them now, else where they were computed."""
    candidates = [view.folder / "labels" / acquisition.label_key]
    if acquisition.label_folder:
        candidates.append(Path(acquisition.label_folder))
    for home in candidates:
        if home.is_dir():
            return sorted(file for pattern in TRAJECTORIES for file in home.rglob(pattern))
    return []


def _write_structure(folder: Path, name: str, atoms: Atoms) -> None:
    """CIF and POSCAR for the programs that want them, extended XYZ with energies and forces for ASE."""
    folder.mkdir(exist_ok=True)
    ase.io.write(folder / f"{name}.extxyz", atoms, format="extxyz")
    ase.io.write(folder / f"{name}.cif", atoms, format="cif")
    ase.io.write(folder / f"{name}.vasp", atoms, format="vasp", sort=True, vasp5=True)
