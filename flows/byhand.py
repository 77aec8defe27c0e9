"""What a person brings: labels found elsewhere, tables to back-test on."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from agent.hosts import load_host
from agent.ledger import Ledger, LedgerError
from calculators.label import Label

if TYPE_CHECKING:
    from agent.backtest import BacktestConfig
    from agent.table import Table


def add_label(
    ledger: Ledger,
    campaign: str,
    composition: str,
    formula: str,
    ordering: int,
    value_eV: float,
    source: str,
    who: str,
) -> None:
    """A barrier at the target fidelity, part of the campaign's newest round; its provenance names source and person.

    Raises:
        LedgerError: no such campaign, or none of its rounds has begun.
    """
    row, rounds = ledger.campaign(campaign), ledger.rounds(campaign)
    if row is None or not rounds:
        raise LedgerError(
            f"campaign {campaign}: nothing has been proposed yet, so there is nothing to add a label to"
        )
    content = f"by hand|{composition}|{ordering}|{row.target_fidelity}|{value_eV}|{source}"
    label = Label(
        key=hashlib.sha256(content.encode()).hexdigest()[:32],
        fidelity=row.target_fidelity,
        value_eV=value_eV,
        converged=True,
        provenance={"source": source, "added_by": who},
    )
    ledger.add_by_hand(campaign, rounds[-1].number, label, composition, formula, ordering, who)


def backtest_config(path: Path | None, given: dict[str, Any]) -> BacktestConfig:
    """Fields of a TOML file, and the command line's options over them.

    Raises:
        ValueError: a field that is wrong, by name.
        FileNotFoundError: no such file.
    """
    from pydantic import ValidationError

    from agent.backtest import BacktestConfig

    fields = tomllib.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    try:
        return BacktestConfig.model_validate(
            fields | {key: value for key, value in given.items() if value is not None}
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"back-test: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def backtest_table(
    path: Path, target: str, features: str | None, host: str | None, cheap: str | None, direction: str
) -> Table:
    """A table of plain features, of compositions of a host, or of structures.

    Raises:
        ValueError: a wrong column or value, by name.
        FileNotFoundError: no such file or host.
    """
    from agent.table import Table

    if direction not in ("min", "max"):
        raise ValueError(f"direction is {direction!r}; allowed: min, max")
    wanted: Any = direction
    if features is not None:
        columns = [column.strip() for column in features.split(",")]
        return Table.read(path, columns, target, wanted, cheap)
    if not path.is_file():
        raise FileNotFoundError(f"table {path}: no such file")
    frame = pd.read_csv(path)
    if "structure" in frame.columns and "composition" not in frame.columns:
        from flows.backtesting import structure_table

        return structure_table(path, frame, target, cheap, wanted)
    if "composition" not in frame.columns:
        raise ValueError(
            f"table {path}: give --features a,b,c, or a column 'composition' with composition keys, or a column "
            "'structure' with files beside the table"
        )
    name = host or str(frame["composition"].iloc[0]).partition(":")[0]
    return Table.of_compositions(load_host(name), frame, target, cheap, wanted)
