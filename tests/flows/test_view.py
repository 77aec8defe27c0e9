import json
import time
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from sqlalchemy import event

from agent.ledger import Ledger, LedgerError
from agent.schema import AttemptRow, LabelRow, ProposalRow
from flows.discovery import expected_best_error_eV, expected_best_eV, expected_found
from flows.view import CampaignView, Parity, Reference, amounts
from tests.flows.synthetic import TARGET, Spec, fill, label


def test_agrees_with_the_ledger(synthetic_view):
    view = synthetic_view
    ledger = Ledger.open(view.folder / "ledger.sqlite")
    assert len(view.acquisitions) == len(ledger.proposals(view.name))
    assert [a.label_key for a in view.at_target] == [row.key for _, row in ledger.labels(view.name, TARGET)]
    assert len(view.attempts) == len(ledger.attempts(view.name))
    assert sum(view.failures_by_kind.values()) == sum(a.state in {"failed", "lost"} for a in view.attempts)
    assert view.spent == sum(row.round > 0 and row.state != "pending" for row in ledger.proposals(view.name))
    assert [str(budget) for budget in view.budgets] == ["4 of 4 rounds"]
    for key, whole in view.best_labels.items():
        assert whole == ledger.label(key)


def test_best_so_far_is_the_running_minimum_of_converged_labels(synthetic_view):
    curve = synthetic_view.discovery
    for i, best in enumerate(curve.best_eV):
        known = [a.value_eV for a in curve.labels[: i + 1] if a.converged]
        assert best == min(known) if known else np.isnan(best)
    found = {a.composition for a in curve.labels if a.converged and a.value_eV <= curve.target_eV}
    assert curve.found[-1] == len(found)
    assert (np.diff(curve.found) >= 0).all()
    assert synthetic_view.best[0].value_eV == np.nanmin(curve.best_eV)


