"""Electrodes: the space of arrangements, their relaxations, voltages and screening, put together.

study = Study(ElectrodeSpace(load_host("nvpf")), Relaxer("chgnet", folder / "results"))
rows = [study.row(arrangement) for arrangement in study.space.arrangements(parse_metals(host, "Cu0.5Mo1.5"))]
write_table(rows, folder / "voltages.csv")
screen(read_candidates(folder / "voltages.csv"))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ase import Atoms

from agent.electrode_screening import Candidate, Screened
from agent.electrodes import Arrangement, ElectrodeSpace, Metals, decorated, metals_of
from calculators.elemental import formation_energy_eV_per_atom, reference
from calculators.relaxations import Relaxed, Relaxer
from calculators.voltage import Electrode, electrode

#: Steps that the paper's rules speak of, and the columns of the table.
STEPS = ("V21", "V32", "V43")
#: A voltage with a larger sigma is not judged: as wide as the paper's window of V21, and a little more.
MOST_SIGMA_V = 0.5
#: Standard deviation (Å) of the random displacements from which a host relaxes.
RATTLE_A = 0.05
#: Begin of the columns of relaxation energies; the content follows.
RELAXATION = "relaxation_eV_per_atom"


@dataclass
class Study:
    """Relaxations of arrangements of metals in one host with one calculator.

    As in the paper the structure before relaxation is the relaxed host at the same mobile-ion content with its metal
    replaced, so that a relaxation energy measures what the substitution does.

    A host starts a little displaced, from a fixed seed: forces that symmetry makes zero would keep all metal sites
    equal, and no charge order could form. Substitutes start from the host that this gave.

    Attributes:
        rattle_A: standard deviation of the displacements, Å; 0 for the symmetric start.
        on_relaxation: told the name of every relaxation before it starts.
    """

    space: ElectrodeSpace
    relaxer: Relaxer
    rattle_A: float = RATTLE_A
    on_relaxation: Callable[[str], None] = field(default=lambda name: None)
    _relaxed: dict[str, dict[float, Relaxed]] = field(default_factory=dict, init=False)

    @property
    def mobile(self) -> str:
        return self.space.host.mobile

    @cached_property
    def metal(self) -> Relaxed:
        """The mobile ion's metal in its reference phase.

        Raises:
            ValueError: the calculator does not relax it well.
        """
        return self.potentials.of(self.mobile).checked()

    @cached_property
    def hosts(self) -> dict[float, Atoms]:
        """The relaxed host at every content, with the arrays of its template.

        Raises:
            ValueError: the calculator does not relax the host itself well; nothing can be said of substitutes then.
        """
        relaxed = {}
        for content, template in self.space.templates.items():
            name = f"{self.space.host.name} {self.mobile}{content:g}"
            relaxed[content] = self._relax(self._start(template, content), name).checked().atoms
            relaxed[content].set_array("sublattice", template.arrays["sublattice"])
        return relaxed

    def _start(self, template: Atoms, content: float) -> Atoms:
        start = template.copy()
        if self.rattle_A > 0:
            start.rattle(self.rattle_A, seed=int(content))
        return start

    def _relax(self, atoms: Atoms, name: str) -> Relaxed:
        self.on_relaxation(name)
        return self.relaxer(atoms, name, self.mobile)

    @cached_property
    def potentials(self) -> Potentials:
        """Chemical potentials of the elements, computed when they are asked for."""
        return Potentials(self)

    def before(self, arrangement: Arrangement, content: float) -> Atoms:
        """The structure before relaxation."""
        return decorated(self.hosts[content], arrangement.symbols)

    def relaxed(self, arrangement: Arrangement) -> dict[float, Relaxed]:
        """Relaxations of an arrangement at every content."""
        if arrangement.name not in self._relaxed:
            self._relaxed[arrangement.name] = {
                content: self._relax(
                    self.before(arrangement, content), f"{arrangement.name} {self.mobile}{content:g}"
                )
                for content in self.space.contents
            }
        return self._relaxed[arrangement.name]

    def row(self, arrangement: Arrangement) -> dict[str, Any]:
        """Everything about one arrangement as one row of the table."""
        found = self.relaxed(arrangement)
        host = self.space.host
        result = electrode(arrangement.name, found, self.space.contents, self.metal, host.formula_units)
        row: dict[str, Any] = {
            "name": arrangement.name,
            "compound": arrangement.metals.name(host),
            "arrangement": "".join(arrangement.symbols),
            "multiplicity": arrangement.multiplicity,
            **{name: _rounded(result.voltage_V(name)) for name in STEPS},
            **_by_content(RELAXATION, self.mobile, result.relaxation_eV_per_atom, 5),
            **_by_content("formation_eV_per_atom", self.mobile, self.formation(found), 5),
            **_by_content("volume_A3", self.mobile, result.volume_A3, 2),
            **_expansions(result),
            **self._moments(found),
            "verdict": result.verdict,
            "calculator": self.relaxer.name,
            **{f"{name}_version": version for name, version in self.relaxer.versions.items()},
        }
        return row

    def formation(self, found: dict[float, Relaxed]) -> dict[float, float]:
        """Formation energy (eV/atom) after relaxation by content; empty if an element has no good reference phase."""
        formation = {}
        for content, one in found.items():
            if one.ok and (energy := self.potentials.formation(one.energy_eV, one.atoms)) is not None:
                formation[content] = energy
        return formation

    def frames(self, arrangement: Arrangement) -> list[Atoms]:
        """A data set's entries for `ionloop train`: structures before relaxation with what came of them.

        Numbers: relaxation_eV_per_atom, and formation_eV_per_atom (after relaxation) if the references allow it.
        Contents that did not relax well are left out.
        """
        found = self.relaxed(arrangement)
        formation = self.formation(found)
        frames = []
        for content, one in found.items():
            if one.ok:
                atoms = self.before(arrangement, content)
                info = {"id": f"{arrangement.name}-{self.mobile}{content:g}"}
                energies = {"relaxation_eV_per_atom": one.relaxation_energy_eV_per_atom}
                if content in formation:
                    energies["formation_eV_per_atom"] = formation[content]
                frames.append(Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True, info=info | energies))
        return frames

    def _moments(self, found: dict[float, Relaxed]) -> dict[str, float]:
        """Mean magnetic moment (μB) of every metal at every content, if the calculator predicts moments."""
        moments = {}
        for content, one in found.items():
            if not one.ok or not one.magmoms_muB:
                continue
            symbols = np.array(one.atoms.get_chemical_symbols())
            values = np.array(one.magmoms_muB)
            for element in sorted(set(symbols) & set(self.space.host.valences)):
                moments[f"magmom_muB_{element}_{self.mobile}{content:g}"] = round(
                    float(values[symbols == element].mean()), 3
                )
        return moments


class Potentials:
    """Energies per atom (eV) of the elements' reference phases by a study's calculator."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._known: dict[str, Relaxed] = {}

    def of(self, element: str) -> Relaxed:
        if element not in self._known:
            self._study.on_relaxation(f"{element} reference")
            self._known[element] = reference(element, self._study.relaxer)
        return self._known[element]

    def formation(self, energy_eV: float, atoms: Atoms) -> float | None:
        """Formation energy (eV/atom) of a cell, or None if the calculator does not relax one of its elements well."""
        counts = dict(Counter(atoms.get_chemical_symbols()))
        references = {element: self.of(element) for element in counts}
        if not all(found.ok for found in references.values()):
            return None
        potentials = {element: found.energy_eV_per_atom for element, found in references.items()}
        return formation_energy_eV_per_atom(energy_eV, counts, potentials)

    def problems(self) -> list[str]:
        """One line per element that has no chemical potential."""
        return [f"{found.name}: {found.verdict}" for found in self._known.values() if not found.ok]


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def _by_content(name: str, mobile: str, values: dict[float, float], digits: int) -> dict[str, float]:
    return {f"{name}_{mobile}{content:g}": round(value, digits) for content, value in values.items()}


