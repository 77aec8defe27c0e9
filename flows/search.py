"""`ionloop search`: look compositions of a campaign's space up, by elements, entropy, price and barrier.

The same conditions are the step `search` of `ionloop screen` (`flows.screening_search`).

The data resource of Fu et al. (high-entropy LZSP): for each composition its entropy, its structure file, its
predicted or computed value, and where that lies in the distribution of the whole space.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agent.elements import price_usd_per_kg, require_element
from flows.wording import file_stem

if TYPE_CHECKING:
    from flows.found import Found
    from flows.view import CampaignView

#: Mean and sigma of every composition of the space after the newest round; a view, rewritten after each.
PREDICTIONS_FILE = "predictions.csv"
#: A composition key's elements and site counts: "nzsp:Sn1+4.Zr7+4:12".
SITES = re.compile(r"([A-Z][a-z]?)(\d+)\+")
OPERATORS: dict[str, Callable[[NDArray[np.float64], float], NDArray[np.bool_]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "=": np.isclose,
}
COMPARISON = re.compile(r"\s*(<=|>=|<|>|=)\s*(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)\s*")
COLUMNS = (
    *("formula", "entropy_R", "entropy_class", "E_b_eV", "sigma_eV", "source", "orderings", "percentile", "cluster"),
    *("structure", "composition"),
)


@dataclass(frozen=True)
class Range:
    """One or several comparisons that all must hold: ">=1.5", ">0.2,<0.4"."""

    comparisons: tuple[tuple[str, float], ...]

    @classmethod
    def parse(cls, text: str, what: str) -> Range:
        """
        Raises:
            ValueError: not comparisons with numbers, or no number can satisfy them.
        """
        parts = [COMPARISON.fullmatch(part) for part in text.split(",")]
        if not all(parts):
            raise ValueError(f"{what} {text!r}: expected a comparison such as '<0.4', '>=1.5' or '>=1,<1.5'")
        found = tuple((part.group(1), float(part.group(2))) for part in parts if part is not None)
        low = max((number for sign, number in found if sign in (">", ">=", "=")), default=-math.inf)
        high = min((number for sign, number in found if sign in ("<", "<=", "=")), default=math.inf)
        if low > high or (low == high and any(sign in "<>" and number == low for sign, number in found)):
            raise ValueError(f"{what} {text!r}: no number is both above {low:g} and below {high:g}")
        return cls(found)

    def holds(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n,) where a value is known and all comparisons hold."""
        kept = np.isfinite(values)
        for sign, number in self.comparisons:
            with np.errstate(invalid="ignore"):
                kept &= OPERATORS[sign](values, number)
        return kept

    def __str__(self) -> str:
        return ",".join(f"{sign}{number:g}" for sign, number in self.comparisons)


@dataclass(frozen=True)
class Query:
    """What is looked for; empty parts let everything through.

    Attributes:
        elements: all of them are on the substituted sublattice. `without`: none of them is.
        entropy_R: in units of the gas constant. `E_b_eV`: the label, or the prediction where there is none.
        percentile: of E_b within the whole space, %; 0 is the lowest barrier.
        price_usd_per_kg: of the dearest element on the substituted sublattice.
        formula: this one only, as the campaign writes it, or a composition key.
    """

    elements: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    entropy_R: Range | None = None
    E_b_eV: Range | None = None
    percentile: Range | None = None
    price_usd_per_kg: Range | None = None
    formula: str | None = None

    @classmethod
    def parse(
        cls,
        elements: str | None = None,
        without: str | None = None,
        entropy: str | None = None,
        eb: str | None = None,
        percentile: str | None = None,
        price: str | None = None,
        formula: str | None = None,
    ) -> Query:
        """From the text of the command line or of a configuration.

        Raises:
            ValueError: something that is no element, or no comparison.
        """

        def within(text: str | None, what: str) -> Range | None:
            return None if text is None else Range.parse(text, what)

        return cls(
            elements=_elements(elements),
            without=_elements(without),
            entropy_R=within(entropy, "entropy"),
            E_b_eV=within(eb, "eb"),
            percentile=within(percentile, "percentile"),
            price_usd_per_kg=within(price, "price"),
            formula=formula,
        )


