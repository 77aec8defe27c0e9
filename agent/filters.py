"""Named filters of the composition space. Each sees a block of candidates as arrays and says which rows
stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from agent.composition import Composition
from agent.elements import candidates, crust_abundance_ppm, price_usd_per_kg, shannon_radius_A
from agent.hosts import Host

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


#: The arrays of a block that have one entry per row.
ROW_ARRAYS = ("index", "counts", "valences", "candidate", "preference", "mobile")


@dataclass(frozen=True)
class Block:
    """Candidates of one pattern as arrays, n rows of k dopants.

    A candidate whose elements have several allowed valences is several rows until the end; `candidate` tells
    which rows belong together and `preference` which valence assignment the host likes best (0).
    """

    names: NDArray[np.str_]  # element symbols
    host_count: int  # sites that the host's element keeps
    index: Ints  # (n, k) into `names`
    counts: Ints  # (n, k) sites
    valences: Ints  # (n, k) e; 0 until `with_valences`
    candidate: Ints  # (n,)
    preference: Ints  # (n,)
    mobile: Ints  # (n,) mobile ions of the cell; -1 until the charge is balanced
    host: Host | None = None

    @classmethod
    def raw(cls, names: NDArray[np.str_], host_count: int, index: Ints, counts: Ints) -> Block:
        rows = np.arange(len(index))
        zero = np.zeros(len(index), dtype=np.int64)
        return cls(names, host_count, index, counts, np.zeros_like(index), rows, zero, zero - 1)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def n_candidates(self) -> int:
        return len(np.unique(self.candidate))

    def select(self, rows: Bools | Ints) -> Block:
        return self._with({name: getattr(self, name)[rows] for name in ROW_ARRAYS})

    def _with(self, arrays: dict[str, Any]) -> Block:
        return replace(self, **arrays)

    def with_valences(self, host: Host) -> Block:
        """One row per combination of allowed valences."""
        options = [host.valences_of(str(name)) for name in self.names]
        most = max(map(len, options))
        table = np.array([list(o) + [0] * (most - len(o)) for o in options])
        parts = []
        for choice in product(range(most), repeat=self.index.shape[1]):
            valences = table[self.index, np.array(choice)]
            real = (valences != 0).all(axis=1)
            if real.any():
                chosen = replace(self, valences=valences, preference=np.full(len(self), sum(choice)))
                parts.append(chosen.select(real))
        joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in ROW_ARRAYS}
        return replace(self._with(joined), host=host)

    def preferred(self) -> Block:
        """One row per candidate again: of those left the one of the most preferred valences."""
        order = np.lexsort((self.preference, self.candidate))
        first = np.unique(self.candidate[order], return_index=True)[1]
        return self.select(order[first])

    def table(self, values: dict[str, float]) -> Floats:
        """(n, k) values of elements."""
        return np.array([values[str(name)] for name in self.names])[self.index]

    @cached_property
    def fractions(self) -> Floats:
        """(n, k + 1) site fractions, the host's element first."""
        host = np.full((len(self), 1), self.host_count)
        counts = np.hstack([host, self.counts]).astype(float)
        return counts / counts.sum(axis=1, keepdims=True)

    def compositions(self) -> Iterator[Composition]:
        assert self.host is not None, "with_valences comes first"
        name, element = self.host.name, self.host.substituted
        own = [(element, self.host_count, self.host.charges_e[element])] if self.host_count else []
        rows = zip(
            self.names[self.index].tolist(),
            self.counts.tolist(),
            self.valences.tolist(),
            self.mobile.tolist(),
            strict=True,
        )
        for elements, counts, valences, mobile in rows:
            sites = sorted([*own, *zip(elements, counts, valences, strict=True)])
            yield Composition(name, tuple((e, n) for e, n, _ in sites), tuple((e, v) for e, _, v in sites), mobile)


class _Filter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ElementExclusion(_Filter):
    """Leaves out compositions that contain an excluded element."""

    name: Literal["elements"] = "elements"
    exclude: dict[str, str] = Field(
        default_factory=lambda: dict(candidates().excluded),
        description="Element -> reason. Default: radioactive, highly toxic, extremely expensive ones.",
    )

    def keep(self, block: Block, host: Host) -> Bools:
        bad = np.isin(block.names, list(self.exclude))
        return np.asarray(~bad[block.index].any(axis=1))

    def why(self, host: Host) -> str:
        groups: dict[str, list[str]] = {}
        for element, reason in self.exclude.items():
            groups.setdefault(reason.split(":")[0], []).append(element)
        return "; ".join(f"{reason}: {' '.join(sorted(e))}" for reason, e in groups.items())


class RadiusMismatch(_Filter):
    """Limits the relative difference between the largest and the smallest dopant: r_max / r_min - 1.

    Shannon radii in sixfold coordination at each dopant's valence; a valence that is not tabulated is left
    out.
    """

    name: Literal["radius-mismatch"] = "radius-mismatch"
    maximum: float = Field(0.5, gt=0, description="Largest allowed r_max / r_min - 1 between any two dopants.")

    def keep(self, block: Block, host: Host) -> Bools:
        radii = _radii(block)
        with np.errstate(invalid="ignore"):
            return np.asarray(radii.max(axis=1) / radii.min(axis=1) - 1 <= self.maximum + 1e-9)

    def why(self, host: Host) -> str:
        return f"radii of any two dopants within {self.maximum:.0%} (Shannon, VI)"


