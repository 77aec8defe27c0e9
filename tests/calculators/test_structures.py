from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from cells import copper_with_vacancy, nasicon_host

from calculators.structures import read_structure, split, vacancies_after


def test_split_takes_vacancies_out_and_keeps_names():
    host = nasicon_host()
    host.numbers[np.flatnonzero(host.symbols == "Na")[3]] = 0
    ordering = split(host, "Na")
    assert len(ordering.atoms) == 83
    assert len(ordering.mobile) == 15
    assert ordering.vacancies.shape == (1, 3)
    assert len(ordering.names) == 16
    assert set(ordering.names) == {"Na1", "Na2"}
    assert (ordering.atoms.symbols[ordering.mobile] == "Na").all()


@pytest.mark.parametrize(
    ("change", "ion", "message"),
    [
        (lambda atoms: None, "Xx", "no element"),
        (lambda atoms: None, "Li", "no Li in"),
        (
            lambda atoms: atoms.positions.__setitem__(4, atoms.positions[5] + 0.1),
            "Cu",
            "overlapping atoms: Cu 4",
        ),
        (lambda atoms: atoms.set_cell([1, 1, 1]), "Cu", "cell"),
        (lambda atoms: atoms.positions.__setitem__((4, 0), np.nan), "Cu", "finite"),
    ],
)
def test_senseless_input_is_one_clear_line(change, ion, message):
    atoms = copper_with_vacancy()
    change(atoms)
    with pytest.raises(ValueError, match=message) as caught:
        split(atoms, ion)
    assert "\n" not in str(caught.value)


def test_an_atom_on_a_vacant_site_is_an_overlap():
    atoms = copper_with_vacancy()
    atoms.positions[1] = atoms.positions[0]
    with pytest.raises(ValueError, match="overlapping"):
        split(atoms, "Cu")


def test_vacancies_follow_ions_that_change_site():
    ordering = split(copper_with_vacancy(), "Cu")
    relaxed = ordering.atoms.copy()
    home = relaxed.positions[0].copy()
    relaxed.positions[0] = ordering.vacancies[0] @ relaxed.cell.array + [0.1, 0, 0]
    relaxed.positions += 3.0 * relaxed.cell.array[0]  # a whole lattice vector changes nothing
    vacant, names, moved = vacancies_after(ordering, relaxed)
    assert moved == 1
    assert vacant @ relaxed.cell.array == pytest.approx(home[None])
    assert len(names) == 32


def test_unreadable_and_missing_files(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_structure(tmp_path / "none.cif")
    (tmp_path / "bad.cif").write_text("this is no cif")
    with pytest.raises(ValueError, match="cannot be read"):
        read_structure(tmp_path / "bad.cif")


def test_partly_occupied_sites_are_refused(tmp_path: Path):
    atoms = Atoms("NaCl", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[4, 4, 4], pbc=True)
    path = tmp_path / "partly.cif"
    atoms.write(path)
    path.write_text(path.read_text().replace("1.0000\n", "0.7500\n", 1).replace("0.0  1.0000", "0.0  0.7500"))
    text = path.read_text()
    lines = [line.replace("1.0000", "0.7500") if line.split()[:1] == ["Na"] else line for line in text.splitlines()]
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match="partly occupied"):
        read_structure(path)
