"""The example package, installed as a person would, found by its entry point, and put through the suite."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tblite", reason="the example's calculator is not installed: pip install tblite")
ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
from calculators import registry
from calculators.conformance import check, as_table
names = {entry.name: entry for entry in registry.describe()}
print(names["gfn1-xtb"].fidelity, names["gfn1-xtb"].problem)
checks = list(check("gfn1-xtb"))
print(as_table(checks))
print("failed:", [entry.name for entry in checks if not entry.passed])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> dict[str, str]:
    """The environment of a process that sees the installed package."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")
    for path in (ROOT / "examples" / "xtb-plugin").iterdir():
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        target,
        source,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    path = [str(target), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}


def test_the_example_is_found_and_conforms(installed):
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=installed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "gfn1-xtb-neb None"
    # tblite samples the Γ point only: the suite finds that an 8-atom cell is too small for it, and nothing else.
    assert lines[-1] == "failed: ['supercell: energy doubles']", done.stdout
    assert "use a larger cell" in done.stdout


def test_it_is_about_twenty_lines():
    code = (ROOT / "examples" / "xtb-plugin" / "ionloop_xtb.py").read_text().splitlines()
    assert len([line for line in code if line.strip() and not line.strip().startswith("#")]) <= 25
