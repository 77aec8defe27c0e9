"""A study in a folder: what is kept, what is refused, and that no number comes of a run that failed."""

import csv
import json

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from calculators import md_study
from calculators.md import frames_of
from calculators.md_study import study, study_key, usual_charge_e
from calculators.transport import Verdict

#: Three picoseconds of four atoms: long enough for a window, too short for aluminium to diffuse.
SHORT = {
    "relax": False,
    "min_cell_A": 0,
    "md": {"ps": 3, "equilibration_ps": 0.1, "time_step_fs": 5, "frame_every": 4},
}


def alloy():
    atoms = bulk("Cu", cubic=True)
    atoms.numbers[0] = 13
    return atoms


def test_a_study_ends_in_files_that_say_why_there_is_no_number(tmp_path):
    events = []
    result = study(alloy(), "Al", "emt", [400, 600], tmp_path, SHORT, events.append)
    assert [run.diffusion.verdict for run in result.runs] == [Verdict.NOT_DIFFUSIVE] * 2
    assert [run.stability.stable for run in result.runs] == [True, True]
    assert all(0 < run.stability.rmsd_A < 0.5 for run in result.runs)
    assert result.arrhenius.verdict == "too few temperatures"
    assert (result.ions, result.charge_e) == (1, 3)
    written = json.loads((tmp_path / "transport.json").read_text())
    assert written["runs"][0]["diffusion"]["d_cm2_per_s"] is None
    with (tmp_path / "msd.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) > 100
    assert {row["temperature_K"] for row in rows} == {"400", "600"}
    with (tmp_path / "arrhenius.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert [line["D_cm2_per_s"] for line in lines] == ["", ""]
    assert "less than one hop" in lines[0]["excluded"]
    assert {event["target_K"] for event in events} == {400, 600}
    # Hotter atoms move further.
    assert float(lines[1]["window_msd_A2"]) > float(lines[0]["window_msd_A2"])

    again = study(alloy(), "Al", "emt", [400, 600], tmp_path, SHORT, lambda event: pytest.fail("ran again"))
    assert again.runs == result.runs


def test_a_longer_study_extends_the_runs_of_a_shorter_one(tmp_path):
    settings = SHORT | {"md": SHORT["md"] | {"ps": 0.2}}
    first = study(alloy(), "Al", "emt", [400], tmp_path, settings)
    assert first.runs[0].diffusion.verdict is Verdict.TOO_SHORT
    path = tmp_path / "400K" / "trajectory.traj"
    before, start = frames_of(path), ase.io.read(path, 3).positions
    study(alloy(), "Al", "emt", [400], tmp_path, SHORT | {"md": SHORT["md"] | {"ps": 0.4}})
    assert frames_of(path) == before + 10
    assert np.array_equal(ase.io.read(path, 3).positions, start)


def test_vacant_sites_are_left_out_and_the_cell_is_repeated(tmp_path):
    atoms = alloy()
    atoms.numbers[1] = 0
    settings = {"relax": False, "min_cell_A": 7, "md": SHORT["md"] | {"ps": 0.04, "equilibration_ps": 0}}
    result = study(atoms, "Al", "emt", [300], tmp_path, settings)
    assert result.formula == "Al8Cu16"
    assert result.ions == 8


def test_another_structure_needs_another_folder(tmp_path):
    study(alloy(), "Al", "emt", [300], tmp_path, SHORT | {"md": SHORT["md"] | {"ps": 0.2}})
    other = alloy()
    other.positions[0, 0] += 0.1
    with pytest.raises(ValueError, match="holds other work"):
        study(other, "Al", "emt", [300], tmp_path, SHORT)


def test_the_key_knows_what_decides_a_trajectory():
    key = study_key(alloy(), "Al", "emt", SHORT)
    assert key == study_key(alloy(), "Al", "emt", SHORT | {"md": SHORT["md"] | {"ps": 90}, "room_K": 298})
    assert key != study_key(alloy(), "Al", "emt", SHORT | {"md": SHORT["md"] | {"seed": 1}})
    assert key != study_key(alloy(), "Al", "emt", SHORT | {"relax": True})
    assert key != study_key(alloy(), "Al", "lj", SHORT)


class Blind(EMT):
    """EMT that has lost its numbers after the first steps."""

    calls = 0

    def calculate(self, *given, **named):
        super().calculate(*given, **named)
        Blind.calls += 1
        if Blind.calls > 30:
            self.results["forces"] = self.results["forces"] * np.nan


def blind():
    return Blind()


def test_a_run_that_explodes_is_a_failure_and_not_a_number(tmp_path):
    Blind.calls = 0
    result = study(alloy(), "Al", "tests.calculators.test_md_study:blind", [300, 500], tmp_path, SHORT)
    assert all(run.failure.kind == "invalid" for run in result.runs)
    assert "no number" in result.runs[0].failure.reason
    assert result.runs[0].sigma_mS_per_cm is None
    assert result.arrhenius.ea_eV is None
    assert "no number" in (tmp_path / "arrhenius.csv").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ion": "Li"}, "no Li in"),
        ({"ion": "Qq"}, "is no element"),
        ({"calculator": "bvse"}, "no energies and forces"),
        ({"calculator": "nonsense"}, "unknown; available"),
        ({"temperatures_K": []}, "temperatures"),
        ({"temperatures_K": [-5]}, "between 0 and 10000 K"),
        ({"settings": {"thermostat": "langevin"}}, "unknown setting 'thermostat'; allowed: relax"),
        ({"settings": {"md": {"ps": -1}}}, "md.ps"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, change, said):
    given = {
        "structure": alloy(),
        "ion": "Al",
        "calculator": "emt",
        "temperatures_K": [300],
        "out": tmp_path,
    } | change
    with pytest.raises(ValueError, match=said) as error:
        study(**given)
    assert "\n" not in str(error.value)


def test_without_kinisi_nothing_is_run(tmp_path, monkeypatch):
    def absent():
        raise ImportError("diffusion analysis needs kinisi")

    monkeypatch.setattr(md_study, "require_kinisi", absent)
    with pytest.raises(ImportError, match="needs kinisi"):
        study(alloy(), "Al", "emt", [300], tmp_path, SHORT)
    assert not list(tmp_path.iterdir())


def test_usual_charges():
    assert [usual_charge_e(ion) for ion in ("Na", "Li", "Mg")] == [1, 1, 2]
    with pytest.raises(ValueError, match="give charge_e"):
        usual_charge_e("He")
