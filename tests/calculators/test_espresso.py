"""A real density-functional code through the same layer: Quantum ESPRESSO from Debian's packages."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, make_supercell

from calculators import registry
from calculators.espresso import EspressoOptions, input_data, missing, pwscf_failure
from calculators.label import FailureKind, Structure, Work
from calculators.pipeline import label_key, label_work

PSEUDO = Path(os.environ.get("ESPRESSO_PSEUDO", "/usr/share/espresso/pseudo"))
ALUMINIUM = "Al.pz-vbc.UPF"
needs_espresso = pytest.mark.skipif(
    shutil.which("pw.x") is None or not (PSEUDO / ALUMINIUM).is_file(),
    reason="needs Debian's quantum-espresso and quantum-espresso-data",
)
OPTIONS = {
    "pseudopotentials": {"Al": ALUMINIUM},
    "cutoff_Ry": 12.0,
    "density_cutoff_Ry": 48.0,
    "k_mesh": [2, 2, 2],
    "input": {"system": {"occupations": "smearing", "smearing": "mv", "degauss": 0.03}},
}


def aluminium(**settings) -> Work:
    """A vacancy in eight sites of fcc aluminium: far too small for a number to be published, large enough to hop."""
    atoms = make_supercell(bulk("Al", a=3.97), 2 * np.eye(3))
    atoms.numbers[0] = 0
    given = {"images": 1, "hop_cutoff_A": 3.0, "relax": "none", "rule": "easiest", "options": OPTIONS}
    given |= {"endpoint_fmax_eV_per_A": 0.1, "fmax_eV_per_A": 0.1}
    structure = Structure.from_atoms(atoms)
    return Work(structure=structure, ion="Al", calculator="espresso", settings=given | settings)


def test_what_is_missing_is_said_up_front(monkeypatch, tmp_path):
    monkeypatch.setenv("ASE_ESPRESSO_COMMAND", "mpirun_nowhere pw.x")
    assert "no mpirun_nowhere: install Quantum ESPRESSO" in missing()
    monkeypatch.setenv("ASE_ESPRESSO_COMMAND", "/bin/true")
    monkeypatch.delenv("ESPRESSO_PSEUDO", raising=False)
    assert "set ESPRESSO_PSEUDO" in missing()
    monkeypatch.setenv("ESPRESSO_PSEUDO", str(tmp_path))
    assert missing() is None
    label = label_work(aluminium(), tmp_path / "label")
    assert label.failure.kind is FailureKind.TRANSIENT
    assert f"no pseudopotential of Al: {ALUMINIUM} is not in {tmp_path}" in label.failure.reason


def pwscf(folder: Path, version: str) -> Path:
    """A script that prints what pw.x prints first, and counts how often."""
    folder.mkdir(exist_ok=True)
    path = folder / "pw.x"
    path.write_text(
        f"#!/bin/sh\necho . >> {folder}/runs\necho\necho '     Program PWSCF v.{version} starts on today'\n"
    )
    path.chmod(0o755)
    return path


def test_two_versions_of_pwscf_do_not_share_a_label(monkeypatch, tmp_path):
    keys = set()
    for version in ("6.7MaX", "7.2"):
        path = pwscf(tmp_path / version, version)
        monkeypatch.setenv("ASE_ESPRESSO_COMMAND", f"mpirun -np 8 {path} -nk 4")
        assert registry.find("espresso").versions()["pw.x"] == version
        keys.add(label_key(aluminium()))
        assert (path.parent / "runs").read_text() == ".\n"  # asked once, however many labels there are
    assert label_work(aluminium(), tmp_path / "label").provenance["versions"]["pw.x"] == "7.2"
    monkeypatch.setenv("ASE_ESPRESSO_COMMAND", "mpirun_nowhere no_pw.x")
    assert registry.find("espresso").versions()["pw.x"] == "missing"
    monkeypatch.setenv("ASE_ESPRESSO_COMMAND", "/bin/true")
    assert registry.find("espresso").versions()["pw.x"] == "unknown"
    assert len(keys | {label_key(aluminium())}) == 3


@needs_espresso
def test_the_real_pwscf_says_its_version(monkeypatch):
    monkeypatch.delenv("ASE_ESPRESSO_COMMAND", raising=False)
    assert registry.find("espresso").versions()["pw.x"][0].isdigit()


def test_options_are_checked_and_part_of_the_key():
    with pytest.raises(ValueError, match="options of espresso: unknown setting 'cutoff'; allowed: pseudopotentials"):
        label_key(aluminium(options=OPTIONS | {"cutoff": 30}))
    with pytest.raises(ValueError, match="options of espresso: pseudopotentials"):
        label_key(aluminium(options={}))
    assert label_key(aluminium()) != label_key(aluminium(options=OPTIONS | {"cutoff_Ry": 14.0}))
    assert label_key(aluminium()) == label_key(aluminium(options=OPTIONS | {"charge_e": 0.0}))


def test_namelists_given_by_hand_win():
    options = EspressoOptions(**OPTIONS | {"input": {"electrons": {"conv_thr": 1e-9}, "system": {"nspin": 2}}})
    data = input_data(options)
    assert (data["electrons"]["conv_thr"], data["system"]["nspin"], data["system"]["ecutrho"]) == (1e-9, 2, 48.0)


@pytest.mark.parametrize(
    ("output", "status", "kind", "words"),
    [
        ("     convergence NOT achieved after   2 iterations: stopping\n", 2, FailureKind.INVALID, "mix less"),
        (
            " %%%%%\n     Error in routine cdiaghg (159):\n     S matrix not positive definite\n %%%%%\n",
            1,
            FailureKind.INVALID,
            "Error in routine cdiaghg (159): S matrix not positive definite",
        ),
        ("     Self-consistent Calculation\n", -9, FailureKind.TRANSIENT, "status -9"),
        ("", 1, FailureKind.INVALID, "without a word"),
    ],
)
def test_failures_say_what_pwx_said(tmp_path, output, status, kind, words):
    (tmp_path / "espresso.pwo").write_text(output)
    failure = pwscf_failure(tmp_path, status).failure
    assert failure.kind is kind
    assert words in failure.reason


@needs_espresso
def test_a_real_failure_of_pwx_is_a_failure_with_its_own_words(monkeypatch, tmp_path):
    monkeypatch.setenv("ESPRESSO_PSEUDO", str(PSEUDO))
    hasty = OPTIONS | {"k_mesh": [1, 1, 1], "input": OPTIONS["input"] | {"electrons": {"electron_maxstep": 1}}}
    label = label_work(aluminium(options=hasty), tmp_path / "label")
    assert label.failure.kind is FailureKind.INVALID
    assert "self-consistency did not converge" in label.failure.reason


@needs_espresso
def test_there_is_a_stress_to_relax_the_cell_with(monkeypatch, tmp_path):
    """By default a label relaxes the cell; compressed aluminium pushes outwards."""
    monkeypatch.setenv("ESPRESSO_PSEUDO", str(PSEUDO))
    atoms = bulk("Al", a=3.8)
    atoms.calc = registry.find("espresso").calculator(OPTIONS, tmp_path)
    assert atoms.get_stress()[:3].mean() < -0.01  # eV/Å^3, ASE's sign


@needs_espresso
@pytest.mark.slow
def test_a_dft_barrier_through_the_same_layer(monkeypatch, tmp_path):
    monkeypatch.setenv("ESPRESSO_PSEUDO", str(PSEUDO))
    assert registry.find("espresso").unavailable() is None
    label = label_work(aluminium(), tmp_path / "label")
    assert label.ok, label.failure
    hop = label.hops[label.decisive]
    print(f"Al vacancy: {label.value_eV:.3f} eV, {label.force_calls} pw.x runs, {label.seconds}, {hop.path_eV}")
    assert label.fidelity == "espresso-neb"
    assert 0.3 < label.value_eV < 1.5  # 0.6 eV in a large cell; eight sites are not
    assert abs(hop.reaction_energy_eV) < 0.02  # both ends are the same vacancy
    assert len(list((tmp_path / "label" / "runs").glob("*/espresso.pwo"))) >= 3
