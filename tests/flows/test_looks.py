"""What the terminal shows agrees with what the figures show, costs a fixed number of queries, and imports little."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import event

from agent.ledger import Ledger, LedgerError
from flows.looks import History, Members, Ranking, Status
from flows.view import CampaignView
from tests.agent.test_ledger import POSTGRES, fresh_postgres_database
from tests.flows.conftest import looked, played
from tests.flows.synthetic import Spec, fill
from tests.flows.test_kill import REPOSITORY

#: What takes long to import and is not needed to look at a ledger.
HEAVY = ("numpy", "scipy", "ase", "pandas", "torch", "prefect", "matplotlib", "pymatgen", "sklearn", "calculators")


def test_status_agrees_with_the_view(views: dict[str, CampaignView]) -> None:
    for view in views.values():
        status = looked(view, Status.load)
        assert [label.id for label in status.labels] == [a.id for a in view.at_target]
        assert [(one.formula, one.value_eV) for one in status.best] == [(a.formula, a.value_eV) for a in view.best]
        assert status.best_so_far_eV == [value for value in view.discovery.best_eV if value == value]
        assert status.found == (view.discovery.found[-1] if len(view.discovery.found) else 0)
        assert (status.target_eV, status.budgets) == (view.target_eV, view.budgets)
        assert status.reference == view.reference
        assert len(status.errors_eV) == view.parity.size
        assert status.mae_eV == (None if view.parity.mae_eV is None else pytest.approx(view.parity.mae_eV))
        assert status.mean_predictor_mae_eV == view.parity.mean_predictor_mae_eV
        assert (status.failed, status.ended) == (len(view.failed), view.spent)
        assert status.failures_by_kind == view.failures_by_kind
        assert status.costs == {cost.calculator: (cost.attempts, pytest.approx(cost.seconds)) for cost in view.costs}
        assert [row.text for row in status.decisions] == [e.text for e in view.events if e.kind == "decision"][-4:]


def test_history_agrees_with_the_view(views: dict[str, CampaignView]) -> None:
    for view in views.values():
        history = looked(view, History.load)
        assert [row.number for row, _ in history.rounds] == [row.number for row in view.rounds]
        for row, members in history.rounds:
            here = view.of_round(row.number)
            good = [a.value_eV for a in here if a in view.at_target and a.converged]
            assert members == Members(
                sent=len(here),
                labels=sum(a.value_eV is not None for a in here),
                failed=sum(a.state == "failed" for a in here),
                clusters=len({a.cluster for a in here if a.cluster is not None}),
                lowest_eV=min(good, default=None),
            )


def test_ranking_agrees_with_the_view(views: dict[str, CampaignView]) -> None:
    for view in views.values():
        ranking = looked(view, partial(Ranking.load, top=7))
        assert [line.rank for line in ranking.lines] == [line.rank for line in view.ranking[:7]]
        assert ranking.total == len(view.ranking)
        shown = {line.composition for line in ranking.lines}
        assert ranking.labelled_in == {a.composition: a.round for a in view.at_target if a.composition in shown}


@pytest.mark.parametrize("load", [Status.load, History.load, Ranking.load])
def test_a_look_costs_the_same_queries_whatever_the_size(tmp_path: Path, load) -> None:
    counts = []
    for name, spec in {"small": Spec(rounds=1, batch=2), "large": Spec(rounds=6, batch=8)}.items():
        played(tmp_path / name, spec)
        ledger = Ledger.open(tmp_path / name / "ledger.sqlite")
        statements: list[str] = []
        event.listen(ledger.engine, "before_cursor_execute", lambda *args, seen=statements: seen.append(args[2]))
        load(ledger, spec.name)
        counts.append(len(statements))
        with pytest.raises(LedgerError, match="no campaign 'other'; it knows: synthetic"):
            load(ledger, "other")
        ledger.close()
    assert counts[0] == counts[1] <= 7


@pytest.mark.skipif(not POSTGRES, reason="IONLOOP_TEST_POSTGRES is not set")
def test_postgresql_sees_the_same(tmp_path: Path) -> None:
    seen = []
    with fresh_postgres_database() as url:
        for target in (tmp_path / "ledger.sqlite", url):
            ledger = Ledger.open(target)
            fill(ledger, tmp_path, Spec(folders=False))
            status, history = Status.load(ledger, "synthetic"), History.load(ledger, "synthetic")
            ranking = Ranking.load(ledger, "synthetic", top=7)
            seen.append(
                (
                    status.labels,
                    status.proposals,
                    status.failures_by_kind,
                    {name: attempts for name, (attempts, _) in status.costs.items()},
                    [row.text for row in status.decisions],
                    [members for _, members in history.rounds],
                    [line.composition for line in ranking.lines],
                    ranking.labelled_in,
                )
            )
            ledger.close()
    assert seen[0] == seen[1]


@pytest.mark.parametrize("command", ["status", "history", "rank"])
def test_looking_imports_little(tmp_path: Path, command: str) -> None:
    """In a process of its own, as a person starts it."""
    folder = played(tmp_path / "synthetic", Spec(rounds=1)).folder
    (folder / "config.json").write_text('{"campaign": {"name": "synthetic"}, "ledger": {"url": null}}')
    script = (
        f"import sys\nfrom flows.cli import app\napp([{command!r}, {str(folder)!r}], standalone_mode=False)\n"
        f"print('imported:', *(name for name in {HEAVY} if name in sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    ran = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "synthetic" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "imported:"
