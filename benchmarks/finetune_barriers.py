"""Does fine-tuning on another calculator's labels bring a barrier nearer to that calculator's?

Teacher: CHGNet's r2SCAN weights, a stand-in for a dearer functional. Pupil: CHGNet 0.3.0 (PBE). Vacancy hops in
antifluorite cells of 23 atoms: symmetric, well defined, forward = backward. The teacher labels a few of them
(relaxation of atoms and cell, end points, CI-NEB); the frames of these labels, chosen by the paper's rules, are all
the pupil sees. Barriers of compounds that it never saw are compared before and after. Na4Zr2Si3O12 is a NASICON, the
end member with all sodium sites full, as a primitive cell of 42 sites with one Na1 vacant: one hop by symmetry.

Resumable: labels and models are found in OUT again.

    OMP_NUM_THREADS=1 python benchmarks/finetune_barriers.py OUT --train Na2S Na2Te --test Na2Se Li2S Na2O --seed 0
    python benchmarks/finetune_barriers.py OUT --table
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

from calculators.chgnet import MODELS_VARIABLE
from calculators.finetune import FineTuned, fine_tune, recipe_of
from calculators.frames import collect_frames
from calculators.label import Label, Structure, Work
from calculators.pipeline import label_work

#: Lattice parameters (Å) of the cubic cells, near their experimental values.
CELLS_A = {"Na2O": 5.55, "Na2S": 6.53, "Na2Se": 6.81, "Na2Te": 7.33, "Li2S": 5.71, "Li2Se": 6.00}
NASICON = "Na4Zr2Si3O12"
TEACHER, PUPIL = "chgnet-r2scan", "chgnet"


def vacancy_cell(compound: str) -> Atoms:
    """2x2x2 primitive antifluorite cells with one vacant cation site, 23 atoms and an X, not relaxed."""
    if compound == NASICON:
        return nasicon_cell()
    ion, anion = compound.split("2")
    fcc = bulk(anion, "fcc", a=CELLS_A[compound])
    places = [(0, 0, 0), (0.25, 0.25, 0.25), (0.75, 0.75, 0.75)]
    atoms = Atoms([anion, ion, ion], scaled_positions=places, cell=fcc.cell, pbc=True) * 2
    atoms.rattle(0.05, seed=0)
    atoms.numbers[1] = 0
    return atoms


def nasicon_cell() -> Atoms:
    """Na4Zr2Si3O12 (R-3c, a 9.186, c 22.181 Å) with one of two Na1 vacant: 41 atoms and an X, not relaxed."""
    names = ["Na", "Na", "Zr", "Si", "O", "O"]
    places = [(0, 0, 0), (0.6363, 0, 0.25), (0, 0, 0.1456), (0.2904, 0, 0.25), (0.182, -0.0278, 0.1945)]
    places.append((0.189, 0.1697, 0.0864))
    made = crystal(names, places, spacegroup=167, cellpar=[9.186, 9.186, 22.181, 90, 90, 120], primitive_cell=True)
    atoms = Atoms(made.numbers, positions=made.positions, cell=made.cell, pbc=True)
    atoms.rattle(0.05, seed=0)
    atoms.numbers[0] = 0
    return atoms


def label(compound: str, calculator: str, folder: Path, keep_frames: bool = False) -> Label:
    settings: dict[str, Any] = {"images": 3, "hop_cutoff_A": 4.2, "rule": "easiest", "relax_steps": 200}
    if keep_frames:
        settings["keep_frames"] = True
    found = label_work(
        Work(
            structure=Structure.from_atoms(vacancy_cell(compound)),
            ion=compound[:2],
            calculator=calculator,
            settings=settings,
            name=compound,
        ),
        folder,
    )
    if not found.ok:
        raise SystemExit(f"{compound} by {calculator}: {found.failure}")
    return found


def run(out: Path, train: list[str], test: list[str], seed: int, given: dict[str, Any]) -> dict[str, Any]:
    """Teach, train, and label with teacher, pupil before and pupil after."""
    for compound in train:
        label(compound, TEACHER, out / TEACHER / compound, keep_frames=True)
    frames = collect_frames([out / TEACHER / compound for compound in train], seed)
    name = "ft-" + "-".join([*train, f"seed{seed}"])
    models = out / "models"
    if not (models / f"{name}.json").exists():
        settings = recipe_of("few", given | {"seed": seed})
        fine_tune(name, frames, models, settings, lambda event: print(json.dumps(event), flush=True))
    tuned = FineTuned.model_validate_json((models / f"{name}.json").read_text())
    os.environ[MODELS_VARIABLE] = str(models)
    barriers = {}
    for compound in test:
        keep = compound in train
        truth = label(compound, TEACHER, out / TEACHER / compound, keep)
        before = label(compound, PUPIL, out / PUPIL / compound)
        after = label(compound, name, out / name / compound)
        barriers[compound] = [found.value_eV for found in (truth, before, after)]
    row = {"train": train, "seed": seed, "frames": len(frames), "barriers_eV": barriers}
    return row | {"before": tuned.before, "after": tuned.after, "best_epoch": tuned.best_epoch}


def table(out: Path) -> None:
    print("| taught by | seed | compound | teacher, eV | before, eV | after, eV | error before / after, meV |")
    print("|---|---|---|---|---|---|---|")
    errors = []
    for line in (out / "rows.jsonl").read_text().splitlines():
        row = json.loads(line)
        for compound, (truth, before, after) in row["barriers_eV"].items():
            seen = " (seen)" if compound in row["train"] else ""
            off = 1000 * (before - truth), 1000 * (after - truth)
            if not seen:
                errors.append(off)
            print(
                f"| {', '.join(row['train'])} | {row['seed']} | {compound}{seen} | {truth:.3f} | {before:.3f} "
                f"| {after:.3f} | {off[0]:+.0f} / {off[1]:+.0f} |"
            )
    means = np.abs(errors).mean(axis=0)
    print(f"\nmean absolute error of unseen compounds: {means[0]:.0f} meV before, {means[1]:.0f} meV after")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", nargs="+", default=["Na2S", "Na2Te"], choices=[*CELLS_A, NASICON])
    parser.add_argument("--test", nargs="+", default=["Na2Se", "Li2S", "Na2O", NASICON], choices=[*CELLS_A, NASICON])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--settings", default="{}", help="JSON of other settings than the recipe's")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        table(arguments.out)
        return
    row = run(arguments.out, arguments.train, arguments.test, arguments.seed, json.loads(arguments.settings))
    with (arguments.out / "rows.jsonl").open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    print(json.dumps(row))


if __name__ == "__main__":
    main()
