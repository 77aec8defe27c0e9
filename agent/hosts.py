"""Hosts: ordered frameworks with named sublattices, as data (TOML or JSON), never as code."""

from __future__ import annotations

import json
import tomllib
from functools import cached_property
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Literal, Self

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pymatgen.core import Lattice
from pymatgen.symmetry.groups import SpaceGroup

from agent.elements import default_valences, require_element

Sublattice = Literal["mobile", "substituted", "framework"]

#: Fractional tolerance under which two positions are the same site.
SITE_TOLERANCE = 1e-3


class CellParameters(BaseModel):
    """Conventional cell: lengths in Å, angles in degrees."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    a_A: float = Field(gt=0)
    b_A: float = Field(gt=0)
    c_A: float = Field(gt=0)
    alpha_deg: float = Field(90.0, gt=0, lt=180)
    beta_deg: float = Field(90.0, gt=0, lt=180)
    gamma_deg: float = Field(90.0, gt=0, lt=180)


class Orbit(BaseModel):
    """One set of symmetry-equivalent sites.

    `position` is fractional in the conventional cell; `species` says how many of the orbit's sites of the
    computational cell each element takes. A framework orbit may be mixed (Si and P).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    sublattice: Sublattice
    position: tuple[float, float, float]
    species: dict[str, int]


