"""Tables for `ionloop transport` out of what can be computed here: `python benchmarks/structural_tables.py`.

lzsp_relaxed.csv      relaxed quaternary LZSP (benchmarks/lzsp_relaxed.py), target: bond-valence barrier of each
lzsp_orderings.csv    the same for orderings of one composition
nzsp_unrelaxed.csv    150 NASICON compositions on the unrelaxed host lattice, barriers of nzsp_bvse.csv: the
                      control, in which no feature varies (`ionloop transport` refuses it)
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from ase import Atoms

from agent.composition import Composition
from agent.hosts import load_host
from agent.ordering import draw
from models.structural_features import Framework, feature_table

DATA = Path(__file__).parent / "data"
TARGETS = ["E_1D_eV", "E_2D_eV", "E_3D_eV"]
CONTROL = 150


def relaxed(name: str) -> pd.DataFrame:
    rows = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text().splitlines()]
    structures = [
        (row["name"], Atoms(row["numbers"], positions=row["positions_A"], cell=row["cell_A"], pbc=True))
        for row in rows
    ]
    table, refused = feature_table(structures, Framework())
    for one, reason in refused.items():
        print(f"left out {one}: {reason}")
    facts = pd.DataFrame(rows).set_index("name")[[*TARGETS, "energy_eV_per_atom", "converged", "steps"]]
    return table.join(facts)


def unrelaxed() -> pd.DataFrame:
    labels = pd.read_csv(DATA / "nzsp_bvse.csv")
    first = labels[labels.ordering == 0]
    chosen = first.iloc[np.sort(np.random.default_rng(0).permutation(len(first))[:CONTROL])]
    host = load_host("nzsp")
    structures = [(key, draw(host, Composition.from_key(key), 0)) for key in chosen.composition]
    table, _ = feature_table(structures, Framework(mobile="Na", geometries=("O:6", "O:6", "T:4")))
    return table.join(chosen.set_index("composition")[TARGETS])


def main() -> None:
    for name, table in (
        ("lzsp_relaxed", relaxed("lzsp_quaternary")),
        ("lzsp_orderings", relaxed("lzsp_orderings")),
        ("nzsp_unrelaxed", unrelaxed()),
    ):
        table.round(6).to_csv(DATA / f"{name}.csv")
        print(f"{name}.csv: {len(table)} structures")


if __name__ == "__main__":
    main()
