"""The SF-MSD model as a step of the screen, on a synthetic campaign whose barriers go with the cell's volume.

The structures are NASICONs of the host, the calculator is a toy that finds every structure relaxed.
"""

import json
from dataclasses import fields, replace
from typing import Any

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from agent.composition import Composition
from agent.hosts import load_host
from agent.ordering import draw
from flows.acquisitions import Acquisition
from flows.config import parse_config
from flows.errors import ConfigError
from flows.found import find_campaign
from flows.screening import Campaign, Candidate, screen
from flows.screening_campaign import candidates_of
from flows.screening_features import BARRIER, SfMsdStep
from flows.sf_msd import SfMsd, formula_units, framework_of
from models.structural_features import structural_features
from tests.flows.conftest import played
from tests.flows.synthetic import EFFECT_eV, Spec

NZSP = load_host("nzsp")
VOLUME = "volume_A3_per_formula"
CALCULATOR = "tests.flows.test_screening_features:Still"


class Still(Calculator):
    """No forces and no stress: whatever it is given is relaxed."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(self.atoms), 3)), "stress": np.zeros(6)}


class Restless(Still):
    """Forces that never end."""

    def calculate(self, *args: Any, **kwargs: Any) -> None:
        super().calculate(*args, **kwargs)
        self.results["forces"][:, 0] = np.resize([1.0, -1.0], len(self.atoms))


class Breathing(Candidate):
    """A candidate whose orderings have the volume of their dopants."""

    def ordering(self, index: int = 0) -> Atoms:
        return breathed(super().ordering(index))


def breathed(atoms: Atoms) -> Atoms:
    """The volume follows the rule by which the synthetic campaign makes its barriers: 1 % for 0.01 eV."""
    effect = sum(EFFECT_eV.get(symbol, 0.0) for symbol in atoms.symbols)
    atoms.set_cell(atoms.cell * (1 + effect) ** (1 / 3), scale_atoms=True)
    return atoms


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> list[Candidate]:
    """Of a campaign whose labels have kept relaxed structures."""
    folder = tmp_path_factory.mktemp("campaigns") / "synthetic"
    view = played(folder, Spec(folders=False, failure_rate=0.0, batch=10))
    possible = [label for label in view.best if _fits(Composition.from_key(label.composition))]
    for label in possible[:14]:
        kept = folder / "labels" / label.label_key
        kept.mkdir(parents=True, exist_ok=True)
        atoms = breathed(draw(NZSP, Composition.from_key(label.composition), label.ordering, 7))
        ase.io.write(kept / "relaxed.extxyz", atoms[atoms.numbers != 0])
    config = parse_config({"campaign": {"name": "synthetic", "folder": str(folder.parent), "seed": 7}})
    (folder / "config.json").write_text(config.model_dump_json())
    found = find_campaign(str(folder))
    every = [one for one in candidates_of(found, found.config) if _fits(one.composition)]
    exact = tuple(replace(a, value_eV=None if a.value_eV is None else 0.33 + effect_eV(a)) for a in view.acquisitions)
    campaign = replace(every[0].campaign, view=replace(every[0].campaign.view, acquisitions=exact))
    names = [field.name for field in fields(Candidate)]
    return [Breathing(**{name: getattr(one, name) for name in names} | {"campaign": campaign}) for one in every]


def effect_eV(label: Acquisition) -> float:
    """The synthetic rule without its noise, of which 14 labels would show little else."""
    return sum(EFFECT_eV[element] * n for element, n in Composition.from_key(label.composition).amounts)


def _fits(composition: Composition) -> bool:
    """Synthetic compositions are neutral, but some have more sodium than the cell has sites."""
    return composition.mobile <= NZSP.n_mobile_sites


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Features of 16 NASICONs of different volume, with a target that follows it."""
    rows = []
    atoms = draw(NZSP, Composition.of(NZSP, {"Sn": 1, "Sc": 1, "Ge": 1, "Nb": 1}), 0, 0)
    for scale in np.linspace(0.97, 1.03, 16):
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell * scale, scale_atoms=True)
        rows.append(
            {"id": f"{scale:.3f}", **structural_features(scaled, framework_of(NZSP)), "msd_A2": 10 * scale**3}
        )
    return pd.DataFrame(rows)


def step(**settings: Any) -> SfMsdStep:
    return SfMsdStep(calculator=CALCULATOR, orderings=2, folds=4, **settings)


def test_it_learns_from_the_campaign_s_labels_and_averages_orderings(candidates, tmp_path):
    screened = screen(candidates[:4], [step(lowest=2, columns=VOLUME)], tmp_path)
    found = {entry.candidate.formula: entry.candidate.found["sf-msd"] for entry in screened.entries}
    assert len(screened.kept) == 2
    for one in found.values():
        assert one.value == pytest.approx(np.mean(one.facts["predicted"]), abs=1e-5)
        assert one.facts["orderings"] == 2 == len(one.facts["predicted"])
        assert one.facts["spread"] >= 0
        assert one.facts["mae"] < one.facts["mae_mean_predictor"]
        assert one.facts["skilled"]
        assert one.facts["target"] == BARRIER
    for entry in screened.entries:
        assert "cross-validated MAE" in entry.reason
        assert "the mean predictor's" in entry.reason
        assert "NO SKILL" not in entry.reason
    again = screen(candidates[:4], [step(highest=1, columns=VOLUME)], tmp_path)
    assert {e.candidate.formula: e.candidate.found["sf-msd"] for e in again.entries} == found


