"""Ordered supercells of a composition: dopants at random from a seed (or quasi-random), mobile ions where
electrostatics wants them.

The Ewald sum of point charges on fixed sites is a quadratic form q^T A q. A depends on the host alone and is
computed once, so the energy of an arrangement costs a few thousand multiplications, and the best of all
arrangements of the mobile ions (1,820 for 12 Na on 16 sites) is one matrix product away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Literal

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Structure

from agent.composition import Composition
from agent.sqs import quasi_random_order

if TYPE_CHECKING:
    from agent.hosts import Host

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: How dopants are arranged: at random, or as little correlated as the cell allows (`agent.sqs`).
Method = Literal["random", "sqs"]

#: Arrangements of mobile ions are enumerated up to this many, sampled and refined by swaps above.
MAX_ENUMERATED = 20_000
#: Arrangements sampled where enumeration is out of reach.
SAMPLED = 2_000
#: eV; breaks ties between symmetry-equivalent arrangements in the same way on every machine.
TIE_BREAK_EV = 1e-3
#: Rows whose arrangements are scored at once (bounds the memory).
CHUNK = 2_048


def draw(
    host: Host,
    composition: Composition,
    index: int = 0,
    seed: int = 0,
    dopant_tries: int = 1,
    method: Method = "random",
) -> Atoms:
    """One ordering of a composition, the same for the same arguments on every machine.

    Args:
        host: the composition's host.
        composition: what to arrange.
        index: which ordering of it, 0, 1, 2, ...
        seed: the campaign's seed.
        dopant_tries: dopant arrangements tried, of which the one of lowest Ewald energy is taken.
        method: how each of them is found.

    Returns:
        Atoms of `host.sites()`, same sites in the same order: dopants by `method`, mobile ions in the
        arrangement of lowest Ewald energy, vacant mobile sites as "X" (Z = 0), formal charges (e) as initial
        charges.
    """
    numbers, charges = _draw_block(host, [composition], index, seed, dopant_tries, method)
    atoms = host.sites()
    atoms.set_atomic_numbers(numbers[0].astype(int))
    atoms.set_initial_charges(charges[0])
    return atoms


def draw_numbers(
    host: Host,
    compositions: Iterable[Composition],
    index: int = 0,
    seed: int = 0,
    dopant_tries: int = 1,
    method: Method = "random",
) -> NDArray[np.uint8]:
    """Atomic numbers (n, sites) of ordering `index` of each composition; row i equals `draw(...)`'s numbers.

    Cost: about 90 µs and 84 bytes per NASICON row, some 10 ms where it is to be quasi-random; time grows linearly,
    scratch memory is constant.
    """
    blocks = [_draw_block(host, block, index, seed, dopant_tries, method)[0] for block in _chunks(compositions)]
    return np.concatenate(blocks) if blocks else np.empty((0, len(host.sites())), dtype=np.uint8)


def ewald_energy_eV(host: Host, charges_e: Floats) -> Floats:
    """Ewald energy (eV) of charges (n, sites) or (sites,) on the host's sites; for neutral cells."""
    matrix = ewald_matrix(host)
    return np.asarray(np.einsum("...i,ij,...j->...", charges_e, matrix, charges_e))


@lru_cache(maxsize=16)
def ewald_matrix(host: Host) -> Floats:
    """The (sites, sites) matrix A in eV/e² with E = q^T A q for a neutral cell."""
    return _ewald_matrix(host.sites())


def _ewald_matrix(sites: Atoms) -> Floats:
    unit = Structure(
        sites.cell.array,
        ["Na+"] * len(sites),
        sites.get_scaled_positions(),
        site_properties={"charge": [1.0] * len(sites)},
    )
    matrix = EwaldSummation(unit, acc_factor=8).total_energy_matrix
    return np.asarray((matrix + matrix.T) / 2)


