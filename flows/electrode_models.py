"""Voltages and relaxation energies of whole spaces by trained CGformers instead of a calculator.

As in Shim et al. (2024) two models see structures before relaxation: one predicts the relaxation energy (their
R-MEGNet-Structure), one the formation energy after relaxation (their R-MEGNet-Voltage with its calibration by the
first; ours learns the relaxed energy at once). Both are trained by `ionloop train` on the data set that
`ionloop electrodes voltages` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.electrodes import Arrangement, decorated
from calculators.voltage import Step, profile
from flows.electrodes import STEPS, Study

Floats = NDArray[np.float64]
#: Arrangements predicted at once.
CHUNK = 2_000


def predicted_rows(
    study: Study,
    arrangements: Sequence[Arrangement],
    energy_model: Path,
    structure_model: Path,
    on_chunk: Callable[[int], None] = lambda done: None,
) -> list[dict[str, Any]]:
    """One row per arrangement, with the columns that `ionloop electrodes screen` reads and a sigma (V) per voltage.

    The sigma of a voltage adds the two energies' sigmas as if they were independent. Cells of n ions and N atoms make
    of an error of the energy per atom one of about N / n as many volts.

    Args:
        energy_model: folder of a model of formation_eV_per_atom.
        structure_model: folder of a model of relaxation_eV_per_atom.
        on_chunk: told how many arrangements are done.
    """
    rows: list[dict[str, Any]] = []
    for start in range(0, len(arrangements), CHUNK):
        chunk = arrangements[start : start + CHUNK]
        energies = {content: _predicted(study, chunk, content, energy_model) for content in study.space.contents}
        relaxation = {content: _predicted(study, chunk, content, structure_model) for content in study.space.contents}
        for number, arrangement in enumerate(chunk):
            formation = {content: (mean[number], sigma[number]) for content, (mean, sigma) in energies.items()}
            moves = {content: mean[number] for content, (mean, _) in relaxation.items()}
            rows.append(_row(study, arrangement, formation, moves))
        on_chunk(start + len(chunk))
    return rows


def _predicted(
    study: Study, arrangements: Sequence[Arrangement], content: float, model: Path
) -> tuple[Floats, Floats]:
    """Mean and sigma (n,) of a model over arrangements at one content, before relaxation."""
    from models.commands import trained
    from models.stores import HostGraphs

    host = study.hosts[content]
    numbers = np.array([decorated(host, one.symbols).numbers for one in arrangements], dtype=np.uint8)
    mean, sigma = trained(model, HostGraphs(host, numbers)).predict(
        np.arange(len(arrangements))[:, None], return_std=True
    )
    return mean, sigma


def _row(
    study: Study,
    arrangement: Arrangement,
    formation: dict[float, tuple[float, float]],
    relaxation: dict[float, float],
) -> dict[str, Any]:
    """Formation energies count from the elements, so the mobile ion's metal is at zero."""
    host = study.space.host
    atoms = {content: len(study.hosts[content]) for content in study.space.contents}
    cells = {content: mean * atoms[content] for content, (mean, _) in formation.items()}
    steps: dict[str, Step] = {step.name: step for step in profile(cells, 0.0, host.formula_units)}
    sigmas = {
        f"V{high:g}{low:g}_sigma": hypot(formation[low][1] * atoms[low], formation[high][1] * atoms[high])
        / ((high - low) * host.formula_units)
        for low, high in pairwise(study.space.contents)
    }
    return {
        "name": arrangement.name,
        "compound": arrangement.metals.name(host),
        "arrangement": "".join(arrangement.symbols),
        "multiplicity": arrangement.multiplicity,
        **{name: round(steps[name].voltage_V, 4) if name in steps else None for name in STEPS},
        **{name: round(sigma, 4) for name, sigma in sigmas.items()},
        **{f"relaxation_eV_per_atom_{host.mobile}{content:g}": round(e, 5) for content, e in relaxation.items()},
        "verdict": "ok",
        "calculator": "CGformer",
    }
