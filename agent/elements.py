"""What the agent knows of elements: candidate dopants, their valences and reasons for exclusion, radii,
prices.

The lists are data (`data/elements.toml`); radii are Shannon's (Acta Cryst. A32, 751 (1976)) as pymatgen
tabulates them; prices and abundances are mendeleev's.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pymatgen.core import Element


@dataclass(frozen=True)
class Candidates:
    """The candidate dopants: `valences` (e, preferred first) by element, and why some are `excluded` by
    default.
    """

    valences: Mapping[str, tuple[int, ...]]
    excluded: Mapping[str, str]


@cache
def candidates() -> Candidates:
    """The 45 candidate dopants of the NASICON Zr site."""
    table = tomllib.loads(resources.files("agent").joinpath("data/elements.toml").read_text())
    valences = {element: tuple(options) for element, options in table["candidates"].items()}
    return Candidates(valences, table["excluded"])


@cache
def default_valences(element: str) -> tuple[int, ...]:
    """Formal valences (e) of an element on an octahedral cation site, preferred first.

    From the table if it lists the element, else the common oxidation states that are positive.

    Raises:
        ValueError: no such element, or no positive valence is known for it.
    """
    table = tomllib.loads(resources.files("agent").joinpath("data/elements.toml").read_text())
    if listed := table["candidates"].get(element) or table["hosts"].get(element):
        return tuple(listed)
    require_element(element)
    common = tuple(sorted((v for v in Element(element).common_oxidation_states if v > 0), reverse=True))
    if not common:
        raise ValueError(f"{element}: no positive valence is known; name one in the host's `valences`")
    return common


def require_element(symbol: str) -> None:
    """Raise ValueError unless `symbol` is a chemical element."""
    if not Element.is_valid_symbol(symbol):
        raise ValueError(f"{symbol!r} is not an element: use a chemical symbol such as 'Sn'")


@cache
def shannon_radius_A(element: str, valence: int, coordination: str = "VI") -> float:
    """Shannon ionic radius in Å; high spin where the table has both. NaN if this state is not tabulated."""
    states = Element(element).data.get("Shannon radii") or {}
    spins = states.get(str(valence), {}).get(coordination, {})
    for spin in ("", "High Spin", "Low Spin"):
        if spin in spins:
            return float(spins[spin]["ionic_radius"])
    return math.nan


@cache
def price_usd_per_kg(element: str) -> float:
    """Price of the element in USD/kg; NaN if unknown."""
    return _market().get(element, (math.nan, math.nan))[0]


@cache
def crust_abundance_ppm(element: str) -> float:
    """Abundance in the Earth's crust in mg/kg; NaN if unknown."""
    return _market().get(element, (math.nan, math.nan))[1]


@cache
def _market() -> dict[str, tuple[float, float]]:
    from mendeleev.fetch import fetch_table  # a second to import: only if a filter asks for it

    table = fetch_table("elements")
    rows = zip(table["symbol"], table["price_per_kg"], table["abundance_crust"], strict=True)
    return {symbol: (float(price), float(abundance)) for symbol, price, abundance in rows}
