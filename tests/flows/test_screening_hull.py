"""E_hull as a step of the screen and as a command of its own, with CHGNet on cells of a few atoms."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path

import ase.io
import pytest
from ase import Atoms
from typer.testing import CliRunner

from agent.composition import Composition
from agent.hosts import load_host
from calculators.phases import KEY_VARIABLE, Shipped
from flows.cli import app
from flows.config import parse_config
from flows.errors import ConfigError
from flows.screening import Campaign, Candidate, screen
from flows.screening_hull import HullModelStep, HullStep, shared_reference
from flows.screening_steps import ScreenSection
from flows.screening_views import write_tables
from models.commands import TrainOptions, train
from models.ensemble import EnsembleConfig
from models.training import TrainConfig
from tests.flows.conftest import played
from tests.flows.synthetic import Spec


@dataclass(frozen=True)
class Crystal(Candidate):
    """A candidate whose ordering is a small crystal: a NASICON takes a minute."""

    atoms: Atoms = field(default_factory=Atoms)

    def ordering(self, index: int = 0) -> Atoms:
        return self.atoms.copy()


@pytest.fixture(scope="module")
def phases() -> dict[str, Atoms]:
    return {phase.name: phase.atoms for phase in Shipped().phases(frozenset(["Zr", "Si", "O", "Mg", "Na"]))}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory) -> Campaign:
    return Campaign(played(tmp_path_factory.mktemp("campaign"), Spec(folders=False)), load_host("nzsp"), seed=1)


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setenv("IONLOOP_HOME", str(tmp_path_factory.getbasetemp() / "home"))
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    shared_reference.cache_clear()


def crystals(campaign: Campaign, *atoms: Atoms) -> list[Crystal]:
    """Candidates of rising barrier with these structures."""
    one = Composition.of(campaign.host, {"Sn": 1, "Sc": 1, "Ge": 1, "Nb": 1})
    return [
        Crystal(campaign, i, one, f"crystal {i}", 0, 0.2 + 0.01 * i, None, "prediction", atoms=structure)
        for i, structure in enumerate(atoms, start=1)
    ]


def test_the_step_ranks_polymorphs_and_says_against_what(campaign, phases, tmp_path):
    high, quartz = phases["SiO2 cristobalite"].copy(), phases["SiO2 quartz"].copy()
    high.set_cell(high.cell * 1.02, scale_atoms=True)
    found = screen(crystals(campaign, high, quartz), [HullStep(lowest=1)], tmp_path)
    (kept,) = found.kept
    result = kept.candidate.found["hull"]
    assert result.facts["reference"] == "shipped"
    assert result.facts["products"]
    assert "shipped" in result.reason
    assert result.value == pytest.approx(min(one.candidate.found["hull"].value for one in found.entries))
    assert "the 1 lowest stay" in found.entries[-1].reason


def test_elements_that_the_reference_lacks_are_a_verdict(campaign, phases, tmp_path):
    strange = phases["SiO2 quartz"].copy()
    strange.symbols[0] = "Tc"
    (entry,) = screen(crystals(campaign, strange), [HullStep()], tmp_path).entries
    assert not entry.kept
    assert "no phase with Tc" in entry.reason
    assert entry.candidate.found["hull"].value is None


def test_the_default_is_the_selection_of_the_paper():
    steps = ScreenSection().steps
    assert [step.step for step in steps] == ["barrier", "hull", "barrier"]
    assert (steps[0].below_median, steps[1].lowest, steps[2].lowest) == (True, 10, 6)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"step": "hull", "fmax": 0.1}, ["screen.steps.0.hull.fmax", "fmax_eV_per_A"]),
        ({"step": "hull", "reference": "oqmd"}, ["reference", "shipped"]),
        ({"step": "hull-model"}, ["screen.steps.0.hull-model.model", "required"]),
    ],
)
def test_wrong_settings_are_named(fields, words):
    with pytest.raises(ConfigError) as error:
        parse_config({"campaign": {"name": "a"}, "screen": {"steps": [fields]}})
    for word in words:
        assert word in str(error.value)


def test_the_command_gives_a_table_and_a_training_set(phases, tmp_path):
    for name, stem in (("ZrSiO4 I4_1/amd", "zircon"), ("MgO rocksalt", "magnesia")):
        ase.io.write(tmp_path / f"{stem}.cif", phases[name])
    files = [str(tmp_path / "zircon.cif"), str(tmp_path / "magnesia.cif")]
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["hull", *files, "--out", str(out)])
    assert done.exit_code == 0, done.output
    with (out / "hull.csv").open() as stream:
        rows = {Path(row["file"]).stem: row for row in csv.DictReader(stream)}
    assert abs(float(rows["zircon"]["e_hull_eV_per_atom"])) < 0.005
    assert "shipped" in rows["magnesia"]["reference"]
    frames = ase.io.read(out / "hull.extxyz", index=":")
    assert [set(frame.info) >= {"name", "e_hull_eV_per_atom"} for frame in frames] == [True, True]
    assert (out / "zircon-relaxed.extxyz").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.cif"], "no such file"),
        (["{cif}", "--calculator", "bvse"], "gives no energies"),
        (["{cif}", "--reference", "oqmd"], "reference"),
        (["{cif}", "--reference", "materials-project"], KEY_VARIABLE),
    ],
)
def test_bad_input_is_one_clear_line(phases, tmp_path, arguments, words):
    from flows.errors import UserError

    ase.io.write(tmp_path / "a.cif", phases["MgO rocksalt"])
    given = [argument.replace("{cif}", str(tmp_path / "a.cif")) for argument in arguments]
    done = CliRunner().invoke(app, ["hull", *given, "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, UserError)
    assert words in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_model_of_e_hull_is_trained_by_the_same_trainer_and_screens(campaign, phases, tmp_path):
    """The data set is what `ionloop hull` writes; the values here are only for the test."""
    frames = []
    for name, atoms in list(phases.items())[:8]:
        frame = atoms.copy()
        frame.info = {"name": name, "e_hull_eV_per_atom": 0.01 * (len(frames) % 4)}
        frames.append(frame)
    ase.io.write(tmp_path / "data.extxyz", frames)
    budget = EnsembleConfig(train=TrainConfig(epochs=2), pretrain_epochs=1)
    options = TrainOptions(
        tmp_path / "data.extxyz", tmp_path / "model", unit="eV/atom", members=2, folds=0, config=budget
    )
    train(options)
    step = HullModelStep(model=tmp_path / "model", lowest=1)
    found = screen(crystals(campaign, phases["SiO2 quartz"], phases["MgO rocksalt"]), [step], tmp_path / "screen")
    assert len(found.kept) == 1
    assert found.kept[0].candidate.found["hull-model"].facts["sigma_eV_per_atom"] > 0
    write_tables(found, tmp_path)
    assert json.loads((tmp_path / "screen.json").read_text())["steps"][0]["settings"]["model"].endswith("model")
    missing = HullModelStep(model=tmp_path / "nothing")
    (entry,) = screen(crystals(campaign, phases["MgO rocksalt"]), [missing], tmp_path / "screen").entries
    assert "no value" in entry.reason
    assert "nothing" in entry.reason
