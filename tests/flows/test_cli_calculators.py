"""What `ionloop calculators` and `ionloop label` say comes out as it was meant."""

from pathlib import Path

import pytest
from ase.build import bulk
from typer.testing import CliRunner

from calculators import universal
from flows.cli_calculators import app, console

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
    assert LACKS in CliRunner().invoke(app, words).output