def test_an_unknown_campaign_is_refused_by_name(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    ledger.create_campaign("known", "nzsp", TARGET, 0, {})
    with pytest.raises(LedgerError, match="no campaign 'other'; it knows: known"):
        CampaignView.load(ledger, "other", tmp_path)


def test_edges_have_every_property(edge_view):
    view = edge_view
    assert view.discovery.best_eV.shape == view.discovery.value_eV.shape
    assert view.parity.size <= len(view.at_target)
    assert view.parity.mae_eV is None or view.parity.mae_eV >= 0
    assert view.reference is None or view.reference.sigma_eV > 0
    assert all(cost.attempts > 0 for cost in view.costs)


def test_a_failed_proposal_says_why(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    fill(ledger, tmp_path, Spec(failure_rate=1.0, rounds=1))
    view = CampaignView.load(ledger, "synthetic", tmp_path)
    assert view.failed
    assert not view.at_target
    for acquisition in view.failed:
        kind, reason = acquisition.failure
        assert reason == f"synthetic {kind} failure"


def test_a_fallback_and_a_reused_label_are_named(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    fill(ledger, tmp_path, Spec(name="first", rounds=1, batch=2, cheap=0, failure_rate=0.0))
    first = CampaignView.load(ledger, "first", tmp_path)
    fill(ledger, tmp_path, Spec(name="second", rounds=0, cheap=0))
    from agent.ledger import NewProposal

    known, fresh = first.at_target[0], "f" * 32
    ledger.begin_round(
        "second",
        1,
        [
            NewProposal("nzsp:Zr8+4:12", "Na3Zr2Si2PO12", 0, "chgnet", known.label_key, "again"),
            NewProposal("nzsp:Sn8+4:12", "Na3Sn2Si2PO12", 0, "chgnet", fresh, "new"),
        ],
        "two",
    )
    proposal = ledger.proposals("second")[1]
    attempt = ledger.start_attempt(proposal.id, fresh, "bvse", str(tmp_path))
    ledger.finish_attempt(attempt, label("b" * 32, 0.9, np.random.default_rng(0), fidelity="bvse"))
    view = CampaignView.load(ledger, "second", tmp_path)
    assert view.adopted == 1
    assert view.acquisitions[0].value_eV == known.value_eV
    assert view.acquisitions[1].fallback
    assert view.acquisitions[1].calculator == "bvse"
    assert view.acquisitions[1] not in view.at_target  # another fidelity: never in the ranking's figures


@pytest.mark.parametrize("size", [1, 2, 5, 30])
def test_the_random_expectation_is_the_expected_minimum(size):
    reference = Reference(0.3, 0.05, "test")
    draws = norm.rvs(0.3, 0.05, size=(200_000, size), random_state=0)
    assert expected_best_eV(reference, size)[-1] == pytest.approx(draws.min(axis=1).mean(), abs=4e-4)


def test_the_random_number_found_is_the_share_below_target():
    reference = Reference(0.3, 0.05, "test")
    assert expected_found(reference, 100, 0.3)[-1] == pytest.approx(50)
    assert expected_best_error_eV(reference, 3) is None
    error = expected_best_error_eV(Reference(0.3, 0.05, "test", sample=10), 100)
    assert error[0] == pytest.approx(0.05 / np.sqrt(10))
    assert (np.diff(error) > 0).all()


def test_calibration_of_a_perfect_and_of_a_boastful_model():
    rng = np.random.default_rng(0)
    truth = rng.normal(0.3, 0.05, 4000)
    predicted = truth + rng.normal(0, 0.02, 4000)

    def parity(sigma):
        rounds = np.ones(4000, dtype=np.int64)
        return Parity(predicted, np.full(4000, sigma), truth, rounds, ("x",) * 4000)

    assert parity(0.02).coverage(np.array([0.9]))[0] == pytest.approx(0.9, abs=0.02)
    assert parity(0.02).miscalibration_area < 0.02
    assert parity(0.005).coverage(np.array([0.9]))[0] < 0.4
    assert parity(0.005).miscalibration_area > 0.2
    assert parity(np.nan).miscalibration_area is None
    spread = np.mean([abs(truth[i] - np.delete(truth, i).mean()) for i in range(50)])
    few = Parity(predicted[:50], predicted[:50], truth[:50], np.ones(50, dtype=np.int64), ("x",) * 50)
    leave_one_out = np.mean([abs(truth[i] - np.delete(truth[:50], i).mean()) for i in range(50)])
    assert few.mean_predictor_mae_eV == pytest.approx(leave_one_out)
    assert spread > 0


def test_amounts_of_a_composition_key():
    assert amounts("nzsp:Ge1+4.Nb1+5.Sc1+3.Sn1+4.Zr4+4:12") == {"Ge": 1, "Nb": 1, "Sc": 1, "Sn": 1, "Zr": 4}
    assert amounts("something else") == {}


def test_metrics_that_are_missing_or_nan_are_left_out(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    ledger.create_campaign("one", "nzsp", TARGET, 0, {})
    for number, metrics in enumerate([{}, {"mae_eV": None}, {"mae_eV": 0.1}], start=1):
        ledger.begin_round("one", number, [], "")
        ledger.finish_round("one", number, metrics, [], "")
    rounds, values = CampaignView.load(ledger, "one", tmp_path).metric("mae_eV")
    assert rounds.tolist() == [3]
    assert values.tolist() == [0.1]


def test_a_map_without_its_columns_is_refused(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    ledger.create_campaign("one", "nzsp", TARGET, 0, {})
    (tmp_path / "space.csv").write_text("composition,formula\nx,y\n")
    with pytest.raises(ValueError, match="cluster, pc1, pc2 missing"):
        _ = CampaignView.load(ledger, "one", tmp_path).space


@pytest.fixture(scope="module")
def big_ledger(tmp_path_factory):
    """10,000 synthetic labels, written in bulk."""
    folder = tmp_path_factory.mktemp("big")
    ledger = Ledger.open(folder / "ledger.sqlite")
    ledger.create_campaign("big", "nzsp", TARGET, 0, {"campaign": {"rounds": 100, "batch": 100}})
    rng = np.random.default_rng(0)
    data = label("x", 0.3, rng).model_dump(mode="json")
    values = rng.normal(0.3, 0.05, 10_000)
    for number in range(1, 101):
        ledger.begin_round("big", number, [], f"round {number}")
    with ledger.transaction() as session:
        proposals = [
            {
                "id": i + 1,
                "campaign": "big",
                "round": i // 100 + 1,
                "rank": i % 100,
                "composition": f"nzsp:Sn{i % 8}+4.Zr{8 - i % 8}+4:12",
                "formula": f"Na3Sn{i}",
                "ordering": 0,
                "calculator": "chgnet",
                "label_key": f"{i:032x}",
                "cluster": i % 20,
                "mean_eV": float(values[i]) + 0.01,
                "sigma_eV": 0.02,
                "score": 0.0,
                "reason": "synthetic",
                "state": "labelled",
            }
            for i in range(10_000)
        ]
        session.execute(ProposalRow.__table__.insert(), proposals)
        session.execute(
            AttemptRow.__table__.insert(),
            [
                {"proposal": i + 1, "label_key": f"{i:032x}", "calculator": "chgnet", "state": "succeeded"}
                for i in range(10_000)
            ],
        )
        session.execute(
            LabelRow.__table__.insert(),
            [
                {
                    "key": f"{i:032x}",
                    "composition": proposals[i]["composition"],
                    "ordering": 0,
                    "fidelity": TARGET,
                    "value_eV": float(values[i]),
                    "converged": True,
                    "data": data,
                }
                for i in range(10_000)
            ],
        )
    return ledger, folder


def test_ten_thousand_labels_need_no_more_queries_than_one(big_ledger):
    ledger, folder = big_ledger
    statements = []
    event.listen(ledger.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    start = time.perf_counter()
    view = CampaignView.load(ledger, "big", folder)
    print(f"loaded in {time.perf_counter() - start:.2f} s")
    assert len(view.at_target) == 10_000
    assert len([text for text in statements if text.startswith("SELECT")]) == 7
    assert view.costs[0].force_calls == 10_000 * 340
    assert json.dumps(view.failures_by_kind) == "{}"


def test_the_budget_nearest_to_its_end_comes_first(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    limits = {"max_labels": 100, "max_rounds": 4, "max_calculator_hours": 1e-9, "max_wall_hours": None}
    ledger.create_campaign("one", "nzsp", TARGET, 0, {"stopping": limits})
    ledger.begin_round("one", 1, [], "")
    ledger.finish_round("one", 1, {}, [], "")
    first, *rest = CampaignView.load(ledger, "one", tmp_path).budgets
    assert (first.unit, first.share) == ("rounds", 0.25)
    assert [budget.unit for budget in rest] == ["labels", "calculator hours"]


@pytest.mark.parametrize(
    ("config", "known"),
    [
        ({}, True),
        ({"pretrain": {"labels": 0}}, True),
        ({"pretrain": {"labels": 40}}, False),
        ({"pretrain": {"labels": 40}, "acquisition": {"strategy": "random"}}, True),
    ],
)
def test_only_labels_that_no_model_chose_stand_for_random_choice(config, known, synthetic_view):
    campaign = copy(synthetic_view.campaign)
    campaign.config = config
    found = replace(synthetic_view, campaign=campaign, rounds=()).reference
    assert (found is not None) is known
    if known:
        assert "chosen without the model" in found.source


def test_else_the_model_says_what_random_choice_would_draw_from(synthetic_view):
    campaign, row = copy(synthetic_view.campaign), copy(synthetic_view.rounds[-1])
    campaign.config = {"pretrain": {"labels": 40}}
    row.metrics = {"space_mean_eV": 0.35, "space_sigma_eV": 0.05}
    found = replace(synthetic_view, campaign=campaign, rounds=(row,)).reference
    assert (found.mean_eV, found.sigma_eV, found.sample) == (0.35, 0.05, None)
    assert "over the whole space" in found.source
