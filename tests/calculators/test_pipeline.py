import json
import resource

import ase.io
import numpy as np
import pytest
from cells import copper_with_vacancy, nasicon_ordering

from calculators.label import FailureKind, Structure, Work
from calculators.pipeline import label_key, label_work
from calculators.registry import UnknownCalculator, describe, find
from calculators.storage import read_label

FAST = {"images": 3, "hop_cutoff_A": 3.0, "relax": "atoms"}


def copper(calculator="emt", **settings) -> Work:
    structure = Structure.from_atoms(copper_with_vacancy())
    return Work(structure=structure, ion="Cu", calculator=calculator, settings=FAST | settings)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("label")
    events: list[dict] = []
    return label_work(copper(), folder, events.append), folder, events


def test_a_label_is_complete(labelled):
    label, _, events = labelled
    assert label.ok
    assert label.fidelity == "emt-neb"
    assert 0.6 < label.value_eV < 0.9
    assert label.converged
    hop = label.hops[label.decisive]
    assert hop.name == "Cu1-Cu1"
    assert len(hop.path_eV) == len(hop.path_A) == 5
    assert label.value_eV == max(hop.forward_eV, hop.backward_eV)
    assert hop.reaction_energy_eV == pytest.approx(hop.forward_eV - hop.backward_eV)
    assert label.provenance["settings"]["images"] == 3
    assert {"relax", "neb", "end points", "total"} <= set(label.seconds)
    assert [event["stage"] for event in events if "stage" in event][-1] == "neb"
    assert events[-1]["force_calls"] == label.force_calls


def test_the_folder_is_readable_without_us(labelled):
    label, folder, _ = labelled
    band = ase.io.read(folder / "band.extxyz", ":")
    energies = np.array([image.get_potential_energy() for image in band])
    assert energies - energies[0] == pytest.approx(label.hops[label.decisive].path_eV)
    assert len(ase.io.read(folder / "initial.extxyz")) == len(ase.io.read(folder / "relaxed.cif")) == 31
    content = json.loads((folder / "label.json").read_text())
    assert content["E_b_eV"] == label.value_eV
    assert content["failure_kind"] is None
    assert not list(folder.rglob(".*"))


def test_a_finished_label_is_never_computed_again(labelled):
    label, folder, _ = labelled
    events: list[dict] = []
    assert label_work(copper(), folder, events.append) == label
    assert events == []


@pytest.mark.parametrize("calculator", ["emt", "vasp"])
def test_a_folder_of_other_work_is_refused_and_its_label_stays(labelled, monkeypatch, calculator):
    """Also by a calculator that cannot run here."""
    monkeypatch.delenv("VASP_PP_PATH", raising=False)
    _, folder, _ = labelled
    before = (folder / "label.json").read_bytes()
    other = copper(fmax_eV_per_A=0.2).model_copy(update={"calculator": calculator})
    with pytest.raises(ValueError, match="holds other work"):
        label_work(other, folder)
    assert (folder / "label.json").read_bytes() == before
    assert not list(folder.glob("failed-*"))


def test_defaults_given_or_not_give_the_same_key():
    assert label_key(copper()) == label_key(copper(spring_eV_per_A2=0.1, preset="thorough"))
    assert label_key(copper()) != label_key(copper(fmax_eV_per_A=0.06))
    assert label_key(copper()) != label_key(copper("lj"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"imagse": 3}, "unknown setting 'imagse'; allowed: relax,"),
        ({"images": 0}, "images = 0"),
        ({"rule": "some"}, "bottleneck, all, easiest"),
        ({"preset": "slow"}, "unknown preset 'slow'; allowed: thorough, quick"),
    ],
)
def test_wrong_settings_are_one_clear_line(settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        label_key(copper(**settings))
    assert "\n" not in str(caught.value)


def test_an_unfinished_label_goes_on(tmp_path):
    """Cut off in the band; the second try starts where the first ended and keeps its record."""

    class Stop(Exception):
        pass

    def stop(event):
        if event["stage"] == "neb" and event["step"] == 6:
            raise Stop("killed")

    cut = label_work(copper(), tmp_path, stop)
    assert cut.failure is not None
    # What a kill leaves behind has no label.json; a transient failure has one and is retried as well.
    label_file = tmp_path / "label.json"
    content = json.loads(label_file.read_text())
    content["failure"]["kind"] = "transient"
    label_file.write_text(json.dumps(content))
    stages: list[str] = []
    label = label_work(copper(), tmp_path, lambda event: stages.append(event["stage"]))
    assert label.ok
    assert "relax" not in stages
    assert "end points" not in stages
    assert (tmp_path / "failed-1.json").exists()


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        ("relax", {"relax": "cell", "relax_fmax_eV_per_A": 0.02}),
        ("end points", {"relax": "none", "endpoint_fmax_eV_per_A": 0.005}),
    ],
)
def test_a_relaxation_that_was_killed_goes_on_from_its_last_step(tmp_path, stage, settings):
    """Killed in its fifth step; the forces of the fourth, the last that was kept, are met again at once."""
    work = copper(**settings)
    seen: list[float] = []

    class KilledError(KeyboardInterrupt):
        pass

    def watch(event):
        if event["stage"] == stage:
            seen.append(event["fmax_eV_per_A"])
            if killing and len(seen) == 5:
                raise KilledError

    killing = True
    with pytest.raises(KilledError):
        label_work(work, tmp_path, watch)
    before, killing = seen.copy(), False
    seen.clear()
    assert label_work(work, tmp_path, watch).ok
    assert seen[0] == pytest.approx(before[3], abs=2e-3)
    assert seen[0] < before[0]


