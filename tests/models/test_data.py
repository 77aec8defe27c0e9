import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from models.cache import build_graphs, content_key
from models.crystal import Crystal
from models.data import DataSet, read_dataset, read_structures
from models.stores import GraphStore


@pytest.fixture
def structures() -> list[Atoms]:
    return [bulk("NaCl", "rocksalt", a=a) for a in (5.5, 5.6, 5.7)]


def folder_of(tmp_path, structures, lines: str):
    folder = tmp_path / "data"
    folder.mkdir()
    for number, atoms in enumerate(structures):
        ase.io.write(folder / f"s{number}.cif", atoms)
    (folder / "id_prop.csv").write_text(lines)
    return folder


def test_the_three_layouts_read_alike(tmp_path, structures):
    folder = folder_of(tmp_path, structures, "s0,0.1\ns1,0.2\n\ns2,0.3\n")
    with ase.db.connect(tmp_path / "a.db") as database:
        for number, atoms in enumerate(structures):
            database.write(atoms, barrier=0.1 * (number + 1))
    for number, atoms in enumerate(structures):
        atoms.info["barrier"] = 0.1 * (number + 1)
    ase.io.write(tmp_path / "a.extxyz", structures)
    read = [read_dataset(path) for path in (folder, tmp_path / "a.db", tmp_path / "a.extxyz")]
    for data in read:
        np.testing.assert_allclose(data.y, [0.1, 0.2, 0.3])
        volumes = [atoms.get_volume() for atoms in data.structures]
        np.testing.assert_allclose(volumes, [atoms.get_volume() for atoms in structures], rtol=1e-4)
    assert read[0].ids == ["s0", "s1", "s2"]
    assert [data.target for data in read] == ["value", "barrier", "barrier"]


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        ("s0,0.1\ns0,0.2\n", ValueError, "ids must be unique; s0 occur"),
        ("s0,nan\ns1,0.2\n", ValueError, "targets must be finite numbers; those of s0"),
        ("s0,0.1\ns9,0.2\n", FileNotFoundError, "s9.cif: no such file"),
        ("s0;0.1\n", ValueError, "line 1: expected id,value"),
        ("id,barrier\n", ValueError, "line 1: expected id,value; got 'id,barrier'"),
        ("", ValueError, "the data set is empty"),
    ],
)
def test_bad_folders_are_refused_in_one_line(tmp_path, structures, lines, error, message):
    with pytest.raises(error, match=message):
        read_dataset(folder_of(tmp_path, structures, lines))


def test_the_target_must_be_named_if_there_are_several(tmp_path, structures):
    for atoms in structures:
        atoms.info.update(barrier=0.2, gap=1.0)
    del structures[1].info["gap"]
    structures[2].info["volume"] = 3.0
    ase.io.write(tmp_path / "a.xyz", structures, format="extxyz")
    assert read_dataset(tmp_path / "a.xyz").target == "barrier"
    with pytest.raises(ValueError, match=r"no number 'gap' in entries 1; all have \['barrier'\]"):
        read_dataset(tmp_path / "a.xyz", "gap")
    for atoms in structures:
        atoms.info["gap"] = 1.0
    ase.io.write(tmp_path / "a.xyz", structures, format="extxyz")
    with pytest.raises(ValueError, match=r"name the target; every entry has \['barrier', 'gap'\]"):
        read_dataset(tmp_path / "a.xyz")


def test_what_is_no_data_set_is_said(tmp_path, structures):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read_dataset(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="missing; a data folder holds"):
        read_dataset(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match="not a data set; expected a folder with CIFs"):
        read_dataset(tmp_path / "a.txt")
    (tmp_path / "bad.cif").write_text("nonsense")
    with pytest.raises(ValueError, match="cannot be read as a structure"):
        read_structures([tmp_path / "bad.cif"])
    with pytest.raises(ValueError, match="s: no elemental features for Db"):
        DataSet(["s"], [Atoms("Db", cell=[3] * 3)], np.array([0.1]), "value")


def test_a_partially_occupied_cif_is_refused(tmp_path):
    from pymatgen.core import Lattice, Structure

    shared = Structure(Lattice.cubic(4), [{"Zr": 0.5, "Ti": 0.5}, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    shared.to(filename=str(tmp_path / "mixed.cif"))
    with pytest.raises(ValueError, match="sites are partially occupied"):
        read_structures([tmp_path / "mixed.cif"])


def test_structures_of_all_kinds_and_folders(tmp_path, structures):
    ase.io.write(tmp_path / "POSCAR_a", structures[0], format="vasp")
    ase.io.write(tmp_path / "b.cif", structures[1])
    ase.io.write(tmp_path / "c.extxyz", structures)
    names, found = read_structures([tmp_path])
    assert names == ["POSCAR_a", "b", "c#0", "c#1", "c#2"]
    assert len(found) == 5
    with pytest.raises(ValueError, match="no CIF, POSCAR or extended XYZ"):
        read_structures([(tmp_path / "empty").mkdir() or tmp_path / "empty"])


def test_graphs_are_kept_by_content(tmp_path, structures, monkeypatch):
    first = build_graphs(structures, ["a", "b", "c"], cache=tmp_path)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3
    monkeypatch.setattr(Crystal, "from_atoms", lambda *a, **k: pytest.fail("built again"))
    again = build_graphs(structures, ["a", "b", "c"], cache=tmp_path)
    for one, other in zip(first, again, strict=True):
        for name in ("numbers", "bonds", "lengths", "vectors", "pairs", "distances", "nearest"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    moved = structures[0].copy()
    moved.positions[0, 0] += 1e-6
    assert content_key(moved, True) != content_key(structures[0], True) != content_key(structures[0], False)


def test_several_processes_build_the_same(structures):
    alone, together = GraphStore(structures), GraphStore(structures, processes=2)
    for one, other in zip(alone.crystals, together.crystals, strict=True):
        np.testing.assert_array_equal(one.lengths, other.lengths)


def test_marked_sites_are_read_from_xyz_and_databases(tmp_path, structures):
    marked = [atoms.copy() for atoms in structures[:2]]
    with ase.db.connect(tmp_path / "set.db") as database:
        for number, atoms in enumerate(marked):
            atoms.set_array("focus", np.arange(len(atoms)) == 1)
            atoms.info = {"E": 0.1 * number}
            database.write(atoms, E=0.1 * number, data={"focus": atoms.arrays["focus"].astype(int)})
    ase.io.write(tmp_path / "set.extxyz", marked)
    for path in (tmp_path / "set.extxyz", tmp_path / "set.db"):
        for crystal in GraphStore(read_dataset(path).structures).crystals:
            assert np.flatnonzero(crystal.marked).tolist() == [1]
    first = content_key(marked[0], True)
    marked[0].arrays["focus"][:] = False
    assert content_key(marked[0], True) != first
