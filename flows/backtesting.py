"""What a back-test may not know of itself: the network as its surrogate, and tables of structures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ase import Atoms

from agent.backtest import SurrogateFactory
from agent.composition import Composition
from agent.hosts import load_host
from agent.ordering import draw_numbers
from agent.surrogates import GaussianProcess
from agent.table import Direction, Table
from calculators.structures import check_cell, read_structure, structure_file


@dataclass(frozen=True)
class EnsembleSize:
    """How large an ensemble a back-test trains and how long; a campaign's is larger, see `models.ensemble`.

    Attributes:
        width: of the networks' nodes.
        epochs, min_steps, batch_size: see `models.training.TrainConfig`.
    """

    members: int = 3
    width: int = 64
    epochs: int = 30
    min_steps: int = 200
    batch_size: int = 16


@dataclass(frozen=True)
class CGformers:
    """Makes a small CGformer ensemble over the orderings of a table of compositions.

    Replicate k of a composition must be its ordering k, drawn with seed 0.
    """

    size: EnsembleSize = EnsembleSize()

    def __call__(self, table: Table, seed: int) -> Any:
        return _over_process(table, _host_graphs(tuple(table.ids), table.replicates), self.size, seed)


@lru_cache(maxsize=1)  # the same for all runs that a process makes
def _host_graphs(keys: tuple[str, ...], replicates: int) -> Any:
    from models.stores import HostGraphs

    compositions = [Composition.from_key(key) for key in keys]
    host = load_host(compositions[0].host)
    orderings = [draw_numbers(host, compositions, index) for index in range(replicates)]
    numbers = np.stack(orderings, axis=1).reshape(len(compositions) * replicates, -1)
    return HostGraphs(host.sites(), numbers)


@dataclass(frozen=True)
class StructureCGformers:
    """The same over a table of structures, whose ids are files in `folder`."""

    folder: Path
    size: EnsembleSize = EnsembleSize()

    def __call__(self, table: Table, seed: int) -> Any:
        from models.stores import GraphStore

        names = [name for name in table.ids for _ in range(table.replicates)]
        store = GraphStore([_read(self.folder / name) for name in names], names)
        return _over_process(table, store, self.size, seed)


def _over_process(table: Table, store: Any, size: EnsembleSize, seed: int) -> Any:
    """What `model.kind = "cgformer"` of a campaign is: an ensemble on what the process leaves over."""
    from models.cgformer import CGformerConfig
    from models.delta import Delta
    from models.ensemble import CGformerEnsemble, EnsembleConfig
    from models.training import TrainConfig

    rows = np.repeat(table.features, table.replicates, axis=0)
    network = replace(CGformerConfig.for_store(store), width=size.width)
    train = TrainConfig(epochs=size.epochs, min_steps=size.min_steps, batch_size=size.batch_size)
    networks = CGformerEnsemble(store, EnsembleConfig(network, train), size.members, seed)
    return Delta(GaussianProcess(rows, seed), networks, seed=seed, group_size=table.replicates)


def surrogate_factory(name: str, table: Table, folder: Path | None = None) -> SurrogateFactory | None:
    """The factory of a surrogate that the agent does not have; None for its own.

    Args:
        folder: where the files of a table of structures are.

    Raises:
        ValueError: a network is asked for, and the table's candidates are neither compositions nor structures.
    """
    if name != "cgformer":
        return None
    if folder is not None and all(structure_file(folder / identity).is_file() for identity in table.ids):
        return StructureCGformers(folder.absolute())
    try:
        for key in table.ids:
            Composition.from_key(key)
    except ValueError as error:
        raise ValueError(f"surrogate cgformer needs a table of compositions or structures: {error}") from error
    return CGformers()


def structure_table(
    path: Path, frame: pd.DataFrame, target: str, cheap: str | None = None, direction: Direction = "min"
) -> Table:
    """A table with a column "structure": files that ASE reads, beside the table; "cells.extxyz@3" is frame 3 of one.

    Rows of the same structure are replicates. Features, for gp and rf, are Magpie's statistics of the elements (Ward
    et al., npj Comput. Mater. 2, 16028 (2016)) and the volume per atom; the network sees the structures themselves.

    Raises:
        FileNotFoundError: a structure that is not there, with its line.
        ValueError: a file that ASE cannot read, sites that are only partly occupied, or a wrong column.
    """
    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core import Composition as Formula

    magpie = ElementProperty.from_preset("magpie", impute_nan=True)
    rows: dict[str, list[float]] = {}
    for line, name in enumerate(frame["structure"].astype(str), start=2):
        if name in rows:
            continue
        try:
            atoms = _read(path.parent / name)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"table {path}, line {line}: {error}") from error
        except ValueError as error:
            raise ValueError(f"table {path}, line {line}: {error}") from error
        rows[name] = [*magpie.featurize(Formula(str(atoms.symbols))), atoms.get_volume() / len(atoms)]
    features = [*magpie.feature_labels(), "volume per atom"]
    described = pd.DataFrame([rows[name] for name in frame["structure"].astype(str)], columns=features)
    whole = pd.concat([frame.reset_index(drop=True), described], axis=1)
    return Table.of_frame(whole, features, target, direction, cheap, "structure", f"table {path}")


def _read(path: Path) -> Atoms:
    """A structure with a cell; raises as `read_structure` and `check_cell` do."""
    atoms = read_structure(path)
    check_cell(atoms)
    return atoms
