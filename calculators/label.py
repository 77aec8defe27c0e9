"""What a calculation is asked for and what it answers: `Work` in, `Label` out.

Both are plain data (pydantic, JSON), so that they cross process, scheduler and database borders unchanged.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from ase import Atoms  # NumPy and ASE are imported where they work: who reads a ledger waits for neither

#: Decimal places (Å) to which positions and cells enter a content address: far below any physical difference,
#: far above the noise of a JSON round trip or another machine's arithmetic.
KEY_DECIMALS_A = 5


class Structure(BaseModel):
    """An ordering as data. Atomic number 0 (ASE's "X") marks a vacant mobile-ion site.

    `cell_A` is (3, 3), rows are lattice vectors; `positions_A` is (n, 3), Cartesian. Always periodic.
    """

    model_config = ConfigDict(frozen=True)

    numbers: list[int]
    cell_A: list[list[float]]
    positions_A: list[list[float]]
    # Formal charges (e) by site, if known; what has no oxidation states (a person's CIF) leaves them empty.
    charges_e: list[float] = Field(default_factory=list)
    # Names of the sites ("Na1", "Zr"), if the host names them (array "site" of an Atoms).
    sites: list[str] = Field(default_factory=list)

    @classmethod
    def from_atoms(cls, atoms: Atoms) -> Self:
        charges = atoms.get_initial_charges()
        return cls(
            numbers=atoms.numbers.tolist(),
            cell_A=atoms.cell.array.tolist(),
            positions_A=atoms.positions.tolist(),
            charges_e=charges.tolist() if charges.any() else [],
            sites=[str(name) for name in atoms.arrays["site"]] if "site" in atoms.arrays else [],
        )

    def to_atoms(self) -> Atoms:
        import numpy as np
        from ase import Atoms

        atoms = Atoms(self.numbers, positions=self.positions_A, cell=self.cell_A, pbc=True)
        if self.charges_e:
            atoms.set_initial_charges(self.charges_e)
        if self.sites:
            atoms.set_array("site", np.array(self.sites))
        return atoms


class Work(BaseModel):
    """One label to be computed: an ordering, the ion that moves, a calculator and its settings."""

    model_config = ConfigDict(frozen=True)

    structure: Structure
    ion: str
    calculator: str
    settings: dict[str, Any] = Field(default_factory=dict)
    name: str = ""  # for people (progress, run names); not part of the key

    def key(self, versions: dict[str, str]) -> str:
        """Content address (hex, 32 characters): structure + ion + calculator + settings + versions.

        The hop rule is one of the settings. Positions and cell are rounded to `KEY_DECIMALS_A`.
        """
        import numpy as np

        structure = self.structure
        content = {
            "numbers": structure.numbers,
            "cell": np.round(structure.cell_A, KEY_DECIMALS_A).tolist(),
            "positions": np.round(structure.positions_A, KEY_DECIMALS_A).tolist(),
            "sites": structure.sites,
            "charges": np.round(structure.charges_e, KEY_DECIMALS_A).tolist(),
            "ion": self.ion,
            "calculator": self.calculator,
            "settings": self.settings,
            "versions": versions,
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.replace("-0.0,", "0.0,").encode()).hexdigest()[:32]


class FailureKind(StrEnum):
    """Why there is no value, which decides what happens next (DESIGN.md, rule 4)."""

    TRANSIENT = "transient"  # a node, a network, a full disk: the same input may work later
    WALLTIME = "walltime"  # ran out of time: continue from the last band
    UNCONVERGED = "unconverged"  # ran out of steps: continue or escalate
    INVALID = "invalid"  # the question has no answer (ion relaxes away, NaN, ...): never retry the same input


class Failure(BaseModel):
    kind: FailureKind
    reason: str  # one line a person can act on
    stage: str = ""  # "relax", "end points", "neb", ...


class Hop(BaseModel):
    """One mobile-ion jump: the atom that moves and where to, by its unwrapped target (Å, Cartesian)."""

    atom: int  # index in the ordering's atoms without vacancies
    target_A: list[float]
    length_A: float
    name: str = ""  # "Na1-Na2", if the host names its sites
    forward_eV: float | None = None
    backward_eV: float | None = None
    reaction_energy_eV: float | None = None  # final minus initial
    # The band: distance along the path (Å) and energy above the initial state (eV), one entry per image.
    path_A: list[float] = Field(default_factory=list)
    path_eV: list[float] = Field(default_factory=list)
    converged: bool = False
    fmax_eV_per_A: float | None = None
    steps: int = 0
    force_calls: int = 0


class Label(BaseModel):
    """A barrier with everything one must know before believing it.

    `value_eV` is E_b of the ordering under the hop rule of `Work.settings`; None exactly if `failure` says
    why.
    """

    key: str
    fidelity: str  # "bvse", "chgnet-neb", "vasp-neb", or a plug-in's own
    value_eV: float | None = None
    converged: bool = False
    hops: list[Hop] = Field(default_factory=list)
    decisive: int | None = None  # which of `hops` is E_b; None if there is none or the value is no hop's (bvse)
    extra: dict[str, float] = Field(default_factory=dict)  # e.g. E_1D_eV, E_2D_eV, E_3D_eV
    force_calls: int = 0
    seconds: dict[str, float] = Field(default_factory=dict)  # wall time by stage
    provenance: dict[str, Any] = Field(default_factory=dict)  # versions, settings, machine, arrangements tried
    failure: Failure | None = None
    folder: str = ""  # where its files lie

    @property
    def ok(self) -> bool:
        return self.failure is None and self.value_eV is not None

    def summary(self) -> dict[str, Any]:
        """What most people want to know, flat: it stands at the top of `label.json`."""
        hop = self.hops[self.decisive] if self.decisive is not None else None
        return {
            "E_b_eV": self.value_eV,
            "forward_eV": hop and hop.forward_eV,
            "backward_eV": hop and hop.backward_eV,
            "converged": self.converged,
            "fmax_eV_per_A": hop and hop.fmax_eV_per_A,
            "force_calls": self.force_calls,
            "fidelity": self.fidelity,
            "failure_kind": self.failure and self.failure.kind.value,
        }
