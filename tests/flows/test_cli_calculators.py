"""What `ionloop calculators` and `ionloop label` say comes out as it was meant."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import read
from click.testing import Result
from typer.testing import CliRunner

from calculators import universal
from flows.cli_calculators import app, console
from tests.flows.test_kill import REPOSITORY

LACKS = "needs matcalc and mace-torch: pip install 'ionloop[mace]'"


def test_the_brackets_of_an_extra_are_no_markup(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(universal.mace, "unavailable", lambda: LACKS)
    monkeypatch.setattr(console, "width", 200)
    listed = CliRunner().invoke(app, ["calculators"])
    assert LACKS in listed.output
    cell = bulk("Cu", cubic=True) * 2
    cell.numbers[0] = 0
    cell.write(tmp_path / "cu.extxyz")
    words = [
        "label",
        str(tmp_path / "cu.extxyz"),
        "--ion",
        "Cu",
        "--calculator",
        "mace",
        "--out",
        str(tmp_path / "out"),
    ]
    assert LACKS in str(CliRunner().invoke(app, words).exception)
    assert not (tmp_path / "out").exists()


PLUGINS = """
import os
import time

from ase.calculators.emt import EMT


class Hanging(EMT):
    def calculate(self, *args, **words):
        time.sleep(3600)


class Crashing(EMT):
    def calculate(self, *args, **words):
        os.abort()


class NotANumber(EMT):
    def calculate(self, *args, **words):
        super().calculate(*args, **words)
        self.results["energy"] = float("nan")
"""


@pytest.fixture
def label(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """`ionloop label` of a vacancy in copper, with the calculators of a file in the working directory at hand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(console, "width", 200)
    (tmp_path / "odd_plugins.py").write_text(PLUGINS)
    cell = bulk("Cu", cubic=True) * 2
    cell.numbers[0] = 0
    cell.write(tmp_path / "cu.extxyz")
    return lambda *words: CliRunner().invoke(app, ["label", "cu.extxyz", "--ion", "Cu", *words])


def test_a_calculator_that_hangs_or_crashes_does_not_take_the_command_with_it(label: Callable[..., Result]) -> None:
    hung = label("--calculator", "odd_plugins:Hanging", "--time-limit", "0.2")
    assert hung.exit_code == 1
    assert "no label (walltime): no label after 12 s; it goes on from the last band if tried again" in hung.output
    crashed = label("--calculator", "odd_plugins:Crashing", "--out", "other")
    assert crashed.exit_code == 1
    assert "no label (transient): the worker was killed by signal 6" in crashed.output


def test_between_two_states_the_same(label: Callable[..., Result]) -> None:
    """`--initial A --final B` computes in a process of its own, as a structure does."""
    full = bulk("Cu", cubic=True) * 2
    full[1:].write("a.extxyz")
    moved = full[1:]
    moved.positions[0] = full.positions[0]
    moved.write("b.extxyz")

    def path(*words: str) -> Result:
        return CliRunner().invoke(app, ["label", "--initial", "a.extxyz", "--final", "b.extxyz", *words])

    hung = path("--calculator", "odd_plugins:Hanging", "--time-limit", "0.2", "--out", "hung")
    assert (hung.exit_code, "no label (walltime): no label after 12 s" in hung.output) == (1, True), hung.output
    crashed = path("--calculator", "odd_plugins:Crashing", "--out", "crashed")
    assert (crashed.exit_code, "(transient): the worker was killed by signal 6" in crashed.output) == (1, True)
    nan = path("--calculator", "odd_plugins:NotANumber", "--out", "nan")
    assert nan.exit_code == 1
    assert "no label (invalid): the calculator returned an energy or force that is no number" in nan.output
    done = path("--calculator", "emt", "--images", "3", "--out", "done")
    assert done.exit_code == 0, done.output
    band = ["--band", *(f"{number}.extxyz" for number in range(3))]
    for number, image in enumerate(read("done/band.extxyz", "1:4")):
        image.write(f"{number}.extxyz")
    again = path("--calculator", "emt", *band, "--out", "again")
    assert again.exit_code == 0, again.output
    whole = path("--calculator", "emt", "--out", "whole", "--band", "done/band.extxyz")
    assert whole.exit_code == 0, whole.output
    assert json.loads(Path("whole/work.json").read_text())["settings"]["images"] == 3  # end points are not counted
    calls = [json.loads(Path(folder, "label.json").read_text())["force_calls"] for folder in ("done", "whole")]
    assert calls[1] < calls[0]  # it starts from where the first one ended
    assert "--band has 3 between" in str(path("--calculator", "emt", *band, "--images", "5", "--out", "x").exception)


def test_a_calculator_in_the_working_directory_is_found_by_the_installed_command(tmp_path: Path) -> None:
    """Which, unlike `python -m`, does not look there by itself."""
    own = "from ase.calculators.emt import EMT\n\ndef mine():\n    return EMT()\n\nmine.fidelity = 'mine-neb'\n"
    (tmp_path / "own_calculators.py").write_text(own)
    cell = bulk("Cu", cubic=True) * 2
    cell.numbers[0] = 0
    cell.write(tmp_path / "cu.extxyz")
    command = [sys.executable, "-P", "-c", "from flows.cli import main; main()", "label", "cu.extxyz", "--ion", "Cu"]
    given = ["--calculator", "own_calculators:mine", "--preset", "quick"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        command + given, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "eV (mine-neb)" in done.stdout


def test_rule_and_options_of_the_calculator_can_be_given(label: Callable[..., Result]) -> None:
    quick = ["--calculator", "emt", "--preset", "quick"]
    done = label(*quick, "--rule", "all", "--options", '{"asap_cutoff": true}')
    assert done.exit_code == 0, done.output
    settings = json.loads(Path("label/work.json").read_text())["settings"]
    assert (settings["rule"], settings["options"], settings["images"]) == ("all", {"asap_cutoff": True}, 3)
    refused = str(label(*quick, "--rule", "most", "--out", "x").exception)
    assert "rule = 'most': allowed: bottleneck, all" in refused
    assert "options: no JSON" in str(label(*quick, "--options", "{", "--out", "x").exception)
