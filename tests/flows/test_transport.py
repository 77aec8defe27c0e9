"""`ionloop features` and `ionloop transport` from files to figures."""

from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.errors import UserError
from flows.transport import model_transport
from tests.models.test_structural_features import nasicon, without


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


def test_structures_become_features_and_features_a_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "structures"
    folder.mkdir()
    scales = rng.uniform(0.97, 1.03, 14)
    for i, scale in enumerate(scales):
        atoms = nasicon(0.03, seed=i)
        atoms.set_cell(atoms.cell * scale, scale_atoms=True)
        ase.io.write(folder / f"s{i:02d}.extxyz", atoms)
    ase.io.write(folder / "s99.extxyz", without("P"))
    out = tmp_path / "features.csv"
    done = CliRunner().invoke(app, ["features", str(folder), "--mobile", "Na", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "left out s99" in done.output
    table = pd.read_csv(out)
    assert len(table) == 14

    table["msd_A2"] = 100 * scales
    table.to_csv(out, index=False)
    arguments = ["transport", str(out), "--target", "msd_A2", "--unit", "Å²", "--folds", "4"]
    result = CliRunner().invoke(app, [*arguments, "--orderings", str(out), "--out", str(tmp_path / "model")])
    assert result.exit_code == 0, result.output
    assert "mean" in result.output
    errors = pd.read_csv(tmp_path / "model" / "errors.csv").set_index("model")
    assert errors.MAE["gradient-boosting"] < errors.MAE["mean"]
    importances = pd.read_csv(tmp_path / "model" / "importances.csv")
    assert importances.feature[0] in {
        "volume_A3_per_formula",
        "a_A",
        "b_A",
        "c_A",
        "M-O_A",
        "P-O_A",
        "Si-O_A",
        "Na-O_A",
    }
    for name in ("parity.png", "importances-random-forest.png", "orderings.png", "stability.csv"):
        assert (tmp_path / "model" / name).stat().st_size > 100

    assert "no column of numbers" in refused(*arguments[:-2], "--columns", "msd_A2")
    assert "column nothing missing" in refused("transport", str(out), "--target", "nothing")
    assert "20 folds of 14 rows" in refused(*arguments[:-1], "20")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    out = str(tmp_path / "out.csv")
    assert "no such file" in refused("features", str(tmp_path / "none.cif"), "--out", out)
    (tmp_path / "empty").mkdir()
    assert "is empty" in refused("features", str(tmp_path / "empty"), "--out", out)
    (tmp_path / "bad.cif").write_text("nothing")
    assert "bad.cif cannot be read" in refused("features", str(tmp_path / "bad.cif"), "--out", out)
    ase.io.write(tmp_path / "one.extxyz", nasicon())
    assert "no mobile ion Li" in refused("features", str(tmp_path / "one.extxyz"), "--out", out)
    assert "'Qq' is no element" in refused("features", str(tmp_path / "one.extxyz"), "--out", out, "--mobile", "Qq")
    assert "no such file" in refused("transport", str(tmp_path / "none.csv"), "--target", "x")


@pytest.mark.parametrize("ion", ["Na"])
def test_frames_of_a_trajectory_are_rows(tmp_path: Path, ion: str) -> None:
    ase.io.write(tmp_path / "md.extxyz", [nasicon(0.02, seed) for seed in range(3)])
    out = tmp_path / "f.csv"
    command = ["features", str(tmp_path / "md.extxyz"), "--mobile", ion, "--out", str(out), "--frames"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert list(pd.read_csv(out).id) == ["md#0", "md#1", "md#2"]


def test_features_that_know_nothing_of_the_target_get_the_verdict_that_they_do_not() -> None:
    rng = np.random.default_rng(3)
    table = pd.DataFrame(rng.normal(size=(40, 3)), columns=["a_A", "b_A", "E_b_eV"])
    report = model_transport(table, "E_b_eV", "a_A,b_A", importance="permutation")
    assert "no model is better than the mean" in next(iter(report.verdicts()))
