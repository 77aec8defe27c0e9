"""The frame of `ionloop screen`, on a synthetic campaign (see synthetic.py: no barrier in it was calculated)."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.composition import Composition
from calculators.failures import CalculationFailed, invalid
from calculators.label import FailureKind
from flows.cli import app
from flows.config import parse_config
from flows.errors import ConfigError, UserError
from flows.found import Found, find_campaign
from flows.report import render
from flows.screening import Candidate, Measurement, Step, screen
from flows.screening_campaign import candidates_of, with_section
from flows.screening_steps import BarrierStep, ClusterStep
from flows.screening_views import csv_rows
from tests.flows.conftest import played
from tests.flows.synthetic import Spec


class Dopants(Step):
    """A step for tests: the number of elements on the substituted sublattice."""

    quantity: ClassVar[str] = "elements"
    unit: ClassVar[str] = ""
    calls: ClassVar[list[str]] = []
    trouble: ClassVar[Callable[[Candidate], None] | None] = None

    step: Literal["dopants"] = "dopants"

    def address(self, candidate: Candidate) -> dict[str, Any]:
        return {"composition": candidate.composition.key}

    def measure(self, candidate: Candidate, folder: Path, progress: Any = None) -> Measurement:
        type(self).calls.append(candidate.formula)
        if type(self).trouble is not None:
            type(self).trouble(candidate)
        return Measurement(value=float(len(candidate.composition.amounts)))


@pytest.fixture
def dopants() -> type[Dopants]:
    Dopants.calls, Dopants.trouble = [], None
    return Dopants


@pytest.fixture(scope="module")
def campaign(tmp_path_factory) -> Found:
    folder = tmp_path_factory.mktemp("campaigns") / "synthetic"
    played(folder, Spec(folders=False))
    config = parse_config({"campaign": {"name": "synthetic", "folder": str(folder.parent)}})
    (folder / "config.json").write_text(config.model_dump_json())
    return find_campaign(str(folder))


@pytest.fixture(scope="module")
def candidates(campaign: Found) -> list[Candidate]:
    return candidates_of(campaign, campaign.config)


def test_the_paper_s_rule_keeps_the_lowest_barriers_below_the_median(candidates, tmp_path):
    median = candidates[0].campaign.median_eV
    found = screen(candidates, [BarrierStep(below_median=True), BarrierStep(lowest=6)], tmp_path)
    values = sorted(one.E_b_eV for one in candidates)
    assert [entry.candidate.E_b_eV for entry in found.kept] == values[:6]
    assert found.counts() == [len(candidates), sum(v < median for v in values), 6]
    for entry in found.entries:
        assert entry.reason
        if entry.left_at == 0:
            assert entry.candidate.E_b_eV >= median
            assert "median" in entry.reason


def test_the_median_counts_every_labelled_composition_once(candidates):
    campaign = candidates[0].campaign
    lowest: dict[str, float] = {}
    for label in campaign.view.at_target:
        if label.converged:
            lowest[label.composition] = min(label.value_eV, lowest.get(label.composition, np.inf))
    assert campaign.median_eV == pytest.approx(np.median(list(lowest.values())))


def test_the_best_cluster_is_the_one_with_most_low_labels(candidates, tmp_path):
    found = screen(candidates, [ClusterStep()], tmp_path)
    assert len({entry.candidate.cluster for entry in found.kept}) == 1
    best = found.kept[0].candidate
    shares = [one.candidate.found["cluster"].value for one in found.entries]
    assert best.found["cluster"].value == max(share for share in shares if share is not None)
    kept = {entry.candidate.composition for entry in found.kept}
    assert kept == {one.composition for one in candidates if one.cluster == best.cluster}


def test_limits_and_counts_work_together(candidates, tmp_path):
    values = sorted(one.E_b_eV for one in candidates)
    step = BarrierStep(at_least=values[3], at_most=values[20], highest=4)
    kept = [entry.candidate.E_b_eV for entry in screen(candidates, [step], tmp_path).kept]
    assert sorted(kept) == values[17:21]


def test_only_the_first_are_taken_into_a_dear_step(candidates, tmp_path, dopants):
    found = screen(candidates, [dopants(first=3)], tmp_path)
    assert len(dopants.calls) == 3 == len(found.kept)
    assert "not among the 3" in found.entries[-1].reason


def test_a_measurement_is_paid_for_once_whatever_the_rule(candidates, tmp_path, dopants):
    screen(candidates[:8], [dopants()], tmp_path)
    screen(candidates[:10], [dopants(lowest=2)], tmp_path)
    assert len(dopants.calls) == 10


def test_a_killed_screen_goes_on_where_it_was(candidates, tmp_path, dopants):
    def stop(candidate: Candidate) -> None:
        if len(dopants.calls) == 4:
            raise KeyboardInterrupt

    dopants.trouble = stop
    with pytest.raises(KeyboardInterrupt):
        screen(candidates[:6], [dopants()], tmp_path)
    dopants.trouble = None
    found = screen(candidates[:6], [dopants()], tmp_path)
    assert len(dopants.calls) == 4 + 3
    assert len(found.kept) == 6


@pytest.mark.parametrize(
    ("error", "words", "again"),
    [
        (invalid("the structure fell apart", "relax"), "fell apart", False),
        (ValueError("no Tc in the references"), "no Tc", False),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError", False),
        (CalculationFailed(FailureKind.TRANSIENT, "network is down"), "network", True),
        (OSError(28, "No space left on device"), "free some space", True),
    ],
)
def test_no_value_is_a_verdict_with_its_reason(candidates, tmp_path, dopants, error, words, again):
    def fail(candidate: Candidate) -> None:
        if candidate is candidates[2]:
            raise error

    dopants.trouble = fail
    for _ in range(2):
        found = screen(candidates[:5], [dopants()], tmp_path)
        assert len(found.kept) == 4
        assert found.entries[-1].left_at == 0
        assert "no value" in found.entries[-1].reason
        assert words in found.entries[-1].reason
    assert len(dopants.calls) == (6 if again else 5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_what_is_no_number_is_never_a_value(value):
    found = Measurement(value=value)
    assert found.value is None
    assert found.reason


def test_a_damaged_record_is_measured_again(candidates, tmp_path, dopants):
    screen(candidates[:1], [dopants()], tmp_path)
    (record,) = tmp_path.rglob("measurement.json")
    record.write_text('{"value": ')
    screen(candidates[:1], [dopants()], tmp_path)
    assert len(dopants.calls) == 2


def test_the_table_has_every_composition_with_a_reason(candidates, tmp_path, dopants):
    found = screen(candidates, [BarrierStep(below_median=True), dopants(first=5, lowest=2)], tmp_path)
    header, *lines = csv_rows(found)
    assert len(lines) == len(candidates)
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    assert [row["verdict"] for row in rows] == ["kept"] * 2 + ["excluded"] * (len(rows) - 2)
    assert all(row["reason"] for row in rows)
    assert {row["left_at"] for row in rows} == {"", "1 barrier", "2 dopants"}
    assert sum(row["elements"] is not None for row in rows) == 5


def test_the_command_writes_a_table_and_an_event(campaign):
    done = CliRunner().invoke(app, ["screen", str(campaign.folder), "--config", str(_file(campaign, "lowest = 4"))])
    assert done.exit_code == 0, done.output
    assert "4 stay" in done.output
    with (campaign.folder / "screening" / "screen.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sum(row["verdict"] == "kept" for row in rows) == 4
    assert json.loads((campaign.folder / "screening" / "screen.json").read_text())["entered"] == len(rows)
    assert any(event.kind == "screen" for event in campaign.view().events)


def test_the_report_shows_the_newest_screen(campaign):
    assert "<h2>Screening</h2>" not in render(replace(campaign.view(), folder=campaign.folder / "elsewhere"))
    CliRunner().invoke(app, ["screen", str(campaign.folder), "--config", str(_file(campaign, "lowest = 4"))])
    page = render(campaign.view())
    assert "<h2>Screening</h2>" in page
    (campaign.folder / "screening" / "screen.json").write_text('{"rows": [')
    assert "<h2>Screening</h2>" not in render(campaign.view())


def _file(campaign: Found, fields: str) -> Path:
    path = campaign.folder / "screen.toml"
    path.write_text(f'[[screen.steps]]\nstep = "barrier"\n{fields}\n')
    return path


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("lowst = 3", ["screen.steps.0.barrier.lowst", "did you mean 'lowest'"]),
        ("lowest = 0", ["screen.steps.0.barrier.lowest", "greater than or equal to 1"]),
        ("lowest = 1\nhighest = 1", ["exclude each other"]),
        ('[[screen.steps]]\nstep = "hul"', ["'hul'", "'barrier'"]),
    ],
)
def test_a_wrong_section_is_one_clear_line(campaign, fields, words):
    with pytest.raises(ConfigError) as error:
        with_section(campaign, _file(campaign, fields))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_the_example_of_a_longer_screen_can_be_read(campaign):
    path = Path(__file__).parents[2] / "examples" / "screen.toml"
    names = [step.name for step in with_section(campaign, path).screen.steps]
    assert names == ["search", "barrier", "synthesizable", "pu-score", "hull", "sf-msd"]


def test_a_file_without_the_section_is_refused(campaign, tmp_path):
    path = tmp_path / "other.toml"
    path.write_text("[campaign]\nname = 'a'\n")
    with pytest.raises(UserError, match=r"no \[screen\] section"):
        with_section(campaign, path)


def test_nothing_ranked_is_said(tmp_path):
    folder = tmp_path / "young"
    played(folder, Spec(name="young", rounds=0, cheap=0))
    config = parse_config({"campaign": {"name": "young", "folder": str(tmp_path)}})
    (folder / "config.json").write_text(config.model_dump_json())
    with pytest.raises(UserError, match="nothing is ranked"):
        candidates_of(find_campaign(str(folder)), config)


def test_a_candidate_has_its_ordering(candidates):
    known = Composition.of(candidates[0].campaign.host, {"Sn": 1, "Sc": 1, "Ge": 1, "Nb": 1})
    atoms = replace(candidates[0], composition=known).ordering()
    assert len(atoms) == 84
    assert (atoms.symbols == "Na").sum() == known.mobile == 12
