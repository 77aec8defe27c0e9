"""A toy host for fast campaigns with a real calculator: an ordered fcc alloy whose "mobile ions" are copper.

EMT knows the metals. The charges are bookkeeping, chosen so that dopants open vacancies on the copper sites; nothing
here is an ionic conductor.
"""

from __future__ import annotations

import json
from pathlib import Path

HOST = """
name = "toy"
title = "fcc NiAuCu2, a toy for tests"
spacegroup = "P4/mmm"
lattice = { a_A = 3.9, b_A = 3.9, c_A = 3.9 }
cell = [[2, 0, 0], [0, 2, 0], [0, 0, 2]]
formula_units = 8
mobile = "Cu"
substituted = "Ni"
framework_formula = "Au"
mobile_per_formula = 2.0
charges_e = { Cu = 1, Ni = 2, Au = -4 }
valences = { Al = [3], Pd = [2], Pt = [2], Ag = [1] }

[[sites]]
label = "Cu1"
sublattice = "mobile"
position = [0.0, 0.5, 0.5]
species = { Cu = 16 }

[[sites]]
label = "Ni"
sublattice = "substituted"
position = [0.0, 0.0, 0.0]
species = { Ni = 8 }

[[sites]]
label = "Au"
sublattice = "framework"
position = [0.5, 0.5, 0.0]
species = { Au = 8 }
"""

CONFIG = """
[campaign]
name = "toy"
host = "{folder}/toy-host.toml"
folder = "{folder}"
seed = {seed}
batch = 3

[space]
candidates = ["Al", "Pd", "Pt", "Ag"]
generator = {{ kind = "proportions", types = [], sites = [[6, 1, 1], [5, 2, 1], [4, 3, 1], [4, 2, 2]] }}
filters = [{{ name = "charge-balance", window = [1.6, 1.9] }}]

[clusters]
groups = 4

[pretrain]
labels = 0

[label]
calculators = ["emt"]
workers = 2
backoff_s = 0.0
[label.settings.emt]
relax = "atoms"
relax_fmax_eV_per_A = 0.1
endpoint_fmax_eV_per_A = 0.1
fmax_eV_per_A = 0.1
images = 3
rule = "easiest"

[model]
kind = "{model}"

[stopping]
max_rounds = {rounds}
failures_in_a_row = 50

[prefect]
enabled = {prefect}
"""


def write_toy(
    folder: Path, rounds: int = 3, seed: int = 7, model: str = "forest", prefect: bool = False, extra: str = ""
) -> Path:
    """Host and configuration of a toy campaign in `folder`; returns the configuration's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy-host.toml").write_text(HOST)
    path = folder / "toy.toml"
    text = CONFIG.format(folder=folder, rounds=rounds, seed=seed, model=model, prefect=json.dumps(prefect))
    path.write_text(text + extra)
    return path
