import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from calculators import registry
from calculators.finetune import FineTuneSettings, displaced_frames, fine_tune, relaxation_frames, split_frames
from calculators.label import Structure, Work
from calculators.pipeline import label_key, label_work
from calculators.rules import crossing_barrier


def numbered(count):
    frames = []
    for number in range(count):
        frame = bulk("Cu")
        frame.info["number"] = number
        frames.append(frame)
    return frames


def test_relaxation_frames_are_the_papers():
    """The first 10 and 40 random ones of the rest."""
    numbers = [frame.info["number"] for frame in relaxation_frames(numbered(200))]
    assert numbers[:10] == list(range(10))
    assert len(set(numbers)) == 50
    assert numbers == sorted(numbers)
    assert len(relaxation_frames(numbered(7))) == 7
    assert len(relaxation_frames(numbered(30))) == 30


def test_frames_with_ions_far_from_their_sites():
    frames = []
    for number in range(20):
        frame = bulk("NaCl", "rocksalt", a=8.0, cubic=True)
        moved = np.flatnonzero(frame.symbols == "Na")[: number % 5]
        frame.positions[moved] += [2.7, 0, 0]
        frame.info["away"] = len(moved)
        frames.append(frame)
    sites = frames[0].get_scaled_positions()[frames[0].symbols == "Na"]
    chosen = displaced_frames(frames, "Na", sites, count=8)
    assert sorted(frame.info["away"] for frame in chosen) == [3] * 4 + [4] * 4


def test_the_split_is_six_two_two():
    train, validate, test = split_frames(50)
    assert (len(train), len(validate), len(test)) == (30, 10, 10)
    assert len({*train, *validate, *test}) == 50
    with pytest.raises(ValueError, match="9 frames are too few"):
        split_frames(9)


def emt_frames(count, seed=0):
    """Small copper cells with a vacancy, on and around hops, labelled with EMT: another zero and other forces."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        atoms = bulk("Cu") * 2
        gap = atoms.positions[0].copy()
        atoms = atoms[1:]
        atoms.positions[0] += rng.uniform(0, 1) * (gap - atoms.positions[0])
        atoms.rattle(0.06, rng=rng)
        atoms.calc = EMT()
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, stress=stress)
        frames.append(atoms)
    return frames


def barrier(calculator, folder):
    atoms = bulk("Cu") * 2
    atoms.numbers[0] = 0
    settings = {"images": 3, "hop_cutoff_A": 3.0, "relax": "none", "rule": "easiest", "fmax_eV_per_A": 0.1}
    settings |= {"endpoint_fmax_eV_per_A": 0.1}
    work = Work(structure=Structure.from_atoms(atoms), ion="Cu", calculator=calculator, settings=settings)
    label = label_work(work, folder)
    assert label.ok, label.failure
    return crossing_barrier(label.hops[label.decisive]), label, label_key(work)


@pytest.mark.slow
def test_labels_of_another_calculator_teach_chgnet_its_forces_and_perhaps_its_barrier(tmp_path, monkeypatch):
    truth, _, _ = barrier("emt", tmp_path / "emt")
    before, old, _ = barrier("chgnet", tmp_path / "before")
    settings = FineTuneSettings(epochs=12, batch=4)
    tuned = fine_tune("chgnet-ft1", emt_frames(40), tmp_path / "models", settings)
    assert tuned.after["force_eV_per_A"] < 0.7 * tuned.before["force_eV_per_A"]
    monkeypatch.setenv("IONLOOP_MODELS", str(tmp_path / "models"))
    assert registry.find("chgnet-ft1").fidelity == "chgnet-ft1-neb"
    after, new, key = barrier("chgnet-ft1", tmp_path / "after")
    print(
        f"barrier: EMT {truth:.3f}, CHGNet {before:.3f}, fine-tuned {after:.3f} eV; {tuned.before} -> {tuned.after}"
    )
    assert new.fidelity == "chgnet-ft1-neb"
    assert old.fidelity == "chgnet-neb"
    assert key == new.key != old.key
    if abs(after - truth) >= abs(before - truth):
        pytest.xfail(
            f"forces are learned, the barrier is not: {1000 * abs(before - truth):.0f} meV off before, "
            f"{1000 * abs(after - truth):.0f} meV after"
        )


def test_a_tuned_model_is_a_calculator_and_never_changes_under_its_name(tmp_path, monkeypatch):
    settings = FineTuneSettings(epochs=1, batch=4, stress_weight=0)
    tuned = fine_tune("chgnet-ft2", emt_frames(10), tmp_path, settings)
    assert tuned.frames == {"train": 6, "validate": 2, "test": 2}
    with pytest.raises(ValueError, match="never changes under its name"):
        fine_tune("chgnet-ft2", emt_frames(10), tmp_path, settings)
    monkeypatch.setenv("IONLOOP_MODELS", str(tmp_path))
    described = {entry.name: entry for entry in registry.describe()}
    assert described["chgnet-ft2"].fidelity == "chgnet-ft2-neb"
    assert described["chgnet-ft2"].versions["model"] == tuned.sha256[:16]
    atoms = emt_frames(1)[0]
    atoms.calc = registry.find("chgnet-ft2").factory()
    assert np.isfinite(atoms.get_potential_energy())


@pytest.mark.slow
def test_moments_are_learned_where_the_frames_have_them(tmp_path):
    """Iron-like moments on copper frames: CHGNet, which knows copper as unmagnetic, moves towards them."""
    frames = emt_frames(10)
    for frame in frames:
        frame.calc.results["magmoms"] = np.full(len(frame), -1.0)  # sizes count, not signs
    tuned = fine_tune("chgnet-ft4", frames, tmp_path, FineTuneSettings(epochs=3, batch=2, moment_weight=1.0))
    assert tuned.before["moment_muB"] > 0.8
    assert tuned.after["moment_muB"] < tuned.before["moment_muB"]
    plain = fine_tune("chgnet-ft5", emt_frames(10), tmp_path, FineTuneSettings(epochs=1))
    assert "moment_muB" not in plain.before
