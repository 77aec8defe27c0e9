"""A ledger filled through its own API with SYNTHETIC labels (seeded noise around an additive rule of the dopants).

No number here was calculated by any physics; it only has the shape of a campaign: a cheap round 0, rounds of
acquisition with a model that improves, failures of every kind, fallbacks, invalid verdicts, lost attempts.
"""

from __future__ import annotations

import csv
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from agent.composition import Composition
from agent.ledger import Ledger, NewProposal, Ranked
from calculators.label import Failure, FailureKind, Hop, Label

TARGET = "chgnet-neb"
VALENCE = {"Zr": 4, "Sn": 4, "Hf": 4, "Ti": 4, "Ge": 4, "Sc": 3, "Al": 3, "Y": 3, "Mg": 2, "Nb": 5, "Ta": 5}
#: Synthetic effect of one site of each element on the barrier, eV.
EFFECT_eV = dict(
    zip(VALENCE, (0.0, -0.012, -0.002, 0.006, 0.014, -0.022, 0.02, -0.008, -0.016, 0.003, 0.011), strict=True)
)


@dataclass(frozen=True)
class Spec:
    """How big and how lucky the synthetic campaign is."""

    name: str = "synthetic"
    rounds: int = 4
    batch: int = 6
    cheap: int = 12
    failure_rate: float = 0.15
    target_eV: float | None = 0.28
    metrics: bool = True
    space: bool = True
    folders: bool = True
    seed: int = 7


def compositions(count: int, rng: np.random.Generator) -> list[Composition]:
    """Distinct four-dopant compositions of eight sites, two sites each on average."""
    made: dict[str, Composition] = {}
    elements = list(VALENCE)
    quartets = list(itertools.combinations(elements, 4))
    while len(made) < count:
        quartet = quartets[rng.integers(len(quartets))]
        cuts = np.sort(rng.choice(np.arange(1, 8), 3, replace=False))
        sites = np.diff([0, *cuts, 8])
        amounts = tuple(sorted((element, int(n)) for element, n in zip(quartet, sites, strict=True)))
        charge = sum(VALENCE[element] * n for element, n in amounts)
        one = Composition("nzsp", amounts, tuple((e, VALENCE[e]) for e, _ in amounts), 12 + 32 - charge)
        made.setdefault(one.key, one)
    return list(made.values())


def formula(composition: Composition) -> str:
    dopants = "".join(f"{element}{count / 4:g}" for element, count in composition.amounts)
    return f"Na{composition.mobile / 4:g}{dopants}Si2PO12"


def barrier_eV(composition: Composition, rng: np.random.Generator, noise: float = 0.02) -> float:
    return 0.33 + sum(EFFECT_eV[e] * n for e, n in composition.amounts) + float(rng.normal(0, noise))


def label(key: str, value: float, rng: np.random.Generator, fidelity: str = TARGET, converged: bool = True) -> Label:
    """A synthetic label with two hops and smooth synthetic paths."""
    hops = []
    for number, height in enumerate((value, value + 0.05)):
        x = np.linspace(0, 3.4, 7)
        tilt = float(rng.normal(0, 0.02))
        path = height * np.sin(np.pi * x / 3.4) ** 2 + tilt * x / 3.4
        hops.append(
            Hop(
                atom=number,
                target_A=[1.0, 2.0, 3.0],
                length_A=3.4,
                name="Na1-Na2",
                forward_eV=float(path.max()),
                backward_eV=float(path.max() - path[-1]),
                reaction_energy_eV=float(path[-1]),
                path_A=x.tolist(),
                path_eV=path.tolist(),
                converged=converged,
                fmax_eV_per_A=0.04 if converged else 0.21,
                steps=30,
                force_calls=150,
            )
        )
    return Label(
        key=key,
        fidelity=fidelity,
        value_eV=value,
        converged=converged,
        hops=hops if fidelity == TARGET else [],
        force_calls=340,
        seconds={"relax": 40.0, "neb": 60.0},
        provenance={"versions": {"ase": "3.29.0"}, "note": "synthetic"},
    )


def fill(ledger: Ledger, folder: Path, spec: Spec = Spec()) -> None:
    """Play a whole synthetic campaign into a ledger and its folder."""
    rng = np.random.default_rng(spec.seed)
    pool = compositions(max(60, spec.cheap + spec.rounds * spec.batch + 20), rng)
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "campaign": {"name": spec.name, "rounds": spec.rounds, "batch": spec.batch, "host": "nzsp"},
        "stopping": {"target_eV": spec.target_eV, "max_rounds": spec.rounds or None},
        "label": {"calculators": ["chgnet", "bvse"]},
    }
    ledger.create_campaign(spec.name, "nzsp", TARGET, spec.seed, config)
    if spec.space:
        write_space(folder / "space.csv", pool, rng)
    left = list(pool)
    if spec.cheap:
        play_round(ledger, folder, spec, 0, [left.pop() for _ in range(spec.cheap)], rng)
        ledger.finish_round(spec.name, 0, {}, [], "round 0: pre-trained on synthetic cheap labels")
    for number in range(1, spec.rounds + 1):
        left.sort(key=lambda one: barrier_eV(one, rng, noise=0.06 if number > 1 else 1.0))
        chosen, left = left[: spec.batch], left[spec.batch :]
        play_round(ledger, folder, spec, number, chosen, rng)
        ledger.finish_round(
            spec.name,
            number,
            round_metrics(number) if spec.metrics else {},
            ranking(ledger, spec, left, rng),
            f"round {number}: retrained on {number * spec.batch} labels",
        )


