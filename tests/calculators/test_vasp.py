"""VASP's inputs field by field, and both ways to a barrier through the stand-in executable (no VASP here)."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from cells import copper_with_vacancy, nasicon_ordering

from calculators import registry, vasp, vasp_neb
from calculators.barrier import BarrierRun
from calculators.failures import CalculationFailed
from calculators.frames import label_frames, read_frames
from calculators.label import FailureKind, Structure, Work
from calculators.neb import interpolated
from calculators.pipeline import label_key, label_work
from calculators.relax import relax
from calculators.storage import write_images

STAND_IN = Path(__file__).with_name("vasp_standin.py")


def potcar(name: str) -> str:
    """The header that parsers look for, and no potential."""
    lines = [
        f"  PAW_PBE {name} 01Jan2000",
        "   11.0",
        " parameters from PSCTR are:",
        f"   VRHFIN ={name.split('_')[0]}:",
        "   LEXCH  = PE",
        f"   TITEL  = PAW_PBE {name} 01Jan2000",
        "   POMASS =   10.000; ZVAL   =   11.000    mass and valenz",
        "   ENMAX  =  300.000; ENMIN  =  225.000 eV",
        "END of PSCTR-controll parameters",
        " local part",
        "  0.1000000E+01  0.2000000E+01  0.3000000E+01",
        " End of Dataset",
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def standin(tmp_path, monkeypatch) -> Path:
    """A machine with a stand-in for VASP and empty POTCAR files."""
    pytest.importorskip("custodian")
    root = tmp_path / "pseudopotentials" / "potpaw_PBE"
    from pymatgen.io.vasp.sets import MPRelaxSet

    for symbol in ("Cu", "Na", "Zr", "Si", "P", "O", "V"):
        for name in {symbol, MPRelaxSet.CONFIG["POTCAR"][symbol]}:
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name / "POTCAR").write_text(potcar(name))
    command = tmp_path / "vasp_std"
    command.write_text(f"#!/bin/sh\nexec {sys.executable} {STAND_IN}\n")
    command.chmod(0o755)
    monkeypatch.setenv("VASP_PP_PATH", str(root.parent))
    monkeypatch.setenv("ASE_VASP_COMMAND", str(command))
    root = str(Path(__file__).resolve().parents[2])
    monkeypatch.setenv("PYTHONPATH", f"{root}:{STAND_IN.parent}")
    return tmp_path


def copper(calculator: str, **settings) -> Work:
    given = {"images": 3, "hop_cutoff_A": 3.0, "relax": "none", "endpoint_fmax_eV_per_A": 0.3, "fmax_eV_per_A": 0.3}
    structure = Structure.from_atoms(copper_with_vacancy())
    return Work(structure=structure, ion="Cu", calculator=calculator, settings=given | settings)


def end_points() -> tuple[Atoms, Atoms]:
    full = bulk("Cu", cubic=True) * 2
    initial, final = full[1:], full[1:]
    final.positions[0] = full.positions[0]
    states = [relax(atoms, EMT(), fmax_eV_per_A=0.05, steps=50).atoms for atoms in (initial, final)]
    return states[0], states[1]


# -- inputs ----------------------------------------------------------------------------------------------------


def test_the_cgformer_preset_is_what_the_paper_states():
    """Tao et al.: PBE, PAW, DFT-D3, 520 eV, 1e-5 eV, 0.01 eV/Å."""
    atoms = nasicon_ordering()
    incar = vasp.incar_of(atoms[atoms.numbers != 0], "cgformer")
    assert (incar["GGA"], incar["ENCUT"], incar["EDIFF"], incar["EDIFFG"]) == ("PE", 520, 1e-5, -0.01)
    assert incar["IVDW"] in (11, 12)


@pytest.mark.parametrize("calculator", ["vasp", "vasp-native"])
def test_relaxations_and_band_meet_the_papers_force_criterion(calculator):
    """0.01 eV/Å also where ASE moves the atoms, and not only in an INCAR that it overrules."""
    labeller = registry.find(calculator)
    names = ("relax_fmax_eV_per_A", "endpoint_fmax_eV_per_A", "fmax_eV_per_A")
    settings = labeller.settings({})
    assert [settings[name] for name in names] == [0.01] * 3
    assert labeller.settings(settings) == settings
    assert [labeller.settings({"preset": "quick"})[name] for name in names] == [0.1] * 3
    assert labeller.settings({"fmax_eV_per_A": 0.05})["fmax_eV_per_A"] == 0.05


def test_the_other_presets_are_what_the_papers_state():
    """Fu et al.: spin, 1e-5 eV, 0.01 eV/Å. Shim et al.: spin, 550 eV, 1x1x1 Monkhorst-Pack, 1e-6 eV, 0.01 eV/Å."""
    lzsp, nvpf = vasp.PRESETS["lzsp"], vasp.PRESETS["nvpf"]
    assert (lzsp.incar["ISPIN"], lzsp.incar["EDIFF"], lzsp.incar["EDIFFG"], lzsp.gamma) == (2, 1e-5, -0.01, True)
    assert (nvpf.incar["ISPIN"], nvpf.incar["ENCUT"], nvpf.incar["EDIFF"]) == (2, 550, 1e-6)
    assert (nvpf.incar["EDIFFG"], nvpf.k_mesh, nvpf.gamma) == (-0.01, (1, 1, 1), False)


def test_moments_and_u_are_the_materials_projects():
    oxide = Atoms("VONaO2", positions=np.diag([0, 2, 4, 6, 8.0]) @ np.ones((5, 3)), cell=[12] * 3, pbc=True)
    incar = vasp.incar_of(oxide, "nvpf")
    assert incar["MAGMOM"] == [5, 0.6, 0.6, 0.6, 0.6]
    arguments = vasp.ase_arguments(oxide, "nvpf")
    assert arguments["magmom"] == incar["MAGMOM"]
    assert arguments["ldau_luj"]["V"]["U"] == 3.25  # Materials Project, V in oxides
    assert arguments["ldau_luj"]["O"]["U"] == 0
    metal = vasp.ase_arguments(bulk("V"), "nvpf")
    assert "ldau_luj" not in metal


def test_what_is_missing_is_said_up_front(monkeypatch, tmp_path):
    monkeypatch.delenv("VASP_PP_PATH", raising=False)
    assert "VASP_PP_PATH" in vasp.missing()
    monkeypatch.setenv("VASP_PP_PATH", str(tmp_path))
    assert "holds no potpaw_PBE" in vasp.missing()
    (tmp_path / "potpaw_PBE").mkdir()
    monkeypatch.delenv("ASE_VASP_COMMAND", raising=False)
    assert "ASE_VASP_COMMAND" in vasp.missing()
    monkeypatch.setenv("ASE_VASP_COMMAND", "mpirun_nowhere vasp_std")
    assert "mpirun_nowhere" in vasp.missing()
    label = label_work(copper("vasp"), tmp_path / "label")
    assert label.failure.kind is FailureKind.TRANSIENT
    assert "mpirun_nowhere" in label.failure.reason
    with pytest.raises(ValueError, match="preset 'pbesol' is unknown; allowed: cgformer"):
        label_key(copper("vasp", options={"preset": "pbesol"}))


def test_native_inputs_are_vtsts(standin):
    from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar

    ordering = nasicon_ordering()
    atoms = ordering[ordering.numbers != 0]
    final = atoms.copy()
    final.positions[0] += [1.5, 0, 0]
    images = [atoms, atoms.copy(), atoms.copy(), final]
    vasp_neb.write_inputs(standin / "neb", images)
    incar = Incar.from_file(standin / "neb" / "INCAR")
    wanted = {"IMAGES": 2, "SPRING": -5, "LCLIMB": True, "ICHAIN": 0, "IBRION": 3, "POTIM": 0, "IOPT": 1, "ISIF": 2}
    assert {tag: incar[tag] for tag in wanted} == wanted
    assert incar["ENCUT"] == 520
    assert sorted(path.name for path in (standin / "neb").glob("0?")) == ["00", "01", "02", "03"]
    assert Kpoints.from_file(standin / "neb" / "KPOINTS").kpts == [(1, 1, 1)]
    poscar = Poscar.from_file(standin / "neb" / "03" / "POSCAR").structure
    assert poscar.formula == Poscar.from_file(standin / "neb" / "00" / "POSCAR").structure.formula
    potcar = (standin / "neb" / "POTCAR").read_text()
    symbols = list(dict.fromkeys(str(site.specie) for site in poscar))
    assert [line.split()[1].split("_")[0] for line in potcar.splitlines() if line.startswith("  PAW_PBE")] == symbols


# -- the stand-in ----------------------------------------------------------------------------------------------


def test_a_single_run_gives_back_energy_forces_and_order(standin):
    atoms = Atoms("CuAuCu2", positions=[[0, 0, 0], [2, 2, 0], [2, 0, 2], [0, 2, 2.1]], cell=[4, 4, 4], pbc=True)
    gold = standin / "pseudopotentials" / "potpaw_PBE" / "Au"
    gold.mkdir()
    (gold / "POTCAR").write_text(potcar("Au"))
    atoms.calc = vasp.make_vasp(standin / "run")
    reference = atoms.copy()
    reference.calc = EMT()
    assert atoms.get_potential_energy() == pytest.approx(reference.get_potential_energy(), abs=1e-5)
    np.testing.assert_allclose(atoms.get_forces(), reference.get_forces(), atol=1e-4)
    assert "IVDW = 11" in (standin / "run" / "INCAR").read_text()


@pytest.mark.parametrize(("error", "repair"), [("edddav", "ALGO = All"), ("zbrent", "IBRION = 1")])
def test_errors_of_vasp_are_repaired_by_custodian(standin, monkeypatch, error, repair):
    monkeypatch.setenv("VASP_STANDIN_FAIL", error)
    atoms = bulk("Cu")
    atoms.calc = vasp.make_vasp(standin / "run")
    assert np.isfinite(atoms.get_potential_energy())
    assert repair in (standin / "run" / "INCAR").read_text()


@pytest.mark.parametrize(
    ("wish", "kind", "words"),
    [("always", FailureKind.INVALID, "nobody knows this one"), ("disk", FailureKind.TRANSIENT, "No space left")],
)
def test_what_nobody_can_repair_is_a_failure_with_vasps_own_words(standin, monkeypatch, wish, kind, words):
    monkeypatch.setenv("VASP_STANDIN_FAIL", wish)
    label = label_work(copper("vasp"), standin / "label")
    assert label.failure.kind is kind
    assert words in label.failure.reason


def native(standin: Path) -> tuple[Path, list[Atoms]]:
    initial, final = end_points()
    images = interpolated(initial, final, 3)
    images[0].calc, images[-1].calc = initial.calc, final.calc
    return standin / "neb", images


def test_a_native_band_is_the_same_as_ours(standin):
    folder, images = native(standin)
    band = vasp_neb.run_native(folder, images, extra={"EDIFFG": -0.05})
    energies = np.array([image.get_potential_energy() for image in band])
    assert len(band) == 5
    assert 0.6 < energies.max() - energies[0] < 0.9
    for image in band[1:-1]:
        check = image.copy()
        check.calc = EMT()
        assert check.get_potential_energy() == pytest.approx(image.get_potential_energy(), abs=1e-4)


def test_a_killed_native_band_goes_on_from_its_contcars(standin, monkeypatch):
    folder, images = native(standin)
    marker = standin / "killed"
    monkeypatch.setenv("VASP_STANDIN_FAIL", f"walltime:{marker}")
    with pytest.raises(RuntimeError, match="VASP failed"):
        vasp_neb.run_native(folder, images, extra={"EDIFFG": -0.05})
    assert marker.exists()
    start = ase.io.read(folder / "02" / "POSCAR").positions
    band = vasp_neb.run_native(folder, images, extra={"EDIFFG": -0.05})
    assert np.abs(ase.io.read(folder / "02" / "POSCAR").positions - start).max() > 1e-3
    energies = [image.get_potential_energy() for image in band]
    assert 0.6 < max(energies) - energies[0] < 0.9
    (folder / "02" / "CONTCAR").write_text("half of a")
    assert vasp_neb.continue_inputs(folder) == 2
    shutil.rmtree(folder / "01")
    (folder / "01").mkdir()
    with pytest.raises(ValueError, match=r"vasprun\.xml holds no complete step"):
        vasp_neb.read_band(folder, images[0], images[-1])


def test_another_version_than_the_stated_one_is_no_label_of_it(standin):
    initial, _ = end_points()
    initial.calc = vasp.make_vasp(standin / "right", version="6.4")
    initial.get_potential_energy()
    assert vasp.versions_reported(standin) == ["6.4.2"]
    initial.calc = vasp.make_vasp(standin / "wrong", version="6.3")
    with pytest.raises(CalculationFailed, match=r"VASP 6\.4\.2 ran, but options\.version says 6\.3"):
        initial.get_potential_energy()


def test_a_stated_version_is_part_of_the_address():
    plain, stated, other = (
        label_key(copper("vasp", options=options)) for options in ({}, {"version": "6.4"}, {"version": "6.5"})
    )
    assert len({plain, stated, other}) == 3


@pytest.mark.slow
@pytest.mark.timeout(1800)  # two minutes alone; every step starts an interpreter
@pytest.mark.parametrize("calculator", ["vasp", "vasp-native"])
def test_a_whole_label_through_the_stand_in(standin, calculator):
    label = label_work(copper(calculator, images=1), standin / "label")
    assert label.ok, label.failure
    assert label.fidelity == "vasp-neb"
    assert label.provenance["versions"]["vasp"] == "6.4.2"
    assert 0.6 < label.value_eV < 0.9
    files = sorted((standin / "label" / "frames").glob("*.extxyz"))
    assert files[-1].stem.endswith("neb")
    assert sum(len(read_frames(path)) for path in files) == label.force_calls
    assert len(label_frames(standin / "label")) > 5


def band_run(folder: Path) -> BarrierRun:
    labeller = registry.find("vasp")
    return labeller.run(labeller.settings({"images": 1, "fmax_eV_per_A": 0.1}), folder)


def test_images_that_ase_drives_go_on_from_contcars_newer_than_the_saved_band(standin):
    folder, (initial, final) = standin / "label", end_points()
    run = band_run(folder)

    def goes_on_from(wanted: Atoms) -> bool:
        return np.allclose(run.last_band(initial, final, folder)[1].positions, wanted.positions, atol=1e-6)

    assert run.last_band(initial, final, folder) is None
    band = interpolated(initial, final, 1)
    moved = band[1].copy()
    moved.rattle(0.05, seed=1)
    moved.calc = run.image_factory(folder)()
    moved.get_potential_energy()
    assert goes_on_from(moved)  # killed before a band was saved
    write_images(folder / "band.extxyz", band)
    assert goes_on_from(band[1])
    contcar = folder / "images" / "01" / "CONTCAR"
    later_ns = (folder / "band.extxyz").stat().st_mtime_ns + 1_000_000  # the clock of files ticks in milliseconds
    os.utime(contcar, ns=(later_ns, later_ns))
    assert goes_on_from(moved)
    contcar.write_text("half of a")
    assert goes_on_from(band[1])


BAND = """
import sys
from pathlib import Path
from tests.calculators.test_vasp import band_run, end_points
folder = Path(sys.argv[1])
band_run(folder).band(*end_points(), folder)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_band_that_ase_drives_goes_on_from_its_contcar(standin):
    folder, states = standin / "label", end_points()
    saved, contcar = folder / "band.extxyz", folder / "images" / "01" / "CONTCAR"
    killed = subprocess.Popen([sys.executable, "-c", BAND, str(folder)], start_new_session=True)
    while not (saved.exists() and contcar.exists() and contcar.stat().st_mtime_ns > saved.stat().st_mtime_ns):
        assert killed.poll() is None, "done before it was killed"
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    last = ase.io.read(contcar)[np.loadtxt(contcar.with_name("ase-sort.dat"), dtype=int)[:, 1]]
    run = band_run(folder)
    start = run.last_band(*states, folder)[1]
    np.testing.assert_allclose(start.positions, last.positions, atol=1e-6)
    assert np.abs(start.positions - ase.io.read(saved, index=1).positions).max() > 1e-3
    assert 0.6 < run.band(*states, folder).forward_eV < 0.9
