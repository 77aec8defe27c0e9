"""The ranking: labels where there are, predictions elsewhere, each with what stands behind it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.schema import LabelRow, ProposalRow
from flows.candidates import build_candidates
from flows.config import load_config
from flows.learning import rank
from tests.flows.toy import write_toy


def test_a_value_has_its_standard_error_and_its_number_of_orderings(tmp_path: Path) -> None:
    candidates = build_candidates(load_config(write_toy(tmp_path)))
    keys = [composition.key for composition in candidates.compositions]
    labelled = [
        (ProposalRow(composition=keys[place], ordering=ordering), LabelRow(value_eV=value))
        for place, ordering, value in [(0, 0, 0.30), (1, 0, 0.40), (1, 1, 0.44)]
    ]
    mean, sigma = np.full(len(keys), 0.5), np.full(len(keys), 0.1)
    lines = {line.composition: line for line in rank(candidates, labelled, mean, sigma)}
    once, twice, never = (lines[keys[place]] for place in (0, 1, 2))
    assert (once.mean_eV, once.orderings, once.source) == (0.30, 1, "label")
    assert (twice.mean_eV, twice.orderings) == (pytest.approx(0.42), 2)
    assert once.sigma_eV == pytest.approx(twice.sigma_eV * np.sqrt(2))
    assert (never.mean_eV, never.sigma_eV, never.source) == (0.5, 0.1, "prediction")
    assert {line.sigma_eV for line in rank(candidates, labelled[:2], mean, sigma)} == {None, 0.1}