def play_round(
    ledger: Ledger, folder: Path, spec: Spec, number: int, chosen: list[Composition], rng: np.random.Generator
) -> None:
    calculator = "bvse" if number == 0 else "chgnet"
    proposals = []
    for rank, one in enumerate(chosen):
        blind = number <= 1
        truth = barrier_eV(one, rng, 0.0)
        proposals.append(
            NewProposal(
                composition=one.key,
                formula=formula(one),
                ordering=0,
                calculator=calculator,
                label_key=f"{number:08x}{rank:08x}{spec.seed:016x}",
                reason="cheap label for pre-training" if number == 0 else "spread over clusters" if blind else "LCB",
                cluster=cluster(one),
                mean_eV=None if blind else truth + float(rng.normal(0, 0.06 / number)),
                sigma_eV=None if blind else float(rng.uniform(0.02, 0.06)),
                score=None if blind else -truth,
            )
        )
    ledger.begin_round(spec.name, number, proposals, f"round {number}: proposed {len(proposals)}")
    for row, one in zip(ledger.proposals(spec.name, round=number), chosen, strict=True):
        play_label(ledger, folder, spec, row.id, row.label_key, one, calculator, rng)


def play_label(
    ledger: Ledger,
    folder: Path,
    spec: Spec,
    proposal: int,
    key: str,
    one: Composition,
    calculator: str,
    rng: np.random.Generator,
) -> None:
    where = folder / "labels" / key
    fate = rng.random()
    if fate < spec.failure_rate:
        kind = list(FailureKind)[rng.integers(4)]
        attempt = ledger.start_attempt(proposal, key, calculator, str(where))
        failure = Failure(kind=kind, reason=f"synthetic {kind.value} failure", stage="neb")
        ledger.finish_attempt(attempt, Label(key=key, fidelity=TARGET, failure=failure, folder=str(where)))
        ledger.fail_proposal(proposal)
        return
    if fate < spec.failure_rate + 0.08:
        ledger.start_attempt(proposal, key, calculator, str(where))  # lost with its driver
        ledger.close_lost_attempts(spec.name)
    attempt = ledger.start_attempt(proposal, key, calculator, str(where))
    fidelity = "bvse" if calculator == "bvse" else TARGET
    value = barrier_eV(one, rng) + (0.5 if fidelity == "bvse" else 0.0)
    made = label(key, value, rng, fidelity, converged=bool(rng.random() > 0.1))
    if spec.folders and fidelity == TARGET:
        write_files(where)
    ledger.finish_attempt(attempt, made.model_copy(update={"folder": str(where)}))


def write_files(where: Path) -> None:
    """A real relaxed structure and a real three-image path by ASE's EMT, in the place of a label's files."""
    where.mkdir(parents=True, exist_ok=True)
    atoms = bulk("Cu", cubic=True)
    images = []
    for shift in (0.0, 0.05, 0.1):
        image = atoms.copy()
        image.positions[0, 0] += shift
        probe = image.copy()
        probe.calc = EMT()
        image.calc = SinglePointCalculator(image, energy=probe.get_potential_energy(), forces=probe.get_forces())
        images.append(image)
    ase.io.write(where / "relaxed.extxyz", atoms)
    hop = where / "hops" / "Na1-Na2_3-14"
    hop.mkdir(parents=True)
    ase.io.write(hop / "final.extxyz", images[-1])
    ase.io.write(hop / "band.extxyz", images)


def cluster(one: Composition) -> int:
    return sum(ord(letter) for element, _ in one.amounts for letter in element) % 6


def write_space(path: Path, pool: list[Composition], rng: np.random.Generator) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["composition", "formula", "cluster", "pc1", "pc2"])
        for one in [*pool, *compositions(600, rng)]:
            angle = 2 * np.pi * cluster(one) / 6
            writer.writerow(
                [one.key, formula(one), cluster(one)]
                + [f"{v:.4f}" for v in (3 * np.cos(angle) + rng.normal(), 2 * np.sin(angle) + rng.normal())]
            )


def round_metrics(number: int) -> dict[str, Any]:
    return {
        "n_labels": 6 * number,
        "mae_eV": 0.06 / number + 0.01,
        "rmse_eV": 0.08 / number + 0.01,
        "mean_predictor_mae_eV": 0.05,
        "r2": 1 - 0.9 / number,
        "spearman": 1 - 0.8 / number,
        "nll": -0.5 - 0.2 * number,
        "crps_eV": 0.04 / number,
        "coverage_90": 0.7 + 0.05 * number,
        "miscalibration_area": 0.2 / number,
    }


def ranking(ledger: Ledger, spec: Spec, left: list[Composition], rng: np.random.Generator) -> list[Ranked]:
    lines = [
        Ranked(row.composition, row.formula, row.cluster, float(lab.value_eV or 0), 0.0, "label", 1)
        for row, lab in ledger.labels(spec.name, TARGET)
        if lab.converged
    ]
    lines += [
        Ranked(one.key, formula(one), cluster(one), barrier_eV(one, rng, 0.01), 0.03, "prediction", 4) for one in left
    ]
    return sorted(lines, key=lambda line: line.mean_eV)
