"""Electrodes from the space to the ranking, with EMT on an alloy that it knows, and the commands."""

import json
from pathlib import Path

import ase.io
import pandas as pd
import pytest
from typer.testing import CliRunner

from agent.electrode_screening import Rules, screen
from agent.electrodes import ElectrodeSpace, parse_metals
from agent.hosts import load_host
from calculators.relaxations import RelaxationSettings, Relaxer
from calculators.voltage import average_voltage_V
from flows.cli import app
from flows.electrodes import Study, candidate_of, most_probable, pristine, read_candidates, write_table
from flows.errors import UserError
from flows.plots_electrodes import profiles, ranking

ALLOY = Path(__file__).with_name("alloy.toml")
LOOSE = RelaxationSettings(fmax_eV_per_A=0.1, max_framework_move_A=3.0)


def run(*arguments, code=0):
    found = CliRunner().invoke(app, ["electrodes", *map(str, arguments)])
    if code == 0:
        assert found.exit_code == 0, (found.output, found.exception)
    else:
        assert isinstance(found.exception, UserError), (found.output, found.exception)
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def study(results):
    return Study(ElectrodeSpace(load_host(ALLOY)), Relaxer("emt", results, LOOSE))


@pytest.fixture(scope="module")
def rows(study):
    space = study.space
    return [
        study.row(space.arrangements(metals)[0]) for metals in (pristine(space), parse_metals(space.host, "Cu7Pd"))
    ]


def test_voltages_are_those_of_the_relaxed_energies(study, rows):
    arrangement = study.space.arrangements(pristine(study.space))[0]
    found = study.relaxed(arrangement)
    metal = study.potentials.of("Ag").energy_eV_per_atom
    expected = average_voltage_V(found[3].energy_eV, 3, found[4].energy_eV, 4, metal)
    assert rows[0]["V43"] == pytest.approx(expected, abs=1e-4)
    assert rows[0]["verdict"] == "ok"


def test_the_host_itself_does_not_relax_again(rows):
    """Structures before relaxation are the relaxed host: its own relaxation energy is nothing, a mixture's is not."""
    pure, mixed = ([row[f"relaxation_eV_per_atom_Ag{n}"] for n in (1, 2, 3, 4)] for row in rows)
    assert max(pure) < 1e-3
    assert min(mixed) > max(pure)


def test_a_host_relaxes_from_a_start_without_symmetry_unless_it_is_told_not_to(study, results):
    """Every start is the template displaced by 0.05 Å, the same one each time; 0 takes the template itself."""
    fresh, space = Relaxer("emt", results, LOOSE), study.space
    for content, template in space.templates.items():
        displaced = template.copy()
        displaced.rattle(0.05, seed=int(content))
        assert study.hosts[content].positions == pytest.approx(fresh.find(displaced, "Ag").atoms.positions)
    symmetric = Study(space, fresh, rattle_A=0.0)
    for content, template in space.templates.items():
        assert symmetric.hosts[content].positions == pytest.approx(fresh.find(template, "Ag").atoms.positions)
        assert symmetric.hosts[content].positions != pytest.approx(study.hosts[content].positions, abs=1e-3)


def test_nothing_is_relaxed_twice(study, rows, results):
    calls = []
    again = Study(study.space, Relaxer("emt", results, LOOSE, progress=calls.append))
    assert again.row(again.space.arrangements(pristine(again.space))[0]) == rows[0]
    assert calls == []


def test_formation_energies_and_voltages_agree(study, rows):
    """The same voltage from the formation energies of the table, where the metal is at zero."""
    cells = {n: (12 + n) * rows[1][f"formation_eV_per_atom_Ag{n}"] for n in (3, 4)}
    assert -(cells[4] - cells[3]) == pytest.approx(rows[1]["V43"], abs=1e-3)


def test_data_set_of_a_study(study, tmp_path):
    arrangement = study.space.arrangements(parse_metals(study.space.host, "Cu7Pd"))[0]
    path = tmp_path / "dataset.extxyz"
    ase.io.write(path, study.frames(arrangement))
    frames = ase.io.read(path, ":")
    assert [atoms.info["id"] for atoms in frames] == [f"Cu7Pd1#0-Ag{n}" for n in (1, 2, 3, 4)]
    assert {"relaxation_eV_per_atom", "formation_eV_per_atom"} <= set(frames[0].info)


def test_a_host_that_does_not_relax_stops_the_study(tmp_path):
    study = Study(ElectrodeSpace(load_host(ALLOY)), Relaxer("emt", tmp_path, RelaxationSettings(steps=1)))
    with pytest.raises(ValueError, match=r"alloy Ag1 with emt: unconverged"):
        study.row(study.space.arrangements(pristine(study.space))[0])