def _expansions(result: Electrode) -> dict[str, float | None]:
    """The paper's two cycles: 1 to 3 ions per formula unit (normal), 1 to 4 (excess)."""
    return {
        "expansion_1_to_3": _rounded(result.expansion(1, 3)),
        "expansion_1_to_4": _rounded(result.expansion(1, 4)),
    }


def pristine(space: ElectrodeSpace) -> Metals:
    """The host's own compound."""
    return metals_of(space.host, {space.host.substituted: space.host.n_substituted_sites})


def most_probable(arrangements: Sequence[Arrangement], count: int | None) -> list[Arrangement]:
    """The arrangements that random mixing makes most often: highest multiplicity first; all if `count` is None."""
    ordered = sorted(arrangements, key=lambda one: (-one.multiplicity, one.name))
    return ordered if count is None else ordered[:count]


def write_table(rows: Iterable[dict[str, Any]], path: Path) -> pd.DataFrame:
    """Write rows as CSV; columns are the union of theirs."""
    table = pd.DataFrame(list(rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    return table


def read_candidates(path: Path) -> list[Candidate]:
    """What `ionloop electrodes screen` judges, from a table of voltages.

    Columns: name; V21, V32, V43 (V); relaxation_eV_per_atom_..., one per content; optional: compound (default: the
    name up to "#") and verdict ("ok", or why there are no voltages).

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column is missing, or holds something that is no number.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; `ionloop electrodes voltages` writes one")
    table = pd.read_csv(path, dtype={"name": str, "compound": str, "verdict": str})
    relaxation = [column for column in table.columns if column.startswith(RELAXATION)]
    missing = [column for column in ("name", *STEPS) if column not in table.columns]
    if missing or not relaxation:
        lacking = missing or [f"{RELAXATION}_..."]
        raise ValueError(f"{path}: no column {', '.join(lacking)}")
    for column in (*STEPS, *relaxation):
        numbers = pd.to_numeric(table[column], errors="coerce")
        if (bad := table.index[numbers.isna() & table[column].notna()]).size:
            raise ValueError(f"{path}, line {bad[0] + 2}: {column} = {table[column][bad[0]]!r} is no number")
        table[column] = numbers
    return [candidate_of(row) for row in table.to_dict("records")]


def candidate_of(row: Mapping[str, Any]) -> Candidate:
    """What the rules look at, from one row of the table of voltages."""
    name = str(row["name"])
    relaxation = [column for column in row if str(column).startswith(RELAXATION)]
    verdict = row.get("verdict", "ok")
    values = {step: None if pd.isna(row[step]) else float(row[step]) for step in STEPS}
    energies = {column: float(row[column]) for column in relaxation if not pd.isna(row[column])}
    problem = "" if pd.isna(verdict) or verdict == "ok" else str(verdict)
    unknown = [step for step in STEPS if float(row.get(f"{step}_sigma") or 0) > MOST_SIGMA_V]
    if not problem and unknown:
        widest = max(float(row[f"{step}_sigma"]) for step in unknown)
        problem = (
            f"{', '.join(unknown)}: sigma up to {widest:.1f} V, more than the {MOST_SIGMA_V:g} that says anything"
        )
    if not problem and len(energies) < len(relaxation):
        problem = f"no relaxation energy in {', '.join(sorted(set(relaxation) - set(energies)))}"
    compound = row.get("compound")
    return Candidate(
        name=name,
        compound=name.partition("#")[0] if compound is None or pd.isna(compound) else str(compound),
        V21=values["V21"],
        V32=values["V32"],
        V43=values["V43"],
        relaxation_eV_per_atom=_numbered(energies),
        problem=problem,
    )


def _numbered(energies: dict[str, float]) -> dict[float, float]:
    """Relaxation energies by the number at the end of their column's name, or by its place if there is none."""
    contents = {}
    for place, (column, value) in enumerate(energies.items()):
        digits = "".join(c for c in column.rpartition("_")[2] if c.isdigit() or c == ".")
        contents[float(digits) if digits else float(place)] = value
    return contents


def ranking_rows(screened: Iterable[Screened]) -> list[dict[str, Any]]:
    """Screening results as rows: rank, name, voltages, score, and why not."""
    return [
        {
            "rank": one.rank,
            "name": one.candidate.name,
            "compound": one.candidate.compound,
            "V21": one.candidate.V21,
            "V32": one.candidate.V32,
            "V43": one.candidate.V43,
            "(V21-V43)/V43": _rounded(one.score),
            "V43_above_2_V": None if one.candidate.V43 is None else one.candidate.V43 > 2.0,
            "passed": one.passed,
            "reasons": "; ".join(one.reasons),
        }
        for one in screened
    ]
