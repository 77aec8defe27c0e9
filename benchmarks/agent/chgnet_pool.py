"""CHGNet NEB labels of a part of the NASICON pool: `python -m benchmarks.agent.chgnet_pool choose|collect|evaluate`.

    choose FOLDER    writes the orderings to be labelled as FOLDER/chunk-NN.extxyz, a few to a file
    collect FOLDER   turns FOLDER/labels.jsonl into benchmarks/data/nzsp_chgnet.csv
    evaluate         signal to noise of the labels, and their correlation with bond valence

Between the first two, for every chunk: `python benchmarks/label_pool.py FOLDER/chunk-NN.extxyz FOLDER --processes
1`. It can be stopped at any time and repeats nothing.

The part is a systematic sample: 60 of the 994 compositions, evenly spaced in the order of their mean bond-valence
E_3D, so that correlations are those of the whole pool. Every composition gets ordering 0, in random sequence (what is
finished at any time is a fair sample), then half of them ordering 1, for the scatter between orderings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd

from agent.composition import Composition
from agent.hosts import load_host
from agent.ordering import draw
from benchmarks.agent.bvse_pool import DATA as BVSE

COMPOSITIONS = 60
REPLICATED = 30
CHUNK = 6


def sample() -> list[tuple[str, int]]:
    """(composition key, ordering) in the sequence in which they are labelled."""
    means = pd.read_csv(BVSE).groupby("composition").E_3D_eV.mean().sort_values(kind="stable")
    places = np.linspace(0, len(means) - 1, COMPOSITIONS).round().astype(int)
    keys = np.random.default_rng(0).permutation(means.index.to_numpy()[places])
    return [(str(key), 0) for key in keys] + [(str(key), 1) for key in keys[:REPLICATED]]


def choose(folder: Path) -> None:
    host = load_host("nzsp")
    frames = []
    for key, ordering in sample():
        atoms = draw(host, Composition.from_key(key), ordering)
        atoms.info["name"] = f"{key} #{ordering}"
        frames.append(atoms)
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(frames), CHUNK)):
        ase.io.write(folder / f"chunk-{number:02d}.extxyz", frames[start : start + CHUNK])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("choose")
    command.add_argument("folder", type=Path)
    command.set_defaults(action=lambda args: choose(args.folder))
    args = parser.parse_args()
    args.action(args)


if __name__ == "__main__":
    main()