def arrange_framework(host: Host, atoms: Atoms, mixed: Sequence[str]) -> None:
    """Put the elements of the mixed framework orbits (Si and P, say) where the Ewald energy is lowest, in
    place.

    The mobile sites carry their mean charge meanwhile. One arrangement per host, so that what differs between
    two orderings is what the composition differs in.
    """
    matrix = _ewald_matrix(atoms)
    sites = np.flatnonzero(np.isin(atoms.arrays["site"], mixed))
    charges = atoms.get_initial_charges()
    mobile = atoms.arrays["sublattice"] == "mobile"
    charges[mobile] *= host.formula_units * host.mobile_per_formula / mobile.sum()
    rng = np.random.default_rng(20_260_101)
    order = rng.permuted(np.tile(np.arange(len(sites)), (2 * SAMPLED, 1)), axis=1)
    order[0] = np.arange(len(sites))
    tried = charges[sites][order]
    others = np.delete(np.arange(len(atoms)), sites)
    field = 2 * matrix[np.ix_(sites, others)] @ charges[others]
    energy = tried @ field + np.einsum("ni,ij,nj->n", tried, matrix[np.ix_(sites, sites)], tried)
    best = order[np.argmin(energy.round(6) + TIE_BREAK_EV * rng.random(len(order)))]
    numbers = atoms.get_atomic_numbers()
    numbers[sites] = numbers[sites][best]
    atoms.set_atomic_numbers(numbers)
    atoms.set_initial_charges([host.charges_e[symbol] for symbol in atoms.get_chemical_symbols()])


def _chunks(compositions: Iterable[Composition]) -> Iterator[list[Composition]]:
    block: list[Composition] = []
    for composition in compositions:
        block.append(composition)
        if len(block) == CHUNK:
            yield block
            block = []
    if block:
        yield block


def _draw_block(
    host: Host, compositions: Sequence[Composition], index: int, seed: int, dopant_tries: int, method: Method
) -> tuple[NDArray[np.uint8], Floats]:
    """Numbers and charges (n, sites) of one ordering of each composition."""
    sites = host.sites()
    substituted = np.flatnonzero(sites.arrays["sublattice"] == "substituted")
    mobile = np.flatnonzero(sites.arrays["sublattice"] == "mobile")
    for composition in compositions:
        if composition.host != host.name:
            raise ValueError(f"{composition.key} belongs to host {composition.host}, not to {host.name}")
    n = len(compositions)
    counts = np.array([c.mobile for c in compositions])
    best_energy = np.full(n, np.inf)
    numbers = np.tile(sites.numbers.astype(np.uint8), (n, 1))
    charges = np.tile(sites.get_initial_charges(), (n, 1))
    generators = [np.random.default_rng(c.seed(index, seed)) for c in compositions]
    filled = [_filling(c) for c in compositions]
    for _ in range(dopant_tries):
        if method == "sqs":
            places = sites[substituted]
            orders = [quasi_random_order(places, f[0], rng) for f, rng in zip(filled, generators, strict=True)]
        else:
            orders = [rng.permutation(len(substituted)) for rng in generators]
        elements = np.array([f[0][o] for f, o in zip(filled, orders, strict=True)])
        valences = np.array([f[1][o] for f, o in zip(filled, orders, strict=True)])
        trial = charges.copy()
        trial[:, substituted] = valences
        trial[:, mobile] = 0.0
        occupied, energy = _best_arrangements(host, trial, mobile, counts)
        if dopant_tries > 1:  # what the dopants' own arrangement costs, to compare arrangements by
            energy += np.einsum("ni,ni->n", trial @ ewald_matrix(host), trial)
        better = energy < best_energy - TIE_BREAK_EV
        best_energy[better] = energy[better]
        numbers[np.ix_(better, substituted)] = elements[better]
        numbers[np.ix_(better, mobile)] = np.where(occupied[better], sites.numbers[mobile[0]], 0)
        trial[:, mobile] = np.where(occupied, host.charges_e[host.mobile], 0)
        charges[better] = trial[better]
    return numbers, charges


