"""`ionloop features` and `ionloop transport`: structures to features, features to a transport model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import pandas as pd
from ase import Atoms

from models.metrics import Metrics
from models.structural_features import Framework, feature_sets, feature_table
from models.transport import (
    FeatureData,
    Importances,
    OutOfFold,
    Stability,
    cross_validate,
    fit,
    importances,
    stability,
)


def feature_csv(
    places: Sequence[Path], framework: Framework, out: Path, frames: bool = False
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Features of structure files and folders of them, written as CSV; and what was left out, with the reason.

    Raises:
        FileNotFoundError: no such file, or a folder without files.
        ValueError: an unreadable file, or no structure that can be used.
    """
    table, refused = feature_table(_structures(places, frames), framework)
    out.parent.mkdir(parents=True, exist_ok=True)
    table.round(6).to_csv(out)
    return table, refused


def read_table(path: Path) -> pd.DataFrame:
    """
    Raises:
        FileNotFoundError: no such file.
        ValueError: not a CSV table.
    """
    if not path.is_file():
        raise FileNotFoundError(f"table {path}: no such file")
    try:
        return pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"table {path}: not a CSV table ({' '.join(str(error).split())})") from error


@dataclass(frozen=True)
class TransportReport:
    """Regressors cross-validated on a table, what each pays heed to, and how stable they are over orderings."""

    data: FeatureData
    folds: int
    found: dict[str, OutOfFold]
    heed: dict[str, Importances]
    stability: Stability | None

    def errors(self) -> pd.DataFrame:
        """One row per regressor and one for the mean predictor."""
        rows: list[dict[str, Any]] = [
            {"model": one.name, "MAE": one.metrics.mae, "MAE_spread": one.mae_spread, "RMSE": one.metrics.rmse}
            | {"R2": one.metrics.r2, "Spearman": one.metrics.spearman}
            for one in self.found.values()
        ]
        mean: Metrics = next(iter(self.found.values())).metrics
        return pd.DataFrame([*rows, {"model": "mean", "MAE": mean.mae_mean}])

    def verdicts(self) -> Iterator[str]:
        """What may be concluded, and what may not."""
        best = min(self.found.values(), key=lambda one: one.metrics.mae)
        gain = 1 - best.metrics.mae / best.metrics.mae_mean
        head = f"{len(self.data)} structures, {len(self.data.names)} features, {self.folds} folds"
        if not best.skilled:
            yield f"{head}: no model is better than the mean; what they pay heed to says nothing about the target"
        else:
            yield f"{head}: {best.name} has an error {gain:.0%} smaller than the mean predictor's"
        for name, heed in self.heed.items():
            yield f"{name} pays heed to {', '.join(heed.names[:4])} ({heed.method})"
        if self.stability is not None:
            shares = self.stability.prediction_share(self.data.target)
            said = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
            count = len(next(iter(self.stability.predictions.values())))
            yield f"spread over {count} orderings of one composition, as a share of that of all targets: {said}"

    def write(self, folder: Path, unit: str = "") -> list[Path]:
        """errors.csv, predictions.csv, importances.csv, stability.csv, and the figures (PNG)."""
        from models import transport_plots as plots

        folder.mkdir(parents=True, exist_ok=True)
        predictions = pd.DataFrame({"id": self.data.ids, self.data.target_name: self.data.target})
        for one in self.found.values():
            predictions[one.name] = one.predicted
        heed = pd.concat(
            pd.DataFrame({"model": name, "feature": h.names, "mean_abs": h.mean_abs, "direction": h.direction})
            for name, h in self.heed.items()
        )
        tables = {"errors": self.errors(), "predictions": predictions, "importances": heed}
        if self.stability is not None:
            spread, share = self.stability.spread, self.stability.share
            tables["stability"] = pd.DataFrame(
                {"feature": list(spread), "spread": list(spread.values()), "share": list(share.values())}
            )
        for name, table in tables.items():
            table.round(6).to_csv(folder / f"{name}.csv", index=False)
        figures = [plots.parities(self.data, self.found, unit, folder / "parity.png")]
        figures += [
            plots.contributions(found, unit, folder / f"importances-{name}.png") for name, found in self.heed.items()
        ]
        if self.stability is not None:
            figures.append(plots.orderings(self.data, self.stability, unit, folder / "orderings.png"))
        return [*(folder / f"{name}.csv" for name in tables), *figures]


def model_transport(
    table: pd.DataFrame,
    target: str,
    columns: str = "structural",
    orderings: pd.DataFrame | None = None,
    importance: str = "shap",
    folds: int = 5,
    seed: int = 0,
) -> TransportReport:
    """Cross-validate, explain, and (with `orderings`) look at the spread over orderings of one composition.

    Raises:
        ValueError: a table that nothing can be learned from, or columns that it does not have.
        ImportError: shap is asked for and not installed.
    """
    data = FeatureData.of(table, target, chosen_columns(table, columns, target))
    found = cross_validate(data, folds, seed)
    heed = {name: importances(fit(data, name, seed), data, seed, importance) for name in found}
    return TransportReport(
        data, folds, found, heed, None if orderings is None else stability(data, orderings, seed=seed)
    )


def chosen_columns(table: pd.DataFrame, chosen: str, target: str) -> list[str] | None:
    """Columns of features: of a named selection, or named one by one; None for all numbers.

    Raises:
        ValueError: a named selection of which the table has no column.
    """
    sets = feature_sets(table.columns)
    if chosen == "all":
        return None
    if chosen in sets:
        if not sets[chosen]:
            raise ValueError(
                f"table: no structural features among its columns ({', '.join(map(str, table.columns))})"
            )
        return [name for name in sets[chosen] if name != target]
    return [name.strip() for name in chosen.split(",") if name.strip()]


def _structures(places: Sequence[Path], frames: bool) -> Iterator[tuple[str, Atoms]]:
    for place in places:
        files = sorted(path for path in place.iterdir() if path.is_file()) if place.is_dir() else [place]
        if not files:
            raise FileNotFoundError(f"structures: folder {place} is empty")
        for path in files:
            if not path.is_file():
                raise FileNotFoundError(f"structures: {path}: no such file")
            try:
                found = ase.io.read(path, index=":" if frames else -1)
            except Exception as error:
                raise ValueError(f"structures: {path} cannot be read: {type(error).__name__}: {error}") from error
            images = found if isinstance(found, list) else [found]
            for number, atoms in enumerate(images):
                name = str(atoms.info.get("name", path.stem))
                yield (f"{name}#{number}" if frames and "name" not in atoms.info else name), atoms
