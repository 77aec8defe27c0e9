"""The twenty electrodes that Shim et al. rank highest (their table 1), by a calculator of ours.

    python benchmarks/electrodes_best_twenty.py --results electrodes/results

Every compound in its most probable arrangement at Na1 to Na4, from displaced starts, as `ionloop electrodes voltages`
does it and with the same results folder. Beside each: the paper's (V21 - V43) / V43, by its trained models and the
best of all arrangements, and whether its DFT found a step profile with V43 above that of the vanadium compound.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from scipy.stats import fisher_exact, spearmanr

from agent.electrode_screening import Candidate, Rules, Screened, screen
from agent.electrodes import ElectrodeSpace, parse_metals
from agent.hosts import load_host
from calculators.relaxations import Relaxer
from flows.electrodes import Study, candidate_of, most_probable, pristine
from flows.progress import Reporter

#: Table 1 of Shim et al.: metals per formula unit, (V21 - V43) / V43, and the verdict of its DFT on the profile.
TABLE_1 = {
    "Fe1.25Au0.75": (0.141, False),
    "Fe1.5Au0.5": (0.315, False),
    "Ru1.75Au0.25": (0.331, True),
    "Ru1.5Au0.5": (0.334, True),
    "Ti0.5Pt1.5": (0.352, False),
    "Ru1Rh1": (0.379, True),
    "Mo1.25Au0.75": (0.391, True),
    "Ru1.5Ag0.5": (0.398, True),
    "Ru1.5Pd0.5": (0.398, True),
    "Ru1.75Ag0.25": (0.402, True),
    "Cu0.75Mo1.25": (0.315, True),
    "Cu0.5Mo1.5": (0.480, True),
    "Ti1.5Cu0.5": (0.658, False),
    "Co0.75Mo1.25": (0.666, True),
    "Mn1Tc1": (0.675, False),
    "Co0.5Mo1.5": (0.721, False),
    "V1.75Cu0.25": (0.740, True),
    "Cu0.5Ge1.5": (0.750, False),
    "Mn1Ge1": (0.786, False),
    "Mn1Mo1": (0.834, True),
}


@dataclass(frozen=True)
class Line:
    """One compound of the table: the paper's figures and ours."""

    compound: str
    paper_score: float
    paper_confirmed: bool
    found: Screened
    row: dict[str, float]

    def confirmed(self, pristine_V43: float) -> bool | None:
        """The paper's criterion on our voltages: a step profile, and V43 above the vanadium compound's."""
        one = self.found.candidate
        if one.V21 is None or one.V32 is None or one.V43 is None:
            return None
        return one.V21 > one.V32 > one.V43 > pristine_V43

    def text(self, pristine_V43: float) -> str:
        one, told = self.found.candidate, {True: "o", False: "x", None: "-"}
        volts = " | ".join("-" if value is None else f"{value:.2f}" for value in (one.V21, one.V32, one.V43))
        score = "-" if self.found.score is None else f"{self.found.score:.3f}"
        relaxation = one.relaxation_eV_per_atom.values()
        spread = f"{max(relaxation) - min(relaxation):.3f}" if len(relaxation) > 1 else "-"
        expansion = self.row.get("expansion_1_to_3")
        grown = "-" if expansion is None else f"{expansion:.1%}"
        verdict = "stays" if self.found.passed else "; ".join(self.found.reasons)
        marks = f"{told[self.confirmed(pristine_V43)]} ({told[self.paper_confirmed]})"
        scores = f"{score} | {self.paper_score:.3f}"
        return f"| {self.compound} | {volts} | {spread} | {scores} | {marks} | {grown} | {verdict} |"


def studied(results: Path) -> tuple[Candidate, list[Line]]:
    """The vanadium compound, and the twenty."""
    nvpf = load_host("nvpf")
    host = nvpf.model_copy(update={"valences": nvpf.valences | {"Ge": (4,)}})  # the paper has Ge among its metals
    space = ElectrodeSpace(host)
    chosen = {name: most_probable(space.arrangements(parse_metals(host, name)), 1)[0] for name in TABLE_1}
    (bare,) = space.arrangements(pristine(space))
    with Reporter(Console()).running() as reporter, reporter.bar("relaxations", 4 * (len(TABLE_1) + 2)) as bar:
        study = Study(space, Relaxer("chgnet", results), on_relaxation=bar.advance)
        reference = candidate_of(study.row(bare))
        rows = {name: study.row(arrangement) for name, arrangement in chosen.items()}
    candidates = {name: candidate_of(row) for name, row in rows.items()}
    judged = {one.candidate.name: one for one in screen(candidates.values(), Rules())}
    lines = [Line(name, *TABLE_1[name], judged[candidate.name], rows[name]) for name, candidate in candidates.items()]
    return reference, lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("electrodes/results"))
    reference, lines = studied(parser.parse_args().results)
    assert reference.V43 is not None
    print(
        "\n| metals | V21 | V32 | V43 | spread of the relaxation energies, eV/atom | (V21-V43)/V43 | paper's | ",
        end="",
    )
    print("profile (paper's DFT) | Na1 to Na3 | rules |\n|---|---|---|---|---|---|---|---|---|---|")
    for line in lines:
        print(line.text(reference.V43))
    known = [line for line in lines if line.found.score is not None]
    rho, p = spearmanr([line.found.score for line in known], [line.paper_score for line in known])
    print(f"\n{len(known)} of {len(lines)} have voltages; rank correlation of the scores {rho:.2f} (p = {p:.2f})")
    both = [(line.confirmed(reference.V43), line.paper_confirmed) for line in known]
    table = [[sum(pair == (ours, theirs) for pair in both) for theirs in (True, False)] for ours in (True, False)]
    agreed = sum(ours == theirs for ours, theirs in both)
    p = fisher_exact(table)[1]
    print(f"profile: ours and the paper's DFT agree on {agreed} of {len(both)}: {table}, p = {p:.2f}")
    V21, V32, V43 = reference.V21, reference.V32, reference.V43
    print(f"V2: V21 {V21:.2f}, V32 {V32:.2f}, V43 {V43:.2f} V")


if __name__ == "__main__":
    main()
