"""A campaign proposes nothing that is known, or not known not, to be too far above the hull."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.acquisition import propose
from agent.ledger import Ledger
from flows.candidates import Candidates, build_candidates
from flows.config import Config, parse_config
from flows.errors import UserError
from flows.hull_limit import HullSection
from flows.proposing import Proposer


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    generator = {"kind": "equimolar", "dopants": 1, "sites_per_dopant": 4}
    return build_candidates(parse_config({"campaign": {"name": "hull"}, "space": {"generator": generator}}))


def written(folder: Path, *lines: str) -> Path:
    path = folder / "hull.csv"
    path.write_text("\n".join(["composition,e_hull_eV_per_atom", *lines]) + "\n")
    return path


def test_only_what_is_stable_enough_is_proposed(candidates: Candidates, tmp_path: Path) -> None:
    first, second, third, *_ = candidates.compositions
    table = written(
        tmp_path,
        f"{first.formula(candidates.host)},0.02",  # by formula
        f"{second.key},0.2",  # by key: two polymorphs, of which the lower one counts
        f"{second.key},0.05",
        f"{third.key},0.051",
    )
    config = Config.model_validate({"campaign": {"name": "hull"}, "hull": {"table": str(table)}})
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    ledger.create_campaign("hull", "nzsp", "chgnet-neb", 0, {})
    pool = Proposer(config, candidates, ledger).pool()
    assert np.flatnonzero(pool.allowed).tolist() == [0, 1]
    asked = propose(None, pool, config.acquisition, 5)
    assert sorted(proposal.index for proposal in asked) == [0, 1]


def test_without_a_table_there_is_no_limit(candidates: Candidates) -> None:
    assert HullSection().allowed(candidates.compositions, candidates.host).all()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["Na3Zr2Si2PO12,0.4"], "no composition of the space is that stable"),
        (["Na3Zr2Si2PO12,low"], "line 2: e_hull_eV_per_atom is not a number"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    candidates: Candidates, tmp_path: Path, lines: list[str], said: str
) -> None:
    section = HullSection(table=written(tmp_path, *lines))
    with pytest.raises(ValueError, match=said):
        section.allowed(candidates.compositions, candidates.host)
    (tmp_path / "hull.csv").write_text("formula,hull\nNa3,0.1\n")
    with pytest.raises(ValueError, match="no column 'composition'; it has formula, hull"):
        section.allowed(candidates.compositions, candidates.host)
    missing = Config.model_validate({"campaign": {"name": "hull"}, "hull": {"table": str(tmp_path / "none.csv")}})
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    ledger.create_campaign("hull", "nzsp", "chgnet-neb", 0, {})
    with pytest.raises(UserError, match="does not exist"):
        Proposer(missing, candidates, ledger).pool()