def _filling(composition: Composition) -> tuple[NDArray[np.uint8], Floats]:
    """Atomic numbers and charges of the substituted sublattice, sites in the order of the amounts."""
    repeat = [count for _, count in composition.amounts]
    numbers = np.repeat([atomic_numbers[element] for element, _ in composition.amounts], repeat)
    charges = np.repeat([float(valence) for _, valence in composition.valences], repeat)
    return numbers.astype(np.uint8), charges


def _best_arrangements(
    host: Host, charges: Floats, mobile: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[Bools, Floats]:
    """Occupied mobile sites (n, mobile sites) of lowest Ewald energy, and that energy less the framework's
    own (eV).
    """
    matrix = ewald_matrix(host)
    ion = host.charges_e[host.mobile]
    interaction = ion**2 * matrix[np.ix_(mobile, mobile)]
    field = 2 * ion * charges @ matrix[:, mobile]
    occupied = np.zeros((len(charges), len(mobile)), dtype=bool)
    energy = np.zeros(len(charges))
    for count in np.unique(counts):
        rows = np.flatnonzero(counts == count)
        arrangements, internal = mobile_occupations(host, int(count))
        total = field[rows] @ arrangements.T + internal
        best = np.argmin(total, axis=1)
        chosen = arrangements[best].astype(bool)
        lowest = total[np.arange(len(rows)), best]
        if comb(len(mobile), int(count)) > MAX_ENUMERATED:
            for row, (occupation, h) in enumerate(zip(chosen, field[rows], strict=True)):
                chosen[row], lowest[row] = _swap_descent(occupation, h, interaction)
        occupied[rows], energy[rows] = chosen, lowest
    return occupied, energy


@lru_cache(maxsize=64)
def mobile_occupations(host: Host, count: int) -> tuple[Floats, Floats]:
    """Candidate occupations (m, mobile sites) of `count` ions as 0/1, and their own energies (m,) in eV."""
    sites = host.sites()
    mobile = np.flatnonzero(sites.arrays["sublattice"] == "mobile")
    if not 0 <= count <= len(mobile):
        raise ValueError(f"{host.name}: {count} {host.mobile} do not fit on {len(mobile)} sites")
    rng = np.random.default_rng(count)
    if comb(len(mobile), count) <= MAX_ENUMERATED:
        rows = list(combinations(range(len(mobile)), count))
        chosen = np.array(rows, dtype=int).reshape(len(rows), count)
    else:
        chosen = np.argsort(rng.random((SAMPLED, len(mobile))), axis=1)[:, :count]
    occupation = np.zeros((len(chosen), len(mobile)))
    np.put_along_axis(occupation, chosen, 1.0, axis=1)
    matrix = host.charges_e[host.mobile] ** 2 * ewald_matrix(host)[np.ix_(mobile, mobile)]
    energy = np.einsum("ni,ij,nj->n", occupation, matrix, occupation, optimize=True)
    return occupation, energy + TIE_BREAK_EV * rng.random(len(occupation))


def _swap_descent(occupied: Bools, field: Floats, interaction: Floats) -> tuple[Bools, float]:
    """Move one ion at a time to the vacant site that lowers the energy most, until none does."""
    x = occupied.astype(float)
    diagonal = np.diag(interaction)
    while True:
        potential = field + 2 * interaction @ x
        gain_out = -(potential - diagonal)  # energy change of emptying an occupied site
        gain_in = potential + diagonal
        change = gain_out[:, None] + gain_in[None, :] - 2 * interaction
        change[x == 0, :] = np.inf
        change[:, x == 1] = np.inf
        i, j = np.unravel_index(np.argmin(change), change.shape)
        if change[i, j] > -TIE_BREAK_EV:
            return x.astype(bool), float(field @ x + x @ interaction @ x)
        x[i], x[j] = 0.0, 1.0
