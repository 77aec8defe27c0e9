import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from pymatgen.core import Lattice
from pymatgen.core import Structure as Structure_
from typer.testing import CliRunner

from benchmarks.finetune_barriers import run
from calculators import registry
from calculators.chgnet import load_model
from calculators.finetune import FineTuneSettings, fine_tune, next_name, recipe_of, split_frames
from calculators.finetune_data import Answer, Student, Targets, compared
from calculators.label import Structure, Work
from calculators.pipeline import label_key, label_work
from calculators.rules import crossing_barrier
from flows.errors import UserError


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
@pytest.mark.timeout(3600)  # three minutes of processor time each
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_of_another_functional_bring_barriers_nearer_to_it(tmp_path, monkeypatch, seed):
    """r2SCAN labels of one compound teach the PBE network: its barrier and that of an unseen compound come nearer."""
    monkeypatch.setenv("IONLOOP_MODELS", "")  # the benchmark sets it; put back afterwards
    row = run(tmp_path, ["Na2S"], ["Na2S", "Na2Se"], seed, {"epochs": 24})
    for compound, (truth, before, after) in row["barriers_eV"].items():
        print(f"seed {seed}: {compound} teacher {truth:.3f}, before {before:.3f}, after {after:.3f} eV")
        assert abs(before - truth) > 0.05, compound
        assert abs(after - truth) < 0.85 * abs(before - truth), compound
    assert row["after"]["force_eV_per_A"] < 0.7 * row["before"]["force_eV_per_A"]


@pytest.mark.slow
def test_a_tuned_label_has_a_fidelity_and_an_address_of_its_own(tmp_path, monkeypatch):
    _, old, _ = barrier("chgnet", tmp_path / "before")
    tuned = fine_tune("chgnet-ft1", emt_frames(40), tmp_path / "models", FineTuneSettings(epochs=12, batch=4))
    assert tuned.after["force_eV_per_A"] < 0.7 * tuned.before["force_eV_per_A"]
    monkeypatch.setenv("IONLOOP_MODELS", str(tmp_path / "models"))
    _, new, key = barrier("chgnet-ft1", tmp_path / "after")
    assert (old.fidelity, new.fidelity) == ("chgnet-neb", "chgnet-ft1-neb")
    assert key == new.key != old.key


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


def test_the_training_network_is_chgnets_own():
    """Losses and their derivative by the weights agree with CHGNet's forward pass, moments and stresses included."""
    frames = emt_frames(3)
    for number, frame in enumerate(frames):
        frame.calc.results["magmoms"] = np.full(len(frame), 0.3 * number)
    model = load_model("0.3.0", "cpu")
    model.requires_grad_(True)
    model.composition_model.requires_grad_(False)
    student, targets, rows = Student(model), Targets(frames), np.arange(3)
    ours = student.losses(targets, rows)
    sum(ours.values()).backward()
    gradient = torch.cat([weight.grad.view(-1) for weight in model.parameters() if weight.grad is not None])
    model.zero_grad()
    structures = [Structure_(Lattice(f.cell.array), f.numbers, f.get_scaled_positions()) for f in frames]
    found = model([model.graph_converter(structure) for structure in structures], task="efsm")
    answer = Answer(found["e"], torch.cat(list(found["f"])), torch.stack(list(found["s"])), torch.cat(found["m"]))
    theirs = {name: torch.nn.functional.mse_loss(*pair) for name, pair in compared(answer, targets, rows).items()}
    assert set(ours) == {"energy", "force", "stress", "moment"}
    for name, loss in theirs.items():
        assert float(ours[name].detach()) == pytest.approx(float(loss.detach()), rel=2e-3), name
    sum(theirs.values()).backward()
    other = torch.cat([weight.grad.view(-1) for weight in model.parameters() if weight.grad is not None])
    assert float((gradient - other).norm() / other.norm()) < 5e-3


def test_recipes_and_names(tmp_path):
    paper = recipe_of("paper", {"seed": 3})
    assert (paper.epochs, paper.batch, paper.learning_rate, paper.seed) == (500, 50, 1e-3, 3)
    with pytest.raises(ValueError, match="unknown recipe 'quick'; allowed: few, paper"):
        recipe_of("quick")
    with pytest.raises(ValueError, match="fine-tuning: epochs = 0"):
        recipe_of("few", {"epochs": 0})
    (tmp_path / "chgnet-ft1.pt").touch()
    assert next_name(tmp_path) == "chgnet-ft2"
    assert next_name(tmp_path / "not-yet") == "chgnet-ft1"


def test_the_command_makes_a_calculator_of_labels(tmp_path, monkeypatch):
    from flows.cli import app

    monkeypatch.setenv("IONLOOP_MODELS", str(tmp_path / "models"))
    atoms = bulk("Cu") * 2
    atoms.numbers[0] = 0
    settings = {"images": 1, "hop_cutoff_A": 3.0, "relax": "atoms", "rule": "easiest", "keep_frames": True}
    work = Work(structure=Structure.from_atoms(atoms), ion="Cu", calculator="emt", settings=settings)
    assert label_work(work, tmp_path / "labels" / "one").ok
    made = CliRunner().invoke(app, ["finetune", str(tmp_path / "labels"), "--epochs", "1"], catch_exceptions=False)
    assert made.exit_code == 0
    assert "calculator chgnet-ft1, fidelity chgnet-ft1-neb" in made.output
    assert "force eV per A" in made.output
    assert registry.find("chgnet-ft1").fidelity == "chgnet-ft1-neb"
    with pytest.raises(UserError, match="no label"):
        CliRunner().invoke(app, ["finetune", str(tmp_path / "models")], catch_exceptions=False)


def test_one_name_is_one_set_of_weights():
    assert registry.find("chgnet-r2scan").fidelity == "chgnet-r2scan-neb"
    with pytest.raises(ValueError, match=r"options\.model would give other labels the same fidelity"):
        registry.find("chgnet").settings({"options": {"model": "r2scan"}})


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