@dataclass(frozen=True)
class Atlas:
    """Every composition of a campaign's space with all that is known of it, and how complete that is.

    `table` has the columns of `COLUMNS` but `structure`; `sites` the elements of each row.
    """

    table: pd.DataFrame
    sites: list[dict[str, int]]
    folders: dict[str, list[Path]]  # of labels, best first, by composition
    note: str

    @classmethod
    def of(cls, view: CampaignView) -> Atlas:
        """
        Raises:
            FileNotFoundError: the campaign has not enumerated its space yet.
            ValueError: its files are damaged.
        """
        path = view.folder / "space.csv"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; `ionloop run` writes it when a campaign begins")
        space = pd.read_csv(path, usecols=["composition", "formula", "cluster"], keep_default_na=False)
        sites = [{element: int(n) for element, n in SITES.findall(key)} for key in space["composition"]]
        space["entropy_R"] = [_entropy_R(tuple(sorted(one.values()))) for one in sites]
        space["entropy_class"] = np.select(
            [space["entropy_R"] >= 1.5 - 1e-9, space["entropy_R"] >= 1.0 - 1e-9], ["high", "medium"], "low"
        )
        space, note = _with_predictions(space, view)
        space, folders = _with_labels(space, view)
        space["percentile"] = percentiles(space["E_b_eV"].to_numpy(dtype=float))
        return cls(space, sites, folders, note)

    def search(self, query: Query) -> pd.DataFrame:
        """The rows that fit, lowest barrier first (those without any value last)."""
        kept = np.ones(len(self.table), dtype=bool)
        for _, holds in self.conditions(query):
            kept &= holds
        hits = self.table[kept].sort_values(["E_b_eV", "composition"], na_position="last").copy()
        hits["structure"] = [self._structure(key) for key in hits["composition"]]
        return hits[list(COLUMNS)].reset_index(drop=True)

    def conditions(self, query: Query) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Each part of a query in words, and (n,) for which rows it holds."""
        if query.formula is not None:
            names = self.table[["formula", "composition"]]
            yield f"formula {query.formula}", (names == query.formula).any(axis=1).to_numpy()
        if query.elements:
            wanted = set(query.elements)
            yield f"all of {', '.join(query.elements)}", np.array([wanted <= one.keys() for one in self.sites])
        if query.without:
            unwanted = set(query.without)
            yield f"none of {', '.join(query.without)}", np.array([not unwanted & one.keys() for one in self.sites])
        if query.entropy_R is not None:
            yield f"entropy {query.entropy_R} R", query.entropy_R.holds(self.table["entropy_R"].to_numpy())
        for what, unit, wanted_range in (("E_b", "eV", query.E_b_eV), ("percentile", "%", query.percentile)):
            if wanted_range is not None:
                values = self.table["E_b_eV" if what == "E_b" else "percentile"].to_numpy(dtype=float)
                yield f"{what} {wanted_range} {unit}", wanted_range.holds(values)
        if query.price_usd_per_kg is not None:
            yield f"price {query.price_usd_per_kg} USD/kg", query.price_usd_per_kg.holds(self.prices_usd_per_kg)

    @cached_property
    def prices_usd_per_kg(self) -> NDArray[np.float64]:
        """(n,) price of the dearest element on the substituted sublattice; NaN where one is unknown."""
        return np.array([max((price_usd_per_kg(e) for e in one), key=_unknown_last) for one in self.sites])

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each composition key."""
        return {key: row for row, key in enumerate(self.table["composition"])}

    def _structure(self, composition: str) -> str:
        """The relaxed structure of its best label, if there is one."""
        for folder in self.folders.get(composition, []):
            for name in ("relaxed.extxyz", "initial.extxyz"):
                if (folder / name).is_file():
                    return str(folder / name)
        return ""


def percentiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) share of the known values below each one, ties counted by half, in percent; NaN where unknown."""
    from scipy.stats import rankdata

    found = np.full(len(values), np.nan)
    known = np.isfinite(values)
    if known.any():
        found[known] = 100 * (rankdata(values[known]) - 0.5) / known.sum()
    return found


def write_predictions(
    folder: Path, compositions: Sequence[str], mean_eV: NDArray[np.float64], sigma_eV: NDArray[np.float64]
) -> None:
    """Keep what a model says of the whole space (the ledger keeps the best of it); appears whole or not at all."""
    table = pd.DataFrame({"composition": compositions, "mean_eV": mean_eV.round(5), "sigma_eV": sigma_eV.round(5)})
    draft = folder / f"{PREDICTIONS_FILE}.part"
    table.to_csv(draft, index=False)
    draft.replace(folder / PREDICTIONS_FILE)


def write_orderings(found: Found, hits: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Write the ordering that was scored (unrelaxed, vacancies as X) of every hit without a structure of its own."""
    import ase.io

    from agent.composition import Composition
    from agent.hosts import load_host
    from agent.ordering import draw

    host, seed = load_host(found.config.campaign.host), found.config.campaign.seed
    folder.mkdir(parents=True, exist_ok=True)
    hits = hits.copy()
    for row in hits.index[hits["structure"] == ""]:
        path = folder / f"{file_stem(str(hits.at[row, 'formula']))}.extxyz"
        ase.io.write(path, draw(host, Composition.from_key(str(hits.at[row, "composition"])), 0, seed))
        hits.at[row, "structure"] = str(path)
    return hits


def _with_predictions(space: pd.DataFrame, view: CampaignView) -> tuple[pd.DataFrame, str]:
    """Joined with the newest predictions: of the whole space if they were kept, else of the ledger's ranking."""
    path = view.folder / PREDICTIONS_FILE
    if path.is_file():
        table = pd.read_csv(path)
        if list(table.columns) != ["composition", "mean_eV", "sigma_eV"]:
            raise ValueError(f"{path}: damaged; the next round of the campaign writes it anew")
        note = ""
    else:
        rows = [(line.composition, line.mean_eV, line.sigma_eV) for line in view.ranking]
        table = pd.DataFrame(rows, columns=["composition", "mean_eV", "sigma_eV"])
        note = (
            f"{path.name} is missing: percentiles are within the {len(table):,} best that the ledger ranks, "
            "not within the space"
            if len(table)
            else "no round has ended yet: nothing is predicted"
        )
    known = table.drop_duplicates("composition").set_index("composition")
    space["E_b_eV"] = space["composition"].map(known["mean_eV"]).astype(float)
    space["sigma_eV"] = space["composition"].map(known["sigma_eV"]).astype(float)
    space["source"] = np.where(space["E_b_eV"].notna(), "prediction", "")
    space["orderings"] = 0
    return space, note


def _with_labels(space: pd.DataFrame, view: CampaignView) -> tuple[pd.DataFrame, dict[str, list[Path]]]:
    """Labels at the target fidelity take the place of predictions: the mean over orderings and its standard error."""
    values: dict[str, list[float]] = {}
    labels: dict[str, list[tuple[bool, float, Path]]] = {}
    for one in view.at_target:
        assert one.value_eV is not None
        values.setdefault(one.composition, []).append(one.value_eV)
        entry = (not one.converged, one.value_eV, view.folder / "labels" / one.label_key)
        labels.setdefault(one.composition, []).append(entry)
    place = {key: i for i, key in enumerate(space["composition"])}
    for composition, found in values.items():
        if (i := place.get(composition)) is None:
            continue
        error = float(np.std(found, ddof=1) / math.sqrt(len(found))) if len(found) > 1 else math.nan
        space.loc[i, ["E_b_eV", "sigma_eV", "source", "orderings"]] = [np.mean(found), error, "label", len(found)]
    return space, {key: [path for *_, path in sorted(found)] for key, found in labels.items()}


@cache
def _entropy_R(counts: tuple[int, ...]) -> float:
    shares = np.array(counts) / sum(counts)
    return round(float(-(shares * np.log(shares)).sum()), 6) + 0.0


def _unknown_last(price: float) -> float:
    """Sorts an unknown price above every known one."""
    return math.inf if math.isnan(price) else price


def _elements(text: str | None) -> tuple[str, ...]:
    symbols = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    if text is not None and not symbols:
        raise ValueError(f"elements {text!r}: expected symbols such as Zr,Hf,Sn")
    for symbol in symbols:
        require_element(symbol)
    return symbols
