"""`ionloop train`, `predict` and `evaluate` as a person types them, on data of a dozen small crystals."""

from __future__ import annotations

import csv
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase.build import bulk

from tests.flows.test_cli import here, ionloop, refused


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFs with id_prop.csv in data/; the same as data.extxyz and data.db. The target is the share of potassium."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "data").mkdir()
    rng = np.random.default_rng(0)
    frames, lines = [], []
    with ase.db.connect(folder / "data.db") as database:
        for number in range(12):
            atoms = bulk("NaCl", "rocksalt", a=5.6) * (2, 1, 1)
            atoms.numbers[rng.random(4) < 0.5] = 19
            atoms.positions += rng.normal(0, 0.05, (4, 3))
            share = float((atoms.numbers == 19).mean())
            ase.io.write(folder / "data" / f"s{number}.cif", atoms)
            lines.append(f"s{number},{share}")
            atoms.info = {"share": share}
            frames.append(atoms)
            database.write(atoms, share=share)
    (folder / "data" / "id_prop.csv").write_text("\n".join(lines))
    ase.io.write(folder / "data.extxyz", frames)
    return folder


def test_train_then_predict(folder: Path) -> None:
    done = ionloop("train", "data", "--out", "model", "--members", "2", "--folds", "2", "--epochs", "2", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "12 labels; wrote model" in done.stdout
    assert "mean predictor" in done.stdout
    assert {"weights.safetensors", "model.json", "loss.png", "parity.png"} <= {
        file.name for file in (folder / "model").iterdir()
    }
    asked = ("data/s0.cif", "data.extxyz", "data")
    done = here("predict", "model", *asked, "--out", "found.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    with (folder / "found.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "mean", "sigma"]
    assert len(rows) == 1 + 12 + 12
    assert all(np.isfinite(float(row["mean"])) and float(row["sigma"]) > 0 for row in rows)


@pytest.mark.parametrize("data", ["data", "data.extxyz", "data.db"])
def test_evaluate_reads_every_kind_of_data(data: str, folder: Path, tmp_path: Path) -> None:
    models = ("--models", "forest,gp", "--folds", "3")
    done = here("evaluate", str(folder / data), "--out", str(tmp_path / "out"), *models, cwd=folder)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "out" / "table.md").read_text()
    assert all(f"| {name} |" in table for name in ("mean", "forest", "gp"))
    assert table.splitlines()[-1].startswith("| mean |")  # both do better on so simple a target
    assert (tmp_path / "out" / "models.png").is_file()


def test_what_cannot_be_done_is_one_line(folder: Path, tmp_path: Path) -> None:
    refused(here("evaluate", "data", "--models", "magic", cwd=folder), "magic", "cgformer", "gp")
    refused(here("evaluate", "data", "--folds", "13", cwd=folder), "12 labels in 13 folds")
    refused(here("train", "nowhere", "--out", "m", cwd=folder), "nowhere", "id_prop.csv")
    refused(here("predict", "nowhere", "data/s0.cif", "--out", "f.csv", cwd=folder), "nowhere")
    refused(here("predict", "data", "data/s0.cif", "--out", "f.csv", cwd=folder), "no model here")
    (tmp_path / "id_prop.csv").write_text("s0,0.1\ns0,0.2\n")
    refused(here("train", str(tmp_path), "--out", "m", cwd=folder), "unique", "s0")
