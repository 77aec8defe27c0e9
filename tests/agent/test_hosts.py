"""Hosts: geometry, charge and counts of what ships; clear errors for what a person writes."""

import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from agent.composition import Composition
from agent.hosts import load_host, shipped_hosts


def nearest(atoms, first: str, second: str, key: str = "site") -> list[float]:
    """Sorted distinct distances (Å, to 0.01) under 4 Å from sites `first` to `second`."""
    i, j, d = neighbor_list("ijd", atoms, 4.0)
    names = atoms.arrays[key]
    return sorted({round(x, 2) for a, b, x in zip(i, j, d, strict=True) if names[a] == first and names[b] == second})


def test_the_papers_hosts_ship():
    assert shipped_hosts() == ["lzsp", "nvpf", "nzsp", "nzsp-c2c"]


@pytest.mark.parametrize(
    ("name", "sites", "formula"),
    [
        ("nzsp", 84, "Na3Zr2Si2PO12"),
        ("nzsp-c2c", 84, "Na3Zr2Si2PO12"),
        ("lzsp", 168, "Li3Zr2Si2PO12"),
        ("nvpf", 76, "Na3V2P2O8F3"),
    ],
)
def test_undoped_host_is_neutral_with_its_own_mobile_content(name, sites, formula):
    host = load_host(name)
    assert len(host.sites()) == sites
    undoped = Composition.of(host, {})
    assert undoped.formula(host) == formula
    assert undoped.mobile_per_formula(host) == host.mobile_per_formula
    charge = host.framework_charge_e + undoped.charge_e + undoped.mobile * host.charges_e[host.mobile]
    assert charge == 0


def test_nzsp_has_the_published_bond_lengths():
    atoms = load_host("nzsp").sites()
    assert nearest(atoms, "T", "O1")[0] == pytest.approx(1.53, abs=0.011)
    assert nearest(atoms, "T", "O2")[0] == pytest.approx(1.56, abs=0.011)
    zirconium = nearest(atoms, "Zr", "O1")[:1] + nearest(atoms, "Zr", "O2")[:1]
    assert sorted(zirconium) == pytest.approx([2.06, 2.08], abs=0.011)
    assert nearest(atoms, "Na1", "O2")[0] == pytest.approx(2.53, abs=0.011)
    assert nearest(atoms, "Na1", "Na2")[0] == pytest.approx(3.39, abs=0.011)


def test_nzsp_na_network_is_six_na2_around_na1_and_two_na1_around_na2():
    atoms = load_host("nzsp").sites()
    i, j = neighbor_list("ij", atoms, 3.6)
    site = atoms.arrays["site"]
    for own, other, expected in (("Na1", "Na2", 6), ("Na2", "Na1", 2)):
        for atom in np.flatnonzero(site == own):
            assert int(((i == atom) & (site[j] == other)).sum()) == expected


def test_nzsp_cell_is_the_most_compact_one_of_two_primitive_cells():
    cell = load_host("nzsp").sites().cell
    assert sorted(cell.lengths()) == pytest.approx([8.81, 9.13, 12.69], abs=0.01)
    assert cell.volume == pytest.approx(2 / 6 * 8.81**2 * 22.75 * np.sqrt(3) / 2 * 2, rel=1e-6)


def test_lzsp_cell_is_nearly_cubic():
    cell = load_host("lzsp").sites().cell
    assert cell.lengths().max() - cell.lengths().min() < 0.01
    assert np.abs(cell.angles() - 90).max() < 2.5


def test_no_two_atoms_of_the_framework_are_too_close():
    for name in shipped_hosts():
        atoms = load_host(name).sites()
        framework = atoms[atoms.arrays["sublattice"] != "mobile"]
        assert neighbor_list("d", framework, 1.45).size == 0


def test_nvpf_octahedra_and_tetrahedra():
    atoms = load_host("nvpf").sites()
    i, _ = neighbor_list("ij", atoms, {("V", "O"): 2.2, ("V", "F"): 2.2, ("P", "O"): 1.7})
    coordination = np.bincount(i, minlength=len(atoms))
    assert set(coordination[atoms.symbols == "V"]) == {6}
    assert set(coordination[atoms.symbols == "P"]) == {4}


def test_c2c_is_the_rhombohedral_network_in_a_monoclinic_metric():
    atoms = load_host("nzsp-c2c").sites()
    assert atoms.cell.lengths() == pytest.approx([15.586, 9.029, 9.205])
    i, _ = neighbor_list("ij", atoms, {("Zr", "O"): 2.5, ("Si", "O"): 2.0, ("P", "O"): 2.0})
    coordination = np.bincount(i, minlength=len(atoms))
    assert set(coordination[atoms.symbols == "Zr"]) == {6}
    assert set(coordination[np.isin(atoms.symbols, ["Si", "P"])]) == {4}


def test_sites_is_a_fresh_copy_with_the_arrays_of_the_contract():
    host = load_host("nzsp")
    first = host.sites()
    first.numbers[:] = 1
    second = host.sites()
    assert second.get_chemical_formula() == "Na16O48P4Si8Zr8"
    assert set(second.arrays["sublattice"]) == {"mobile", "substituted", "framework"}
    assert set(second.arrays["site"]) == {"Na1", "Na2", "Zr", "T", "O1", "O2"}


def test_unknown_host_lists_those_that_ship():
    with pytest.raises(FileNotFoundError, match="nvpf, nzsp"):
        load_host("nzspp")


def test_a_host_may_be_json(tmp_path):
    import json
    import tomllib
    from importlib import resources

    fields = tomllib.loads(resources.files("agent").joinpath("data/hosts/nzsp.toml").read_text())
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(fields))
    assert load_host(path) == load_host("nzsp")
    path.write_text("{")
    with pytest.raises(ValueError, match=r"mine\.json: not valid JSON"):
        load_host(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('spacegroup = "R-3c"', 'spacegroup = ""', "spacegroup: .* is no Hermann-Mauguin symbol"),
        ("species = { Zr = 8 }", "species = { Zr = 7 }", "species fill 7 sites, but the cell has 8"),
        ("species = { Zr = 8 }", "species = { Xx = 8 }", "'Xx' is not an element"),
        ("formula_units = 4", "formula_units = 0", "formula_units"),
        ('mobile = "Na"', 'mobile = "Li"', "mobile sublattice must hold exactly Li"),
        ("cell_divisor = 3", "cell_divisors = 3", "cell_divisors"),
        ("formula_units = 4", "formula_units 4", "not valid TOML"),
    ],
)
def test_a_wrong_host_file_is_one_clear_line(tmp_path, old, new, message):
    from importlib import resources

    text = resources.files("agent").joinpath("data/hosts/nzsp.toml").read_text()
    assert old in text
    path = tmp_path / "host.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message):
        load_host(path).sites()
