import csv

import ase.io
import pytest

from flows.export import export


@pytest.fixture(scope="module")
def exported(synthetic_view, tmp_path_factory):
    return export(synthetic_view, tmp_path_factory.mktemp("export"))


def rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_tables_hold_everything(exported, synthetic_view):
    labels = rows(exported.folder / "labels.csv")
    valued = [a for a in synthetic_view.acquisitions if a.value_eV is not None]
    assert [int(row["ledger_id"]) for row in labels] == [a.id for a in valued]
    assert {row["fidelity"] for row in labels} == {"bvse", "chgnet-neb"}
    assert [float(row["E_b_eV"]) for row in labels] == pytest.approx([a.value_eV for a in valued], abs=1e-6)
    assert len(rows(exported.folder / "acquisitions.csv")) == len(synthetic_view.acquisitions)
    ranking = rows(exported.folder / "ranking.csv")
    assert [int(row["rank"]) for row in ranking] == list(range(1, len(synthetic_view.ranking) + 1))
    assert {row["source"] for row in ranking} == {"label", "prediction"}


def test_structures_can_be_read_back(exported, synthetic_view):
    assert exported.structures == exported.paths == len(synthetic_view.at_target)
    assert not exported.unreadable
    best = synthetic_view.best[0]
    stem = f"0001_{best.formula}_id{best.id}"
    for suffix in ("cif", "vasp", "extxyz"):
        atoms = ase.io.read(exported.folder / "structures" / f"{stem}.{suffix}")
        assert atoms.get_chemical_formula() == "Cu4"
    images = ase.io.read(
        exported.folder / "paths" / f"0001_{best.formula}_id{best.id}_Na1-Na2_3-14-band.extxyz", index=":"
    )
    assert len(images) == 3
    assert images[1].get_potential_energy() != images[0].get_potential_energy()


def test_plots_and_report(exported):
    assert exported.report.is_file()
    assert all(path.is_file() for path in exported.plots)


def test_a_damaged_structure_is_named_and_the_rest_exported(synthetic_view, tmp_path):
    from agent.ledger import Ledger
    from flows.view import CampaignView
    from tests.flows.synthetic import Spec, fill

    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    fill(ledger, tmp_path, Spec(rounds=1, batch=3, failure_rate=0.0))
    view = CampaignView.load(ledger, "synthetic", tmp_path)
    broken = tmp_path / "labels" / view.at_target[0].label_key / "relaxed.extxyz"
    broken.write_text("4\nnonsense\nCu 0 0\n")
    done = export(view, tmp_path / "out")
    assert done.unreadable == (broken,)
    assert done.structures == len(view.at_target) - 1
    assert done.paths == len(view.at_target)


def test_every_edge_is_exported(edge_view, tmp_path):
    done = export(edge_view, tmp_path)
    assert all(table.is_file() for table in done.tables)
    assert done.report.is_file()


def test_a_second_export_leaves_no_old_ranks_and_no_stranger_behind(synthetic_view, tmp_path):
    (tmp_path / "structures").mkdir()
    for name in ("0099_Na3Zr2Si2PO12_id7.cif", "my-own.cif"):
        (tmp_path / "structures" / name).write_text("")
    export(synthetic_view, tmp_path)
    names = {path.name for path in (tmp_path / "structures").iterdir()}
    assert "0099_Na3Zr2Si2PO12_id7.cif" not in names
    assert "my-own.cif" in names
    assert len(names) == 1 + 3 * len(synthetic_view.at_target)