class Host(BaseModel):
    """A framework, its mobile ion and the sublattice on which dopants sit.

    Attributes:
        spacegroup: Hermann-Mauguin symbol of the conventional cell.
        cell: rows are the computational cell's vectors in conventional ones, times 1 / `cell_divisor`.
        formula_units: formula units in the computational cell.
        mobile: the mobile ion's element.
        substituted: the element that dopants replace.
        framework_formula: what stands behind both in a formula ("Si2PO12").
        mobile_per_formula: mobile ions per formula unit of the undoped host.
        charges_e: formal charge (e) of every element of the host.
        valences: allowed valences (e) of dopants, preferred first; overrides `agent.elements` for this host.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str = ""
    reference: str = ""
    spacegroup: str
    lattice: CellParameters
    cell: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]
    cell_divisor: int = Field(1, ge=1)
    formula_units: int = Field(ge=1)
    mobile: str
    substituted: str
    framework_formula: str
    mobile_per_formula: float = Field(gt=0)
    charges_e: dict[str, int]
    valences: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    sites_: tuple[Orbit, ...] = Field(alias="sites", min_length=1)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(self.model_dump_json())

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            SpaceGroup(self.spacegroup)
        except ValueError as error:
            raise ValueError(
                f"spacegroup: {self.spacegroup!r} is no Hermann-Mauguin symbol such as 'R-3c'"
            ) from error
        for orbit in self.sites_:
            for element in orbit.species:
                require_element(element)
                if element not in self.charges_e:
                    raise ValueError(f"sites.{orbit.label}: charges_e has no charge for {element}")
        for sublattice, element in (("mobile", self.mobile), ("substituted", self.substituted)):
            found = {e for o in self.sites_ if o.sublattice == sublattice for e in o.species}
            if found != {element}:
                raise ValueError(f"the {sublattice} sublattice must hold exactly {element}; it holds {sorted(found)}")
        for element in self.valences:
            require_element(element)
        return self

    # -- numbers
    # ------------------------------------------------------------------------------------------------

    def _count(self, sublattice: Sublattice) -> int:
        return sum(sum(o.species.values()) for o in self.sites_ if o.sublattice == sublattice)

    @cached_property
    def n_mobile_sites(self) -> int:
        return self._count("mobile")

    @cached_property
    def n_substituted_sites(self) -> int:
        return self._count("substituted")

    @cached_property
    def framework_charge_e(self) -> int:
        """Charge of everything but the mobile and the substituted sublattice, in the whole cell."""
        orbits = (o for o in self.sites_ if o.sublattice == "framework")
        return sum(self.charges_e[e] * n for o in orbits for e, n in o.species.items())

    def mobile_for(self, substituted_charge_e: int) -> int:
        """Mobile ions that make the cell neutral, given the total charge of its substituted sublattice.

        Raises:
            ValueError: no whole number of mobile ions does.
        """
        missing = -(self.framework_charge_e + substituted_charge_e)
        count, rest = divmod(missing, self.charges_e[self.mobile])
        if rest:
            raise ValueError(f"{self.name}: no whole number of {self.mobile} balances {missing:+d} e")
        return count

    def valences_of(self, element: str) -> tuple[int, ...]:
        """Allowed valences (e) of an element on the substituted sublattice, preferred first."""
        if element in self.valences:
            return self.valences[element]
        if element == self.substituted:
            return (self.charges_e[element],)
        return default_valences(element)

    # -- geometry
    # -----------------------------------------------------------------------------------------------

    def sites(self) -> Atoms:
        """The computational cell with all mobile sites occupied and the host's element on every substituted
        one.

        Arrays: "sublattice" ("mobile", "substituted", "framework"), "site" (the orbit's label); initial
            charges
        are the formal ones (e). The order of sites is part of the contract with `models`. A new copy each
        time.
        """
        return self._sites.copy()

    @cached_property
    def _sites(self) -> Atoms:
        cell = Lattice.from_parameters(*self.lattice.model_dump().values())
        vectors = np.array(self.cell, dtype=float) / self.cell_divisor
        symbols: list[str] = []
        labels: list[str] = []
        sublattices: list[str] = []
        fractional: list[NDArray[np.float64]] = []
        for orbit in self.sites_:
            places = _fill(SpaceGroup(self.spacegroup), orbit.position, vectors)
            if len(places) != sum(orbit.species.values()):
                raise ValueError(
                    f"host {self.name}, sites.{orbit.label}: species fill {sum(orbit.species.values())} sites, "
                    f"but the cell has {len(places)} of them"
                )
            symbols += [element for element, count in orbit.species.items() for _ in range(count)]
            labels += [orbit.label] * len(places)
            sublattices += [orbit.sublattice] * len(places)
            fractional.append(places)
        atoms = Atoms(symbols, scaled_positions=np.concatenate(fractional), cell=vectors @ cell.matrix, pbc=True)
        atoms.set_array("site", np.array(labels))
        atoms.set_array("sublattice", np.array(sublattices))
        atoms.set_initial_charges([self.charges_e[symbol] for symbol in symbols])
        mixed = [o.label for o in self.sites_ if o.sublattice == "framework" and len(o.species) > 1]
        if mixed:
            from agent.ordering import arrange_framework  # it needs the cell that is being built here

            arrange_framework(self, atoms, mixed)
        return atoms


def _fill(group: SpaceGroup, position: tuple[float, ...], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """All images of a position inside the cell spanned by `vectors` (conventional units), fractional,
    sorted.
    """
    orbit = np.array([np.asarray(p, dtype=float) for p in group.get_orbit(position)])
    inverse = np.linalg.inv(vectors)
    reach = int(np.ceil(np.abs(vectors).sum(axis=0).max()))
    shifts = np.array(list(product(range(-reach, reach + 1), repeat=3)))
    images = ((orbit[None] + shifts[:, None]).reshape(-1, 3) @ inverse).round(6)
    inside = images[((images >= -SITE_TOLERANCE) & (images < 1 - SITE_TOLERANCE)).all(axis=1)]
    unique: list[NDArray[np.float64]] = []
    for image in inside[np.lexsort(inside.T[::-1].round(3))]:
        wrapped = [np.abs((image - u + 0.5) % 1 - 0.5).max() for u in unique]
        if not wrapped or min(wrapped) > SITE_TOLERANCE:
            unique.append(image)
    return np.array(unique)


def shipped_hosts() -> list[str]:
    """Names of the hosts that come with the package."""
    folder = resources.files("agent").joinpath("data/hosts")
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


_loaded: dict[str, Host] = {}


def load_host(name_or_path: str | Path) -> Host:
    """A shipped host by name, or any host from a TOML or JSON file.

    Raises:
        FileNotFoundError: neither a shipped host nor a file.
        ValueError: the file is not TOML (or, named .json, not JSON), or a field is wrong (the message names it).
    """
    name = str(name_or_path)
    if name in shipped_hosts():
        if name not in _loaded:
            text = resources.files("agent").joinpath(f"data/hosts/{name}.toml").read_text()
            _loaded[name] = _parse(text, name)
        return _loaded[name]
    path = Path(name_or_path)
    if not path.is_file():
        raise FileNotFoundError(f"host {name!r}: not a file, and not one of {', '.join(shipped_hosts())}")
    return _parse(path.read_text(), str(path))


def _parse(text: str, where: str) -> Host:
    kind = "JSON" if where.endswith(".json") else "TOML"
    try:
        return Host.model_validate(json.loads(text) if kind == "JSON" else tomllib.loads(text))
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"host {where}: not valid {kind}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "host"
        raise ValueError(f"host {where}: {place}: {first['msg']}") from error