def test_a_table_teaches_its_target(candidates, table, tmp_path):
    path = tmp_path / "features.csv"
    table.to_csv(path, index=False)
    (entry,) = screen(candidates[:1], [step(table=path, target="msd_A2")], tmp_path / "screen").entries
    found = entry.candidate.found["sf-msd"]
    assert found.facts["target"] == "msd_A2"
    assert found.facts["structures"] == 16
    assert table.msd_A2.min() <= found.value <= table.msd_A2.max()
    assert json.loads(found.model_dump_json())["facts"]["features"] == list(found.facts["features"])


@pytest.mark.parametrize("needs_skill", [True, False])
def test_a_model_without_skill_says_so_loudly(candidates, table, tmp_path, needs_skill):
    noise = table.assign(msd_A2=np.random.default_rng(1).normal(10, 1, len(table)))
    path = tmp_path / "noise.csv"
    noise.to_csv(path, index=False)
    asked = step(table=path, target="msd_A2", needs_skill=needs_skill)
    (entry,) = screen(candidates[:1], [asked], tmp_path / "screen").entries
    assert "NO SKILL: cross-validated MAE" in entry.reason
    assert entry.kept != needs_skill
    assert (entry.candidate.found["sf-msd"].value is None) == needs_skill
    assert entry.candidate.found["sf-msd"].facts["skilled"] is False


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="M-O_A").assign(foreign_A=np.arange(16.0)), "the model asks for foreign_A"),
        (lambda t: t.assign(volume_A3_per_formula=t.volume_A3_per_formula / 2), "8.0 formula units and this one 4.0"),
        (lambda t: t.head(6), "6 rows; at least 10"),
        (lambda t: t.rename(columns={"msd_A2": "other"}), "column msd_A2 missing"),
        (lambda t: t.assign(msd_A2=1.0), "nothing to learn"),
        (lambda t: t.assign(composition=["one", "two"] * 8), "4 folds of 2 compositions"),
        (None, "no such file"),
    ],
)
def test_a_table_that_does_not_fit_gives_a_reason_and_no_number(candidates, table, tmp_path, change, words):
    path = tmp_path / "features.csv"
    if change is not None:
        change(table).to_csv(path, index=False)
    asked = step(table=path, target="msd_A2", columns="all", needs_skill=False)
    (entry,) = screen(candidates[:1], [asked], tmp_path / "screen").entries
    assert not entry.kept
    assert words in entry.reason


def test_labels_without_structures_are_a_reason(candidates, tmp_path, monkeypatch):
    one = candidates[0]
    monkeypatch.setattr(Campaign, "relaxed", lambda *_: None)
    forgetful = replace(one, campaign=replace(one.campaign, _made={}))
    (entry,) = screen([forgetful], [step()], tmp_path / "screen").entries
    assert "converged labels has a relaxed structure" in entry.reason


def test_an_ordering_that_does_not_relax_is_left_out_with_its_reason(candidates, table, tmp_path):
    path = tmp_path / "features.csv"
    table.to_csv(path, index=False)
    restless = "tests.flows.test_screening_features:Restless"
    asked = SfMsdStep(calculator=restless, relaxation={"steps": 1}, table=path, target="msd_A2", folds=4)
    (entry,) = screen(candidates[:1], [asked], tmp_path / "screen").entries
    assert "no ordering could be relaxed" in entry.reason
    assert "unconverged" in entry.reason


def test_table_and_target_belong_together():
    with pytest.raises(ConfigError, match="table and target belong together"):
        parse_config({"campaign": {"name": "x"}, "screen": {"steps": [{"step": "sf-msd", "table": "t.csv"}]}}, "x")


def test_orderings_of_one_composition_are_never_in_two_folds(table):
    """Every composition twice, with a target of its own that no feature tells: only a torn pair would know it."""
    pairs = pd.concat([table, table]).assign(composition=[*range(16), *range(16)])
    secret = np.random.default_rng(3).normal(0, 1, 16)
    pairs["msd_A2"] = [*secret, *secret]
    assert not SfMsd.of(pairs, "msd_A2", "structural", "random-forest", 4, 0).check.skilled
    assert SfMsd.of(pairs.drop(columns="composition"), "msd_A2", "structural", "random-forest", 4, 0).check.skilled


def test_a_host_says_which_elements_play_which_part(table):
    nzsp, nvpf = framework_of(NZSP), framework_of(load_host("nvpf"))
    assert (nzsp.framework, nzsp.anions, nzsp.anions_per_formula) == (("Si", "P"), ("O",), 12)
    assert (nvpf.framework, nvpf.anions, nvpf.anions_per_formula) == (("P",), ("F", "O"), 11)
    assert framework_of(load_host("lzsp")).geometries[0] == "T:4"
    assert formula_units(table) == pytest.approx(4)
    assert formula_units(table.drop(columns="alpha_deg")) is None
