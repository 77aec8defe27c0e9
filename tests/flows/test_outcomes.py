"""Outcomes from tables and people, and what a campaign makes of them."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from agent.composition import Composition
from agent.formula import Occupation, descriptor_table
from agent.hosts import load_host
from agent.ledger import Ledger
from flows import outcomes
from flows.candidates import build_candidates
from flows.cli import app
from flows.config import load_config, parse_config
from flows.errors import UserError
from flows.found import find_campaign
from flows.outcomes import Classifier, PhaseClassifier, SynthesizabilitySection, add_outcome, read_outcomes, told
from flows.proposing import Proposer
from flows.screening import screen
from flows.screening_campaign import candidates_of
from flows.screening_steps import BarrierStep
from flows.screening_synthesizability import PuStep, SynthesizableStep
from flows.synthesizability import compare, predict, write
from tests.flows.conftest import played
from tests.flows.synthetic import Spec
from tests.flows.test_cli import ionloop
from tests.flows.toy import write_toy

NZSP = load_host("nzsp")
ME1 = "Na3.5Zr1.0Ti0.5Lu0.5Si2PO12"


def written(folder: Path, text: str) -> Path:
    path = folder / "outcomes.csv"
    path.write_text(text)
    return path


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    folder = tmp_path / "synthetic"
    played(folder, Spec(folders=False))
    config = parse_config({"campaign": {"name": "synthetic", "folder": str(tmp_path)}})
    (folder / "config.json").write_text(config.model_dump_json())
    return folder


def test_the_shipped_outcomes_are_those_that_the_paper_states() -> None:
    found = read_outcomes(None, NZSP)
    assert len(found) == 6
    assert found.pure.tolist() == [False, False, True, True, True, True]
    entropy = found.descriptors[:, 3]
    assert (found.pure == (entropy > 1.0)).all()  # the paper's claim: a single phase above 1.00 R


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("formula,phase\nNa3Zr2Si2PO12,pure\n", "column outcome missing; it has formula, phase"),
        ("formula,outcome\nNa3Zr2Si2PO12,maybe\n", "line 2: outcome is 'maybe'; allowed: pure, impure"),
        ("formula,outcome\nNa3Zr2Si2PO12,\n", "line 2: outcome is ''"),
        ("formula,outcome\nNa3Xx2Si2PO12,pure\n", "line 2: formula 'Na3Xx2Si2PO12': 'Xx' is not an element"),
        ("formula,outcome\nNa3Zr2Si2PO12,pure\nNa3Zr2.0Si2PO12,impure\n", "line 3: .* composition of line 2 already"),
        ("formula,outcome\n", "no rows"),
        ("", "not a CSV table"),
    ],
)
def test_a_table_with_an_error_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_outcomes(written(tmp_path, text), NZSP)


def test_no_such_table() -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_outcomes(Path("nowhere.csv"), NZSP)


def test_a_one_class_table_gives_a_verdict_and_no_number(tmp_path: Path) -> None:
    path = written(tmp_path, "formula,outcome\n" + "".join(f"{f},pure\n" for f in read_outcomes(None, NZSP).formulas))
    with pytest.raises(ValueError, match="6 pure and 0 impure"):
        compare(read_outcomes(path, NZSP), folds=3)
    with pytest.raises(ValueError, match="6 pure and 0 impure"):
        PhaseClassifier.of(SynthesizabilitySection(only=True, table=path), NZSP, [])


def test_the_six_published_outcomes_are_too_few_to_beat_the_majority(tmp_path: Path) -> None:
    comparison = compare(read_outcomes(None, NZSP), folds=6)
    assert "no classifier is reliably better" in comparison.verdict()
    table = comparison.table()
    assert table.classifier.iloc[-1] == "majority"
    names = {path.name for path in write(comparison, tmp_path)}
    assert names >= {"classifiers.csv", "compositions.csv", "confusion.png", "roc.png", "importances.png"}
    assert pd.read_csv(tmp_path / "classifiers.csv").shape == (6, 10)


def test_formulas_are_predicted_and_scored() -> None:
    said = predict(read_outcomes(None, NZSP), [ME1, "Na3Zr1.9Hf0.1Si2PO12"], NZSP, pu=True)
    assert said.probability_pure.iloc[0] > 0.9 > 0.1 > said.probability_pure.iloc[1]
    assert said.pu_score.between(0, 1).all()


@pytest.mark.parametrize("classifier", ["knn", "tree", "svm", "mlp"])
def test_every_classifier_gives_a_probability(classifier: str) -> None:
    said = predict(read_outcomes(None, NZSP), [ME1, "Na3Zr1.9Hf0.1Si2PO12"], NZSP, classifier)
    assert said.probability_pure.between(0, 1).all()
    assert said.probability_pure.iloc[0] >= said.probability_pure.iloc[1]


def test_a_table_of_successes_alone_is_enough_for_positive_unlabelled_scores(tmp_path: Path) -> None:
    shipped = read_outcomes(None, NZSP)
    table, asked = tmp_path / "pure.csv", tmp_path / "asked.csv"
    shipped.frame()[shipped.pure].to_csv(table, index=False)
    asked.write_text(f"formula\n{ME1}\nNa3Zr1.9Hf0.1Si2PO12\nNa3Zr1.9Sn0.1Si2PO12\n")
    command = ["synthesizability", str(table), "--predict", str(asked), "--pu", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "all pure: nothing to classify" in done.output
    assert "of known successes recognised when hidden" in done.output
    said = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert said.pu_score.between(0, 1).all()
    assert "probability_pure" not in said.columns
    refused = CliRunner().invoke(app, ["synthesizability", str(table), "--pu", "--out", str(tmp_path / "out")])
    assert "--predict" in str(refused.exception)


def test_what_a_person_adds_is_in_the_ledger_and_turns_the_constraint(tmp_path: Path) -> None:
    """The closed loop of the paper: an outcome that contradicts the classifier counts at once."""
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    ledger.create_campaign("c", "nzsp", "chgnet-neb", 0, {})
    section = SynthesizabilitySection(only=True)
    space = [Composition.of(NZSP, amounts) for amounts in ({"Ti": 2, "Lu": 2}, {"Ti": 2, "Hf": 2}, {})]
    occupations = [Occupation.of(one) for one in space]
    table = descriptor_table(occupations)

    before = PhaseClassifier.of(section, NZSP, told(ledger.events("c")))
    assert before.allowed(occupations, table).tolist() == [True, False, False]  # ME1 known pure; Zr2 known impure

    add_outcome(ledger, "c", ME1, NZSP, "impure", "XRD, batch 2", "ada")
    event = ledger.events("c", outcomes.EVENT)[-1]
    assert (event.who, event.data["outcome"], event.data["source"]) == ("ada", "impure", "XRD, batch 2")
    assert event.time is not None
    after = PhaseClassifier.of(section, NZSP, told(ledger.events("c")))
    assert not after.allowed(occupations, table)[0]
    assert len(after.outcomes) == len(before.outcomes)  # the newest word on ME1 replaced the older one

    add_outcome(ledger, "c", ME1, NZSP, "pure", "", "ada")
    again = PhaseClassifier.of(section, NZSP, told(ledger.events("c")))
    assert again.allowed(occupations, table)[0]
    ledger.close()


def test_an_impossible_formula_is_not_written(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    with pytest.raises(ValueError, match="not neutral"):
        add_outcome(ledger, "c", "Na3Zr1.5Lu0.5Si2PO12", NZSP, "pure", "", "ada")
    assert not ledger.events("c")
    ledger.close()


def test_the_command_adds_an_outcome_or_says_in_a_line_why_not(campaign: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["add-outcome", str(campaign), ME1, "Pure", "--source", "XRD"])
    assert done.exit_code == 0, done.output
    assert "only = true" in done.output  # it would not be used yet, and says so
    with find_campaign(str(campaign)).ledger() as ledger:
        assert ledger.events("synthetic", outcomes.EVENT)[0].data["formula"] == ME1
    for arguments, words in (
        ([str(campaign), ME1, "good"], "allowed are pure, impure"),
        ([str(campaign), "Na3Zr2", "pure"], "has not the framework"),
    ):
        refused = runner.invoke(app, ["add-outcome", *arguments])
        assert isinstance(refused.exception, UserError)
        assert words in str(refused.exception)


def test_the_command_compares_classifiers(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["synthesizability", "--folds", "6", "--out", str(tmp_path / "out")])
    assert found.exit_code == 0, found.output
    assert "majority" in found.output
    refused = CliRunner().invoke(app, ["synthesizability", "--folds", "10", "--out", str(tmp_path / "out")])
    assert "10 folds of 6 compositions" in str(refused.exception)


def test_a_screen_can_ask_for_a_single_phase(campaign: Path, tmp_path: Path) -> None:
    found = find_campaign(str(campaign))
    first = candidates_of(found, found.config)[0]
    with found.ledger() as ledger:
        add_outcome(ledger, "synthetic", first.composition.key, NZSP, "impure", "", "ada")
    candidates = candidates_of(found, found.config)
    screened = screen(candidates, [BarrierStep(), SynthesizableStep()], tmp_path / "screen")
    values = {entry.candidate.rank: entry.candidate.found["synthesizable"] for entry in screened.entries}
    assert values[first.rank].value == 0.0
    assert values[first.rank].reason == "found by experiment"
    probabilities = np.array([found.value for found in values.values()])
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert all(entry.candidate.found["synthesizable"].value >= 0.5 for entry in screened.kept)
    assert json.loads(SynthesizableStep().model_dump_json())["at_least"] == 0.5


@pytest.mark.parametrize("classifier", ["knn", "tree", "svm", "mlp"])
def test_every_classifier_can_screen(campaign: Path, tmp_path: Path, classifier: Classifier) -> None:
    found = find_campaign(str(campaign))
    screened = screen(candidates_of(found, found.config), [SynthesizableStep(classifier=classifier)], tmp_path)
    values = [entry.candidate.found["synthesizable"].value for entry in screened.entries]
    assert all(value is not None and 0 <= value <= 1 for value in values)


def test_a_screen_can_ask_for_likeness_to_known_successes(campaign: Path, tmp_path: Path) -> None:
    """Successes: everything with tantalum, of which the campaign ranks some. No failure is known."""
    found = find_campaign(str(campaign))
    candidates = candidates_of(found, found.config)
    likely = [one for one in candidates if "Ta" in dict(one.composition.amounts)]
    table = tmp_path / "pure.csv"
    table.write_text("formula,outcome\n" + "".join(f"{one.composition.key},pure\n" for one in likely[::2]))
    screened = screen(candidates, [PuStep(table=table)], tmp_path / "screen")
    scores = {e.candidate.composition.key: e.candidate.found["pu-score"] for e in screened.entries}
    assert all(scores[one.composition.key].value == 1.0 for one in likely[::2])
    hidden = [scores[one.composition.key].value for one in likely[1::2]]
    others = [scores[one.composition.key].value for one in candidates if one not in likely]
    assert np.mean(hidden) > np.mean(others)
    assert "recognised when hidden" in str(scores[likely[1].composition.key].facts["check"])
    assert all(entry.candidate.found["pu-score"].value >= 0.5 for entry in screened.kept)


def test_likeness_without_a_success_is_no_number(campaign: Path, tmp_path: Path) -> None:
    found = find_campaign(str(campaign))
    candidates = candidates_of(found, found.config)
    table = tmp_path / "impure.csv"
    table.write_text(f"formula,outcome\n{ME1},impure\n")
    screened = screen(candidates[:3], [PuStep(table=table)], tmp_path / "screen")
    assert not screened.kept
    assert all("0 positive" in entry.reason for entry in screened.entries)


def toy_table() -> str:
    """Nine alloys of the toy host: those with silver are impure."""
    lines = ["formula,outcome"]
    for charge, element in ((1, "Ag"), (2, "Pd"), (2, "Pt")):
        for amount in (0.125, 0.25, 0.375):
            mobile = 4 - (0.625 * 2 + (0.375 - amount) * 3 + charge * amount)
            aluminium = f"Al{0.375 - amount:g}" if amount < 0.375 else ""
            outcome = "impure" if element == "Ag" else "pure"
            lines.append(f"Cu{mobile:g}Ni0.625{aluminium}{element}{amount:g}Au,{outcome}")
    return "\n".join(lines) + "\n"


@pytest.mark.slow
def test_a_campaign_proposes_only_what_is_synthesizable(tmp_path: Path) -> None:
    """End to end on the toy host: everything with silver is called impure, and none of it is proposed."""
    path = write_toy(tmp_path, rounds=1)
    (tmp_path / "toy-outcomes.csv").write_text(toy_table())
    section = f'\n[synthesizability]\nonly = true\ntable = "{tmp_path}/toy-outcomes.csv"\nclassifier = "tree"\n'
    path.write_text(path.read_text() + section)
    result = ionloop("run", "toy.toml", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    found = find_campaign(str(tmp_path / "toy"))
    host = load_host(tmp_path / "toy-host.toml")
    classifier = PhaseClassifier.of(found.config.synthesizability, host, [])
    with found.ledger() as ledger:
        proposed = [Composition.from_key(row.composition) for row in ledger.proposals("toy")]
        decisions = [event.text for event in ledger.events("toy", "decision")]
    occupations = [Occupation.of(one) for one in proposed]
    assert len(proposed) == 3
    assert classifier.allowed(occupations, descriptor_table(occupations)).all()
    assert any("compositions are synthesizable by tree on 6 pure and 3 impure" in text for text in decisions)
    space = pd.read_csv(found.folder / "space.csv").composition.map(Composition.from_key)
    everything = [Occupation.of(one) for one in space]
    assert not classifier.allowed(everything, descriptor_table(everything)).all()  # it had something to do


def test_the_classifier_is_trained_once_until_there_is_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several places of a round look at the pool; an added outcome or a new table counts at the next look."""
    path = write_toy(tmp_path)
    table = tmp_path / "toy-outcomes.csv"
    table.write_text(toy_table())
    section = f'\n[synthesizability]\nonly = true\ntable = "{table}"\nclassifier = "tree"\n'
    path.write_text(path.read_text() + section)
    config = load_config(path)
    fits = []
    of = PhaseClassifier.of
    monkeypatch.setattr(PhaseClassifier, "of", lambda *args: fits.append(args) or of(*args))
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    ledger.create_campaign("toy", "toy", "toy", 7, {})
    proposer = Proposer(config, build_candidates(config), ledger)
    looks = [proposer.pool().allowed for _ in range(3)]
    assert "3 impure" in proposer.synthesizable()
    assert len(fits) == 1
    forbidden = proposer.candidates.compositions[int(np.flatnonzero(looks[0])[0])]
    add_outcome(ledger, "toy", forbidden.key, proposer.candidates.host, "impure", "", "ada")
    assert "4 impure" in proposer.synthesizable()
    assert not proposer.pool().allowed[proposer.candidates.index[forbidden.key]]
    assert len(fits) == 2
    table.write_text(toy_table().rpartition("Cu")[0])
    os.utime(table, ns=(0, 0))  # another time for certain
    assert "5 pure" in proposer.synthesizable()
    assert len(fits) == 3
