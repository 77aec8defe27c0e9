import csv
import json

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from models.cgformer import CGformerConfig
from models.commands import EvaluateOptions, TrainOptions, evaluate, predict, train
from models.ensemble import EnsembleConfig
from models.training import TrainConfig

CONFIG = EnsembleConfig(
    network=CGformerConfig(width=8, heads=2, head_width=8), train=TrainConfig(epochs=15, min_steps=0, batch_size=8)
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Rock salts of which a third of the sites is substituted; the target is the share of K."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    lines = []
    for number in range(24):
        atoms = bulk("NaCl", "rocksalt", a=5.6) * (2, 1, 1)
        atoms.numbers[rng.random(4) < 0.5] = 19
        atoms.positions += rng.normal(0, 0.05, (4, 3))
        ase.io.write(folder / f"s{number}.cif", atoms)
        lines.append(f"s{number},{(atoms.numbers == 19).mean()}")
    (folder / "id_prop.csv").write_text("\n".join(lines))
    return folder


def test_train_predict(data, tmp_path):
    told = []
    options = TrainOptions(data, tmp_path / "model", unit="1", members=2, folds=2, config=CONFIG)
    report = train(options, on_epoch=lambda epoch, total, loss: told.append((epoch, total)))
    assert report.labels == 24
    assert report.recalibrated.mae_mean > 0
    assert all(file.is_file() for file in report.files)
    assert len(report.files) == 3
    assert told == [(i, 90) for i in range(1, 91)]  # two folds and the final fit, two members of 15 epochs
    saved = json.loads((tmp_path / "model" / "report.json").read_text())
    assert saved["metrics"]["raw"]["n"] == 24

    found = predict(tmp_path / "model", [data], tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [name for name, _, _ in found]
    assert all(float(row["sigma"]) > 0 for row in rows)

    again = TrainOptions(data, tmp_path / "again", members=1, folds=0, config=CONFIG, start_from=tmp_path / "model")
    assert train(again).raw is None
    assert not {"parity.png"} & {path.name for path in (tmp_path / "again").iterdir()}


def test_one_value_everywhere_teaches_nothing(data, tmp_path):
    same = tmp_path / "same"
    same.mkdir()
    for number in range(4):
        (same / f"s{number}.cif").write_text((data / f"s{number}.cif").read_text())
    (same / "id_prop.csv").write_text("\n".join(f"s{number},0.5" for number in range(4)))
    with pytest.raises(ValueError, match=r"is 0.5 in every structure: nothing to learn"):
        train(TrainOptions(same, tmp_path / "model", config=CONFIG))
    assert not (tmp_path / "model").exists()


def test_predict_with_a_released_checkpoint(shared, data, tmp_path):
    path = shared / "reference" / "cgformer" / "model_best-finetune.pth.tar"
    found = predict(path, [data / "s0.cif"], tmp_path / "out.csv")
    assert np.isfinite(found[0][1])
    assert (tmp_path / "out.csv").read_text().splitlines()[1].endswith(",")
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        predict(tmp_path / "nothing.pth.tar", [data / "s0.cif"])
    with pytest.raises(FileNotFoundError, match="no model here"):
        predict(tmp_path, [data / "s0.cif"])


def test_evaluate_sets_models_side_by_side(data, tmp_path):
    told = []
    options = EvaluateOptions(
        data, tmp_path, models=("cgformer", "ensemble", "forest"), folds=2, members=2, train=CONFIG.train
    )
    report = evaluate(options, lambda *a: told.append(a))
    assert set(report.metrics) == {"mean", "cgformer", "ensemble", "forest"}
    assert len(told) == 6
    assert report.table.count("\n") == 8
    assert report.metrics["forest"].mae < report.metrics["mean"].mae
    assert (tmp_path / "predictions.csv").read_text().startswith("id,y,mean,cgformer")
    assert all(file.is_file() for file in report.files)
    with pytest.raises(ValueError, match=r"unknown models \['magic'\]; allowed are cgformer"):
        evaluate(EvaluateOptions(data, tmp_path, models=("magic",)))
    with pytest.raises(ValueError, match="24 labels in 30 folds"):
        evaluate(EvaluateOptions(data, tmp_path, folds=30))
