"""What `ionloop backtest` is asked for: a file of its own or a campaign's, options over it, and a table."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from agent.backtest import BacktestConfig
from agent.hosts import load_host
from agent.table import Direction, Table, cheap_columns
from flows.config import Config, parse_config


class TableRequest(BaseModel):
    """Which table, and what its columns are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: Path = Field(description="CSV of candidates with known labels.")
    target: str | None = Field(None, description="Column of the label; may be left out if there is only one.")
    features: list[str] | None = Field(None, description="Numeric columns; else compositions or structures.")
    host: str | None = Field(None, description="Host of a table of compositions.")
    cheap: str | None = Field(
        None, description="Column of a cheap fidelity known for all; several with commas, the most trusted first."
    )
    direction: Direction = Field("min", description="What is wanted.")

    @field_validator("features", mode="before")
    @classmethod
    def _words(cls, given: Any) -> Any:
        return [word.strip() for word in given.split(",")] if isinstance(given, str) else given


def read_request(path: Path | None, given: dict[str, Any]) -> tuple[TableRequest, BacktestConfig]:
    """Fields of a TOML file, and the command line's options (where they are not None) over them.

    A campaign's file gives its host, acquisition, batch, seed and kind of model, and its strategy stands beside
    random, stratified and one-shot sampling. A table named in the file lies beside it.

    Raises:
        ValueError: a field that is wrong, by name.
        FileNotFoundError: no such file.
    """
    fields = tomllib.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    if "campaign" in fields:
        fields = _of_campaign(parse_config(fields, str(path)))
    if path is not None and "table" in fields:
        fields["table"] = path.parent / fields["table"]
    fields |= {key: value for key, value in given.items() if value is not None}
    if "table" not in fields:
        raise ValueError("back-test: table: say which with --table labels.csv")
    of_table = {key: fields.pop(key) for key in TableRequest.model_fields if key in fields}
    try:
        return TableRequest.model_validate(of_table), BacktestConfig.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"back-test: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _of_campaign(config: Config) -> dict[str, Any]:
    rule = config.acquisition
    name = rule.strategy if rule.diversity == "none" else f"{rule.strategy}+{rule.diversity}"
    others = [other for other in ("random", "stratified", "one-shot") if other != rule.strategy]
    return {
        "strategies": [*others, name],
        "acquisition": rule.model_copy(update={"diversity": "none"}),
        "batch": config.campaign.batch,
        "initial": config.campaign.batch,
        "seed": config.campaign.seed,
        "surrogate": {"forest": "rf"}.get(config.model.kind, config.model.kind),
        "host": config.campaign.host,
    }


def read_table(asked: TableRequest) -> Table:
    """A table of plain features, of compositions of a host, or of structures.

    Raises:
        ValueError: a wrong column or value, by name.
        FileNotFoundError: no such file or host.
    """
    if not asked.table.is_file():
        raise FileNotFoundError(f"table {asked.table}: no such file")
    frame = pd.read_csv(asked.table)
    target = asked.target or _only_target(frame, asked)
    if asked.features is not None:
        return Table.read(asked.table, asked.features, target, asked.direction, asked.cheap)
    if "composition" in frame.columns:
        name = asked.host or str(frame["composition"].iloc[0]).partition(":")[0]
        return Table.of_compositions(load_host(name), frame, target, asked.cheap, asked.direction)
    if "structure" in frame.columns:
        from flows.backtesting import structure_table

        return structure_table(asked.table, frame, target, asked.cheap, asked.direction)
    raise ValueError(
        f"table {asked.table}: give --features a,b,c, or a column 'composition' with composition keys, or a column "
        "'structure' with files beside the table"
    )


def _only_target(frame: pd.DataFrame, asked: TableRequest) -> str:
    taken = {*(asked.features or []), *cheap_columns(asked.cheap), "ordering"}
    free = [str(name) for name in frame.columns if name not in taken and is_numeric_dtype(frame[name])]
    if len(free) != 1:
        raise ValueError(
            f"target: say which column of {asked.table} with --target: {', '.join(free) or 'none is a number'}"
        )
    return free[0]
