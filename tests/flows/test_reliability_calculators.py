"""200 labels by a calculator that raises, hangs, returns NaN or fills the disk in 30 % of its calls."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from agent.ledger import Ledger
from tests.flows.faulty import SHARE, barrier_eV, fault
from tests.flows.lives import live
from tests.flows.test_reliability_disk import small_disk
from tests.flows.toy import HOST

LABELS = 200
RETRIES = 4
#: What is recorded of each fault: a kind, and whether the same input is tried again.
KINDS = {
    "raises": ("invalid", False),
    "hangs": ("walltime", True),
    "returns NaN": ("invalid", False),
    "fills the disk": ("transient", True),
}
CONFIG = f"""
[campaign]
name = "toy"
host = "toy-host.toml"
folder = "."
seed = 3
batch = 50
[space]
candidates = ["Al", "Pd", "Pt", "Ag", "Sc", "Mg", "Zn", "Y"]
generator = {{ kind = "proportions", types = [], sites = [[4, 2, 1, 1], [3, 2, 2, 1], [5, 1, 1, 1]] }}
filters = [{{ name = "charge-balance", window = [0.5, 2.0] }}]
[clusters]
groups = 4
[pretrain]
labels = 0
[acquisition]
strategy = "random"
[label]
calculators = ["tests.flows.faulty:Faulty"]
workers = 2
retries = {RETRIES}
backoff_s = 0.0
timeout_min = 0.25
[model]
kind = "forest"
members = 2
[stopping]
max_rounds = {LABELS // 50}
failures_in_a_row = 50
[prefect]
enabled = false
"""


def expected(key: str) -> tuple[list[str], bool]:
    """Kinds of the failures that a label must have had, in order, and whether it has a value at last."""
    kinds = []
    for call in range(RETRIES + 1):
        wrong = fault(key, call)
        if wrong is None:
            return kinds, True
        kind, again = KINDS[wrong]
        kinds.append(kind)
        if not again:
            return kinds, False
    return kinds, False


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a tmpfs")
def test_all_good_labels_are_there_and_every_failure_has_its_kind(tmp_path: Path) -> None:
    host = HOST.replace("Ag = [1] }", "Ag = [1], Sc = [3], Mg = [2], Zn = [2], Y = [3] }")
    (tmp_path / "toy-host.toml").write_text(host)
    (tmp_path / "toy.toml").write_text(CONFIG)
    with small_disk(tmp_path / "toy" / "labels", 16):
        life = live(tmp_path)
        assert life.code == 0, life.error
    ledger = Ledger.open(tmp_path / "toy" / "ledger.sqlite")
    proposals = ledger.proposals("toy")
    assert len(proposals) == LABELS
    told, collateral = Counter[str](), 0
    for proposal in proposals:
        tries = ledger.attempts("toy", proposal.id)
        kinds, good = expected(proposal.label_key)
        found = [attempt.failure_kind for attempt in tries if attempt.failure_kind]
        # A label that was computed while another one filled the disk may have been hit, and was tried again.
        hit = len(found) - len(kinds)
        assert hit >= 0
        collateral += hit
        if hit == 0:
            assert found == kinds
            assert (proposal.state == "labelled") == good
        label = ledger.label(proposal.label_key)
        if proposal.state == "labelled":
            assert label is not None
            assert label.value_eV == barrier_eV(proposal.label_key)
        assert all(attempt.failure_reason for attempt in tries if attempt.failure_kind)
        told.update(found)
    assert (proposals[-1].round, ledger.campaign("toy").stop_reason) == (4, "the budget of 4 rounds is spent (4)")
    states = ledger.counts("toy")
    assert states["labelled"] + states["failed"] == LABELS
    assert SHARE - 0.1 < told.total() / (told.total() + states["labelled"]) < SHARE + 0.1
    print(f"{states}; failures {dict(told)}, of which {collateral} on a disk that another label had filled")
    ledger.close()
