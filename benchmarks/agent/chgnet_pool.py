"""Which part of the NASICON pool gets CHGNet NEB labels: `python -m benchmarks.agent.chgnet_pool FOLDER`.

Writes the orderings as FOLDER/chunk-NN.extxyz, a few to a file. Then, for every chunk: `python
benchmarks/label_pool.py FOLDER/chunk-NN.extxyz FOLDER --processes 1`, which appends to FOLDER/labels.jsonl, can be
stopped at any time and repeats nothing.

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
    parser.add_argument("folder", type=Path)
    choose(parser.parse_args().folder)


if __name__ == "__main__":
    main()
