"""A campaign as plain files that a scientist can use: tables, structures, paths, plots, report."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms

from flows.facts import outcome
from flows.plots import save_plots
from flows.report import write_report
from flows.view import Acquisition, CampaignView
from flows.wording import file_stem


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

    ranking.csv, labels.csv, acquisitions.csv; structures/ (relaxed; CIF, POSCAR, extended XYZ) and paths/ (bands;
    extended XYZ) of every target label, named by barrier rank, composition and ledger id; plots/; report.html.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = (
        _write(folder / "ranking.csv", RANKING, (_ranked(line) for line in view.ranking)),
        _write(folder / "labels.csv", LABELS, (_labelled(a) for a in view.acquisitions if a.value_eV is not None)),
        _write(folder / "acquisitions.csv", ACQUISITIONS, (_acquired(a) for a in view.acquisitions)),
    )
    _clear(folder / "structures", folder / "paths")
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
    *("failure_reason", "proposed_utc", "label_key", "job", "prefect_run", "composition"),
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
        *(a.created.isoformat(timespec="seconds"), a.label_key, a.job, a.prefect_run, a.composition),
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
    """Relaxed structures (the start, where nothing was relaxed) and all bands, best label first."""
    ranked = sorted(view.at_target, key=lambda a: (not a.converged, a.value_eV, a.id))
    structures, paths, unreadable = 0, 0, []
    for place, acquisition in enumerate(ranked, start=1):
        stem = f"{place:04d}_{file_stem(acquisition.formula)}_id{acquisition.id}"
        home = _label_folder(view, acquisition)
        if home is None:
            continue
        frames = {source: _read(source) for source in sorted(home.rglob("*.extxyz"))}
        unreadable += [source for source, images in frames.items() if images is None]
        single = {source.stem: images[0] for source, images in frames.items() if images and len(images) == 1}
        final = single.get("relaxed", single.get("initial"))
        if final is not None:
            _write_structure(folder / "structures", stem, final)
            structures += 1
        for source, images in frames.items():
            if images and len(images) > 1:
                name = file_stem("-".join(source.relative_to(home).with_suffix("").parts).removeprefix("hops-"))
                (folder / "paths").mkdir(exist_ok=True)
                ase.io.write(folder / "paths" / f"{stem}_{name}.extxyz", images, format="extxyz")
                paths += 1
    return structures, paths, unreadable


def _clear(*folders: Path) -> None:
    """Remove what an earlier export wrote there: ranks have changed since, and nothing else is touched."""
    for folder in folders:
        for old in folder.glob("*"):
            if re.fullmatch(r"\d{4,}_.+_id\d+.*\.(cif|vasp|extxyz)", old.name):
                old.unlink()


def _label_folder(view: CampaignView, acquisition: Acquisition) -> Path | None:
    """Where the campaign keeps the label's files now, else where they were computed."""
    homes = [view.folder / "labels" / acquisition.label_key]
    if acquisition.label_folder:
        homes.append(Path(acquisition.label_folder))
    return next((home for home in homes if home.is_dir()), None)


def _read(path: Path) -> list[Atoms] | None:
    """All frames, or None of a file that cannot be read."""
    try:
        return list(ase.io.iread(path, index=":", format="extxyz"))
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _write_structure(folder: Path, name: str, atoms: Atoms) -> None:
    """CIF and POSCAR for the programs that want them, extended XYZ with energies and forces for ASE."""
    folder.mkdir(exist_ok=True)
    ase.io.write(folder / f"{name}.extxyz", atoms, format="extxyz")
    ase.io.write(folder / f"{name}.cif", atoms, format="cif")
    ase.io.write(folder / f"{name}.vasp", atoms, format="vasp", sort=True, vasp5=True)
