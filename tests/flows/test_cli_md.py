"""`ionloop md` and the steps of a screen that run dynamics, on EMT."""

import json

import pytest
from ase.build import bulk
from typer.testing import CliRunner

from flows.cli import app
from flows.cli_md import md_note
from flows.errors import UserError
from flows.screening import Measurement
from flows.screening_md import StabilityStep, TransportStep


@pytest.fixture
def alloy(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms.numbers[0] = 13
    path = tmp_path / "alloy.extxyz"
    atoms.write(path)
    return path


def md(*words):
    return CliRunner().invoke(app, ["md", *map(str, words)])


def test_the_command_writes_result_tables_and_pictures(alloy, tmp_path):
    out = tmp_path / "out"
    words = ["--ion", "Al", "--calculator", "emt", "--temperatures", "300,400", "--ps", 3, "--equilibration", 0.1]
    done = md(alloy, *words, "--timestep", 5, "--no-relax", "--out", out)
    assert done.exit_code == 0, done.output
    assert "not diffusive" in done.output
    assert "no activation energy (too few temperatures)" in done.output
    assert {path.name for path in out.iterdir()} >= {
        "transport.json",
        "msd.csv",
        "arrhenius.csv",
        "msd.png",
        "arrhenius.png",
        "rmsd.png",
        "300K",
        "400K",
    }
    assert json.loads((out / "transport.json").read_text())["provenance"]["calculator"] == "emt"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ion", "Li"], "no Li in"),
        (["--ion", "Al", "--temperatures", "hot"], "give numbers"),
        (["--ion", "Al", "--thermostat", "andersen"], "md.thermostat = 'andersen'"),
        (["--ion", "Al", "--calculator", "nonsense"], "unknown; available"),
        (["--ion", "Al", "--window", "80,20"], "window_ps"),
    ],
)
def test_bad_input_is_the_user_s(alloy, tmp_path, words, said):
    done = md(alloy, "--calculator", "emt", "--out", tmp_path / "out", *words)
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)


def test_a_missing_file_is_named(tmp_path):
    done = md(tmp_path / "nowhere.cif", "--ion", "Na")
    assert isinstance(done.exception, UserError)
    assert "no such file" in str(done.exception)


def test_progress_says_temperature_time_and_speed():
    event = {"target_K": 1200.0, "ps": 3.25, "temperature_K": 1187.2, "steps_per_s": 6.84}
    assert md_note(event) == "1200 K: 3.25 ps, now 1187 K, 6.8 steps/s"


class Candidate:
    """Of a screen's candidate, what the steps use: an ordering, a formula and the host's ion."""

    formula = "AlCu3"

    class campaign:
        class host:
            mobile = "Al"

    def ordering(self, index):
        atoms = bulk("Cu", cubic=True)
        atoms.numbers[index] = 13
        return atoms


SHORT = {
    "calculator": "emt",
    "ps": 3,
    "settings": {
        "relax": False,
        "min_cell_A": 0,
        "md": {"equilibration_ps": 0.1, "time_step_fs": 5, "frame_every": 4},
    },
}


def test_stability_and_transport_share_their_trajectories(tmp_path):
    home = tmp_path / "thermal-stability" / "key"
    home.mkdir(parents=True)
    found = StabilityStep(temperatures_K=[300], at_most=1.0, **SHORT).measure(Candidate(), home)
    assert isinstance(found, Measurement)
    assert 0 < found.value < 0.5
    assert found.facts["temperature_K"] == 300
    (runs,) = (tmp_path / "md").iterdir()
    written = (runs / "300K" / "trajectory.traj").stat().st_mtime_ns
    found = TransportStep(temperatures_K=[300], **SHORT).measure(Candidate(), tmp_path / "transport" / "key")
    assert found.value is None
    assert "300 K: the MSD of Al reaches" in found.reason
    assert found.facts["window_msd_A2"]["300"] > 0
    assert (runs / "300K" / "trajectory.traj").stat().st_mtime_ns == written


def test_the_address_of_a_step_is_everything_that_decides_its_value():
    step = TransportStep(temperatures_K=[300], **SHORT)
    same = TransportStep(temperatures_K=[300], highest=3, **SHORT)
    longer = TransportStep(temperatures_K=[300], **(SHORT | {"ps": 4}))
    candidate = Candidate()
    assert step.address(candidate) == same.address(candidate) != longer.address(candidate)
    json.dumps(step.address(candidate))


def test_two_temperatures_are_refused_and_settings_are_checked():
    with pytest.raises(ValueError, match="at least three"):
        TransportStep(temperatures_K=[900, 1200])
    with pytest.raises(ValueError, match="unknown setting"):
        StabilityStep(settings={"nonsense": 1})