def test_a_substitute_that_collapses_is_left_out(study, results, tmp_path):
    """Palladium is too large for this limit: a verdict, no voltages, and the screening says why."""
    limit = LOOSE.model_copy(update={"max_volume_change": 0.14})
    strict = Study(study.space, Relaxer("emt", results, limit))
    host = study.space.host
    row = strict.row(strict.space.arrangements(parse_metals(host, "Pd8"))[0])
    assert "collapsed: the volume changed by +" in row["verdict"]
    assert row["V43"] is None
    write_table([row], tmp_path / "voltages.csv")
    (found,) = screen(read_candidates(tmp_path / "voltages.csv"))
    assert not found.passed
    assert "collapsed" in found.reasons[0]


def test_most_probable(study):
    arrangements = study.space.arrangements(parse_metals(study.space.host, "Cu6Pd2"))
    first = most_probable(arrangements, 2)
    assert [one.multiplicity for one in first] == sorted((a.multiplicity for a in arrangements), reverse=True)[:2]
    assert len(most_probable(arrangements, None)) == len(arrangements)


def test_tables_survive_the_round_trip(rows, tmp_path):
    write_table(rows, tmp_path / "voltages.csv")
    found = read_candidates(tmp_path / "voltages.csv")
    assert [(one.name, one.V43) for one in found] == [(row["name"], row["V43"]) for row in rows]
    assert found[1].relaxation_eV_per_atom[4] == rows[1]["relaxation_eV_per_atom_Ag4"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,V21,V32\nA#0,3.6,3.4\n", "no column V43"),
        ("name,V21,V32,V43\nA#0,3.6,3.4,2.4\n", "no column relaxation_eV_per_atom"),
        ("name,V21,V32,V43,relaxation_eV_per_atom_Na1\nA#0,3.6,high,2.4,0.1\n", "line 2: V32 = 'high' is no number"),
    ],
)
def test_bad_tables(tmp_path, text, said):
    (tmp_path / "voltages.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        read_candidates(tmp_path / "voltages.csv")


def test_a_row_without_a_relaxation_energy_is_left_out(tmp_path):
    columns = "name,V21,V32,V43,relaxation_eV_per_atom_Na1,relaxation_eV_per_atom_Na2"
    (tmp_path / "t.csv").write_text(f"{columns}\nA#0,3.6,3.4,2.4,0.1,\n")
    (found,) = screen(read_candidates(tmp_path / "t.csv"))
    assert found.reasons == ("no relaxation energy in relaxation_eV_per_atom_Na2",)


def test_plots_with_and_without_data(rows, tmp_path):
    table = write_table(rows, tmp_path / "voltages.csv")
    screened = screen(read_candidates(tmp_path / "voltages.csv"))
    for figure in (profiles(table, "Ag"), profiles(table.head(0)), ranking(screened, Rules()), ranking([], Rules())):
        figure.savefig(tmp_path / "plot.png")
        assert (tmp_path / "plot.png").stat().st_size > 2_000


def test_the_enumerate_command(tmp_path):
    found = run("enumerate", "--out", tmp_path, "--metals", "V,Cu,Mo")
    assert "24 compounds of 3 metals" in found.output
    table = pd.read_csv(tmp_path / "arrangements.csv")
    assert len(table) == 3 + 3 * 44
    assert pd.read_csv(tmp_path / "counts.csv").set_index("symmetry").loc["bare host", "per pair"] == 32


def test_the_commands_one_after_another(tmp_path):
    out = tmp_path / "study"
    where = ("--host", ALLOY, "--calculator", "emt", "--fmax", 0.1, "--contents", "3,4")
    found = run("voltages", "Cu8", "Cu7Ni", "--out", out, *where)
    assert "Cu8#0: V43" in found.output
    files = {path.name for path in out.iterdir()}
    assert files == {"results", "voltages.csv", "profiles.png", "dataset.extxyz"}
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.json")}
    run("voltages", "Cu8", "Cu7Ni", "--out", out, *where)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.json")} == before
    assert all(json.loads(path.read_text())["calculator"] == "emt" for path in before)
    found = run("screen", out)
    assert "0 of 2 compounds stay" in found.output  # two contents give no V21
    assert (out / "ranking.png").is_file()


@pytest.mark.slow
def test_models_in_place_of_the_calculator(study, rows, tmp_path):
    """Train on a small study, predict every arrangement of two metals, screen."""
    from flows.electrode_models import predicted_rows
    from models.commands import TrainOptions, train
    from models.ensemble import EnsembleConfig
    from models.training import TrainConfig

    host = study.space.host
    frames = [
        atoms
        for name in ("Cu8", "Cu7Pd", "Cu6Pd2")
        for atoms in study.frames(study.space.arrangements(parse_metals(host, name))[0])
    ]
    ase.io.write(tmp_path / "dataset.extxyz", frames)
    config = EnsembleConfig(train=TrainConfig(epochs=2))
    for target in ("formation_eV_per_atom", "relaxation_eV_per_atom"):
        train(TrainOptions(tmp_path / "dataset.extxyz", tmp_path / target, target, members=1, folds=0, config=config))
    todo = study.space.arrangements(parse_metals(host, "Cu6Pd2"))
    found = predicted_rows(study, todo, tmp_path / "formation_eV_per_atom", tmp_path / "relaxation_eV_per_atom")
    table = write_table(found, tmp_path / "voltages.csv")
    assert list(table["name"]) == [one.name for one in todo]
    assert table[["V21", "V32", "V43"]].notna().all(axis=None)
    assert (table["V43_sigma"] >= 0).all()
    assert len(screen(read_candidates(tmp_path / "voltages.csv"))) == len(todo)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("voltages", "Xx2"), "none of the metals of nvpf"),
        (("voltages", "V2", "--contents", "3,5"), "Na content 5: allowed are multiples of 0.25 from 0 to 4"),
        (("voltages", "V2", "--contents", "a,b"), "write numbers with commas"),
        (("voltages", "V2", "--sodium", "3=1"), "write CONTENT:RANK"),
        (("voltages", "V2", "--calculator", "bvse"), "gives no energies and forces"),
        (("voltages", "V2", "--host", "nonesuch"), "not a file, and not one of"),
        (("enumerate", "--metals", "V,Ge"), "'Ge' is none of the metals"),
        (("screen", "nowhere.csv"), "no such file"),
        (("screen", "--window", "3.5"), "write two voltages"),
        (("screen", "--measure", "mean"), "spread"),
        (("predict", "nomodel", "nomodel", "--metals", "V", "--out", "x", "--calculator", "nonesuch"), "unknown"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run(*arguments, code=2)
    assert said in str(found.exception)


def test_the_step_of_a_campaigns_screen(study, tmp_path):
    """The campaign's own ordering of the metals; relaxations are shared by all compositions and survive a kill."""
    from types import SimpleNamespace

    from agent.composition import Composition
    from agent.electrode_screening import Rules
    from flows.screening import Campaign, Candidate, measurement
    from flows.screening_voltage import VoltageStep

    host = study.space.host
    campaign = Campaign(SimpleNamespace(folder=tmp_path), host, 0)
    composition = Composition.of(host, {"Cu": 7, "Pd": 1})
    candidate = Candidate(campaign, 1, composition, "Cu7Pd", None, 0.3, None, "label")
    open_rules = Rules(min_V21_V=-9, max_V21_V=9, max_relaxation_eV_per_atom=9)
    step = VoltageStep(calculator="emt", relaxation=LOOSE, rules=open_rules)
    found = measurement(step, candidate, tmp_path / "measured")
    assert found.facts["compound"] == "Cu7Pd1"
    assert found.facts["arrangement"].count("Pd") == 1
    assert found.value is None
    assert "step shape" in found.reason  # an alloy is no cathode
    computed = sorted((tmp_path / "screening" / "relaxations").rglob("*.json"))
    assert computed
    other = VoltageStep(calculator="emt", relaxation=LOOSE)
    assert "V21" in measurement(other, candidate, tmp_path / "measured").reason
    assert sorted((tmp_path / "screening" / "relaxations").rglob("*.json")) == computed


EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "electrodes" / "voltages.csv"


def test_the_example_is_what_the_page_says():
    """Three of six stay, in this order; the strict reading of rule 1 leaves one."""
    found = [one for one in screen(read_candidates(EXAMPLE)) if one.passed]
    assert [one.candidate.compound for one in found] == ["Au0.75Mo1.25", "Cu0.25V1.75", "Cu0.5Mo1.5"]
    assert [round(one.score, 3) for one in found] == [0.415, 0.641, 0.748]
    strict = [one for one in screen(read_candidates(EXAMPLE), Rules(relaxation_measure="largest")) if one.passed]
    assert [one.candidate.compound for one in strict] == ["Cu0.25V1.75"]


def test_a_voltage_that_the_model_does_not_know_is_not_judged():
    row = pd.read_csv(EXAMPLE).set_index("name", drop=False).loc["Au0.75Mo1.25#0"].to_dict()
    known, unknown = candidate_of(row | {"V21_sigma": 0.2}), candidate_of(row | {"V21_sigma": 6.46, "V43_sigma": 0.2})
    assert known.problem == ""
    assert unknown.problem.startswith("V21: sigma up to 6.5 V")
    (judged,) = screen([unknown])
    assert not judged.passed


@pytest.mark.slow
def test_vanadium_by_chgnet(tmp_path):
    """Symmetric Na_xV2(PO4)2F3: steps fall, moments follow the valence (4 to 2.5), as in the example."""
    space = ElectrodeSpace(load_host("nvpf"))
    row = Study(space, Relaxer("chgnet", tmp_path), rattle_A=0.0).row(space.arrangements(pristine(space))[0])
    assert row["verdict"] == "ok"
    assert row["V21"] > row["V32"] > row["V43"]
    for content, moment in {1: 1.0, 2: 1.5, 3: 2.0, 4: 2.5}.items():
        assert row[f"magmom_muB_V_Na{content}"] == pytest.approx(moment, abs=0.3)
    example = pd.read_csv(EXAMPLE).set_index("name").loc["V2#0"]
    for step in ("V21", "V32", "V43"):
        assert row[step] == pytest.approx(example[step], abs=0.02)