def test_a_surrogate_saves_force_calls_and_changes_no_barrier(labelled, tmp_path):
    alone, _, _ = labelled
    helped = label_work(copper(surrogate="plugins:Softened"), tmp_path)
    assert helped.value_eV == pytest.approx(alone.value_eV, abs=2e-3)
    assert helped.extra["surrogate_force_calls"] > 0
    assert helped.force_calls < 0.7 * alone.force_calls
    assert helped.key != alone.key
    with pytest.raises(ValueError, match="surrogate 'bvse' gives no energies"):
        label_key(copper(surrogate="bvse"))


def test_images_side_by_side_give_the_same_barrier(labelled, tmp_path):
    alone, _, _ = labelled
    together = label_work(copper(parallel_images=True), tmp_path)
    assert together.value_eV == pytest.approx(alone.value_eV, abs=1e-6)


def test_too_few_steps_is_unconverged_and_the_next_try_continues(tmp_path):
    """The steps are part of the key, so the next try is the same work: it goes on from the saved band."""
    work = copper(steps=4)
    first = label_work(work, tmp_path)
    assert first.failure.kind is FailureKind.UNCONVERGED
    assert first.value_eV is None
    labels = [label_work(work, tmp_path) for _ in range(4)]
    assert any(label.ok for label in labels)
    assert (tmp_path / "failed-1.json").exists()


@pytest.mark.parametrize(
    ("plugin", "kind", "words"),
    [
        ("plugins:NotANumber", FailureKind.INVALID, "no number"),
        ("plugins:Raising", FailureKind.INVALID, "SCF did not converge"),
        ("plugins:MissingExecutable", FailureKind.TRANSIENT, "/nonexistent/vasp_std|No such file"),
    ],
)
def test_a_calculator_that_fails_gives_a_failure_with_a_kind(plugin, kind, words, tmp_path):
    label = label_work(copper(plugin), tmp_path)
    assert label.value_eV is None
    assert label.failure.kind is kind
    assert __import__("re").search(words, label.failure.reason)
    assert "\n" not in label.failure.reason
    assert read_label(tmp_path, label.key) == label


def test_a_full_disk_is_transient(tmp_path):
    """Every file larger than 2 kB fails, as on a full disk or over a quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        label = label_work(copper(), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert label.failure.kind is FailureKind.TRANSIENT
    assert label_work(copper(), tmp_path).ok


def test_senseless_structures_are_invalid_labels(tmp_path):
    structure = Structure.from_atoms(copper_with_vacancy())
    crowded = structure.model_copy(update={"positions_A": [[0.0, 0.0, 0.1 * i] for i in range(32)]})
    label = label_work(copper().model_copy(update={"structure": crowded}), tmp_path / "crowded")
    assert label.failure.kind is FailureKind.INVALID
    assert "overlapping atoms" in label.failure.reason
    missing = label_work(copper().model_copy(update={"ion": "Li"}), tmp_path / "missing")
    assert "no Li" in missing.failure.reason
    full = structure.model_copy(update={"numbers": [29] * 32})
    nowhere = label_work(copper().model_copy(update={"structure": full}), tmp_path / "full")
    assert "no vacant Cu site" in nowhere.failure.reason


def test_bond_valence_label(tmp_path):
    work = Work(structure=Structure.from_atoms(nasicon_ordering()), ion="Na", calculator="bvse")
    label = label_work(work, tmp_path)
    assert label.ok
    assert label.fidelity == "bvse"
    # NASICON's framework: 0.75 to 1.05 eV in FACTS for substituted cells, E_1D <= E_2D <= E_3D.
    assert 0.6 < label.value_eV < 1.1
    assert label.extra["E_3D_eV"] == label.value_eV
    assert label.extra["E_1D_eV"] <= label.extra["E_2D_eV"] <= label.extra["E_3D_eV"]


def test_every_built_in_calculator_is_described():
    described = {entry.name: entry for entry in describe()}
    assert {"chgnet", "bvse", "emt", "lj"} <= set(described)
    assert described["chgnet"].fidelity == "chgnet-neb"
    assert described["bvse"].problem is None


def test_plug_ins_and_unknown_names():
    good = find("plugins:Good")
    assert (good.name, good.fidelity) == ("good", "good-neb")
    assert find("plugins:Answering").fidelity == "odd"
    for name, words in [
        ("vaps", "available: bvse, chgnet, chgnet-r2scan, emt"),
        ("nowhere_to_be_found:thing", "no module named nowhere_to_be_found"),
        ("plugins:missing", "missing"),
        ("plugins:nothing", "neither a factory"),
    ]:
        with pytest.raises(UnknownCalculator, match=words) as caught:
            find(name)
        assert "\n" not in str(caught.value)
