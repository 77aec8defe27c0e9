"""Thermostats of ASE by name, and their inner state as plain data, so that a killed run goes on exactly.

Positions and momenta alone do not say how a run goes on: a Nosé-Hoover chain has variables of its own, Langevin
dynamics a random number generator. Berendsen's thermostat has neither.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from ase.constraints import FixCom
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import NoseHooverChainNVT
from ase.md.nvtberendsen import NVTBerendsen
from ase.md.verlet import VelocityVerlet

Thermostat = Literal["berendsen", "langevin", "nose-hoover", "none"]


def temperature_K(atoms: Atoms) -> float:
    """Temperature of the 3N - 3 degrees of freedom that are left with the centre of mass at rest."""
    return float(2 * atoms.get_kinetic_energy() / (max(3 * len(atoms) - 3, 1) * units.kB))


def make_dynamics(
    atoms: Atoms,
    thermostat: Thermostat,
    temperature_K: float,
    time_step_fs: float,
    coupling_fs: float,
    seed: int,
    state: dict[str, Any] | None = None,
) -> MolecularDynamics:
    """Dynamics on `atoms`, which gets the constraint of a resting centre of mass if the thermostat needs it.

    Args:
        coupling_fs: relaxation time of the kinetic energy: Berendsen's tau, the chain's damping time, the inverse
            of Langevin's friction.
        state: what `state_of` gave, to go on from there.

    Sources: Berendsen et al., J. Chem. Phys. 81, 3684 (1984); Martyna, Klein and Tuckerman, J. Chem. Phys. 97, 2635
    (1992); Vanden-Eijnden and Ciccotti, Chem. Phys. Lett. 429, 310 (2006). "none" is velocity Verlet (NVE).
    """
    step, coupling = time_step_fs * units.fs, coupling_fs * units.fs
    if thermostat == "nose-hoover":
        # ASE's chain counts 3N degrees of freedom, but three of them rest.
        moving = (len(atoms) - 1) / len(atoms) if len(atoms) > 1 else 1.0
        chain = NoseHooverChainNVT(atoms, step, temperature_K=temperature_K * moving, tdamp=coupling)
        if state:
            chain._thermostat._eta[:], chain._thermostat._p_eta[:] = state["eta"], state["p_eta"]
        return chain
    if thermostat == "none":
        return VelocityVerlet(atoms, step)
    atoms.set_constraint(FixCom())
    if thermostat == "berendsen":
        return NVTBerendsen(atoms, step, temperature_K=temperature_K, taut=coupling)
    rng = np.random.default_rng(seed)
    if state:
        rng.bit_generator.state = state["rng"]
    return Langevin(atoms, step, temperature_K=temperature_K, friction=1 / coupling, fixcm=False, rng=rng)


def state_of(dynamics: MolecularDynamics) -> dict[str, Any]:
    """Everything that the next step depends on besides positions and momenta (JSON)."""
    if isinstance(dynamics, NoseHooverChainNVT):
        chain = dynamics._thermostat
        return {"eta": chain._eta.tolist(), "p_eta": chain._p_eta.tolist()}
    if isinstance(dynamics, Langevin):
        return {"rng": dynamics.rng.bit_generator.state}
    return {}
