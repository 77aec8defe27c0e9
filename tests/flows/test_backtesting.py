"""A back-test with the real network: the very loop of a campaign over a table of compositions."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase.build import bulk

from agent.backtest import BacktestConfig, run_backtest
from agent.hosts import load_host
from agent.space import build_space
from agent.table import Table
from flows.backtest_request import TableRequest, read_table
from flows.backtesting import CGformers, EnsembleSize, StructureCGformers, surrogate_factory

PARTLY_OCCUPIED = """data_x
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0.0 0.0 0.0 0.75
Cl1 Cl 0.5 0.5 0.5 1.0
"""


def small_table() -> Table:
    host = load_host("nzsp")
    keys = [c.key for c in build_space(host).compositions[::90]]
    values = np.random.default_rng(0).normal(1.0, 0.04, size=2 * len(keys))
    orderings = [0] * len(keys) + [1] * len(keys)
    frame = pd.DataFrame({"composition": keys * 2, "ordering": orderings, "E_eV": values})
    return Table.of_compositions(host, frame, "E_eV")


def test_cgformers_choose_from_a_table(tmp_path: Path) -> None:
    table = small_table()
    config = BacktestConfig(strategies=["lcb"], seeds=1, batch=3, initial=4, max_labels=7, surrogate="cgformer")
    order = run_backtest(table, config, tmp_path, CGformers(EnsembleSize(members=2, epochs=1)), workers=1).orders[
        "lcb"
    ][0]
    assert len(set(order.tolist())) == 7
    with pytest.raises(ValueError, match="the agent holds no network"):
        run_backtest(table, config, tmp_path, workers=1)


def test_a_network_needs_compositions() -> None:
    assert isinstance(surrogate_factory("cgformer", small_table()), CGformers)
    assert surrogate_factory("gp", small_table()) is None
    plain = Table(("a", "b"), np.eye(2), (np.ones(1), np.zeros(1)))
    with pytest.raises(ValueError, match="needs a table of compositions or structures: 'a' is no composition key"):
        surrogate_factory("cgformer", plain)


def write_structures(folder: Path, n: int = 8) -> Path:
    """A table of rock salts of different size, two labels of the first."""
    salts = [
        bulk(name, "rocksalt", a=4.0 + 0.1 * i) for i, name in enumerate(["LiF", "NaCl", "MgO", "KBr"] * (n // 4))
    ]
    ase.io.write(folder / "cells.extxyz", salts)
    names = [f"cells.extxyz@{i}" for i in range(n)]
    pd.DataFrame({"structure": [*names, names[0]], "E_eV": [*np.linspace(1.0, 0.2, n), 1.2]}).to_csv(
        folder / "table.csv", index=False
    )
    return folder / "table.csv"


def test_a_table_of_structures_for_the_process_and_for_the_network(tmp_path: Path) -> None:
    path = write_structures(tmp_path)
    table = read_table(TableRequest(table=path))
    assert len(table) == 8
    assert table.truth[table.ids.index("cells.extxyz@0")] == pytest.approx(1.1)
    config = BacktestConfig(strategies=["greedy"], seeds=1, batch=2, initial=3, max_labels=6, top=1)
    own = run_backtest(table, config, tmp_path / "gp", workers=1).orders["greedy"][0]
    network = config.model_copy(update={"surrogate": "cgformer"})
    factory = surrogate_factory("cgformer", table, tmp_path)
    assert isinstance(factory, StructureCGformers)
    small = StructureCGformers(factory.folder, EnsembleSize(members=2, epochs=1))
    order = run_backtest(table, network, tmp_path / "net", small, workers=1).orders["greedy"][0]
    assert len(set(own.tolist())) == len(set(order.tolist())) == 6
    assert own[:3].tolist() == order[:3].tolist()  # the same first round


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.cif", None, "line 2: structure: no such file: .*gone.cif"),
        ("bad.cif", "nothing", "line 2: structure: .*bad.cif cannot be read"),
        ("molecule.xyz", "1\n\nH 0 0 0\n", "line 2: cell: needs three lattice vectors"),
        ("partly.cif", PARTLY_OCCUPIED, "line 2: structure: .*partly.cif: site 0 is only partly occupied"),
    ],
)
def test_a_bad_structure_is_named_with_its_line(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    (tmp_path / "t.csv").write_text(f"structure,E\n{name},1.0\n")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_table(TableRequest(table=tmp_path / "t.csv"))
