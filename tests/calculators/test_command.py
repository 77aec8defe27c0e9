import json

import ase.io
import pytest
from ase.build import bulk

from calculators.command import exit_code, label_path, label_structure, large_enough, with_site_names

FAST = {"images": 3, "hop_cutoff_A": 3.0, "relax": "atoms", "max_hops": 1}


def test_a_cif_without_vacancies_gets_one(tmp_path):
    ase.io.write(tmp_path / "cu.cif", bulk("Cu"))
    label = label_structure(tmp_path / "cu.cif", "Cu", "emt", tmp_path / "out", FAST)
    assert label.ok
    assert 0.6 < label.value_eV < 0.9
    assert "vacancy" in label.provenance["name"]
    assert json.loads((tmp_path / "out" / "label.json").read_text())["E_b_eV"] == label.value_eV
    assert exit_code(label) == 0


def test_own_end_points(tmp_path):
    full = bulk("Cu", cubic=True) * 2
    initial, final = full[1:], full[1:]
    final.positions[0] = full.positions[0] + full.cell.array[0]  # wrapped elsewhere
    ase.io.write(tmp_path / "a.extxyz", initial)
    ase.io.write(tmp_path / "b.extxyz", final)
    given = {"images": 3}
    label = label_path(tmp_path / "a.extxyz", tmp_path / "b.extxyz", "emt", tmp_path / "out", settings=given)
    assert label.ok
    assert 0.6 < label.value_eV < 0.9
    again = label_path(tmp_path / "a.extxyz", tmp_path / "b.extxyz", "emt", tmp_path / "out", settings=given)
    assert again == label
    band = ase.io.read(tmp_path / "out" / "band.extxyz", ":")
    for number, image in enumerate(band[1:-1]):
        ase.io.write(tmp_path / f"{number}.extxyz", image)
    files = [tmp_path / f"{number}.extxyz" for number in range(3)]
    from_band = label_path(tmp_path / "a.extxyz", tmp_path / "b.extxyz", "emt", tmp_path / "third", band=files)
    assert from_band.value_eV == pytest.approx(label.value_eV, abs=2e-3)
    assert from_band.force_calls < label.force_calls
    with pytest.raises(ValueError, match="--images says 5, but --band has 3 between the end points"):
        label_path(
            tmp_path / "a.extxyz", tmp_path / "b.extxyz", "emt", tmp_path / "x", band=files, settings={"images": 5}
        )


def test_a_hop_onto_an_occupied_site(tmp_path):
    full = bulk("Cu", cubic=True) * 2
    initial, final = full[1:], full[1:]
    final.positions[0] = initial.positions[5] + [0.1, 0, 0]
    ase.io.write(tmp_path / "a.extxyz", initial)
    ase.io.write(tmp_path / "b.extxyz", final)
    label = label_path(tmp_path / "a.extxyz", tmp_path / "b.extxyz", "emt", tmp_path / "out")
    assert not label.ok
    assert label.failure.reason.startswith("final state: overlapping atoms: Cu 0 and Cu 5 are 0.10 Å apart")
    assert exit_code(label) == 2


def test_messages_of_the_command(tmp_path):
    ase.io.write(tmp_path / "cu.cif", bulk("Cu", cubic=True))
    with pytest.raises(FileNotFoundError, match="no such file"):
        label_structure(tmp_path / "none.cif", "Na", "emt", tmp_path / "out")
    with pytest.raises(ValueError, match="no Na in"):
        label_structure(tmp_path / "cu.cif", "Na", "emt", tmp_path / "out")
    with pytest.raises(ValueError, match="gives no energies and forces"):
        label_path(tmp_path / "cu.cif", tmp_path / "cu.cif", "bvse", tmp_path / "out")


def test_what_cannot_be_read_or_written_is_said_before_anything_is_computed(tmp_path):
    ase.io.write(tmp_path / "cu.cif", bulk("Cu", cubic=True))
    (tmp_path / "junk.cif").write_text("no structure\n")
    with pytest.raises(
        ValueError, match=r"junk\.cif cannot be read as CIF, POSCAR or what else ASE knows \(\w+.*\w\)"
    ):
        label_structure(tmp_path / "junk.cif", "Cu", "emt", tmp_path / "out")
    for folder in (tmp_path / "junk.cif", tmp_path / "junk.cif" / "below"):
        with pytest.raises(ValueError, match=r"out: cannot write to .* \(.+\); choose another folder"):
            label_structure(tmp_path / "cu.cif", "Cu", "emt", folder)


def test_cells_are_repeated_and_sites_named():
    copper = bulk("Cu", cubic=True)
    assert len(large_enough(copper)) == 4 * 27
    assert large_enough(copper * 3).cell.lengths().min() == pytest.approx(3 * 3.61)
    names = with_site_names(bulk("NaCl", "rocksalt", a=5.6)).arrays["site"].tolist()
    assert names == ["Na1", "Cl1"]