class HostRadius(_Filter):
    """Limits every dopant's relative deviation from the host element's radius."""

    name: Literal["host-radius"] = "host-radius"
    maximum: float = Field(0.5, gt=0, description="Largest allowed |r / r_host - 1|.")

    def keep(self, block: Block, host: Host) -> Bools:
        own = shannon_radius_A(host.substituted, host.charges_e[host.substituted])
        with np.errstate(invalid="ignore"):
            return np.asarray((np.abs(_radii(block) / own - 1) <= self.maximum + 1e-9).all(axis=1))

    def why(self, host: Host) -> str:
        return f"every radius within {self.maximum:.0%} of {host.substituted}'s (Shannon, VI)"


class ChargeBalance(_Filter):
    """Keeps what a whole number of mobile ions balances, within a window of mobile content.

    The default window is the undoped host's own content: dopants that balance one another (aliovalent ones in
    pairs).
    """

    name: Literal["charge-balance"] = "charge-balance"
    window: tuple[float, float] | None = Field(
        None,
        description="Smallest and largest mobile ions per formula unit; left out: exactly the host's own content.",
    )

    def limits(self, host: Host) -> tuple[float, float]:
        """The window in mobile ions per formula unit."""
        return self.window or (host.mobile_per_formula, host.mobile_per_formula)

    def keep(self, block: Block, host: Host) -> Bools:
        charge = (block.valences * block.counts).sum(axis=1)
        charge += block.host_count * host.charges_e[host.substituted]
        missing = -(host.framework_charge_e + charge)
        mobile, rest = np.divmod(missing, host.charges_e[host.mobile])
        block.mobile[:] = mobile
        low, high = self.limits(host)
        content = mobile / host.formula_units
        fits = (content >= low - 1e-9) & (content <= high + 1e-9)
        return np.asarray((rest == 0) & fits & (mobile >= 0) & (mobile <= host.n_mobile_sites))

    def why(self, host: Host) -> str:
        low, high = self.limits(host)
        content = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        return f"neutral with {content} {host.mobile} per formula unit"


class Entropy(_Filter):
    """Configurational entropy of the substituted sublattice: low < 1 R, medium, high >= 1.5 R."""

    name: Literal["entropy"] = "entropy"
    minimum_R: float = Field(0.0, ge=0, description="Smallest entropy in R; 1 for medium, 1.5 for high.")
    maximum_R: float | None = Field(None, description="Largest entropy in R (exclusive).")

    def keep(self, block: Block, host: Host) -> Bools:
        x = block.fractions
        entropy = -(x * np.log(np.where(x > 0, x, 1.0))).sum(axis=1)
        below = entropy < self.maximum_R if self.maximum_R is not None else True
        return np.asarray((entropy >= self.minimum_R - 1e-9) & below)

    def why(self, host: Host) -> str:
        upper = "" if self.maximum_R is None else f" and below {self.maximum_R:g} R"
        return f"configurational entropy at least {self.minimum_R:g} R{upper}"


class Price(_Filter):
    """Limits the price of every dopant (element, USD/kg, mendeleev's table); unknown prices are left out."""

    name: Literal["price"] = "price"
    maximum_usd_per_kg: float = Field(1000.0, gt=0)

    def keep(self, block: Block, host: Host) -> Bools:
        return np.asarray((_of_dopants(block, price_usd_per_kg) <= self.maximum_usd_per_kg).all(axis=1))

    def why(self, host: Host) -> str:
        return f"every dopant at most {self.maximum_usd_per_kg:g} USD/kg"


class Abundance(_Filter):
    """Asks for a smallest abundance of every dopant in the Earth's crust (mg/kg, mendeleev's table)."""

    name: Literal["abundance"] = "abundance"
    minimum_ppm: float = Field(1.0, ge=0)

    def keep(self, block: Block, host: Host) -> Bools:
        return np.asarray((_of_dopants(block, crust_abundance_ppm) >= self.minimum_ppm).all(axis=1))

    def why(self, host: Host) -> str:
        return f"every dopant at least {self.minimum_ppm:g} ppm of the Earth's crust"


FilterConfig = Annotated[
    ElementExclusion | RadiusMismatch | HostRadius | ChargeBalance | Entropy | Price | Abundance,
    Field(discriminator="name"),
]


def _of_dopants(block: Block, quantity: Callable[[str], float]) -> Floats:
    """(n, k) a quantity that depends on the element alone."""
    return block.table({str(name): quantity(str(name)) for name in block.names})


def _radii(block: Block) -> Floats:
    """(n, k) Shannon radii in Å; NaN where the state is not tabulated."""
    names = [str(name) for name in block.names]
    table = np.full((len(names), int(block.valences.max(initial=0)) + 1), np.nan)
    for i, name in enumerate(names):
        for valence in np.unique(block.valences[block.index == i]):
            table[i, valence] = shannon_radius_A(name, int(valence))
    return np.asarray(table[block.index, block.valences])
