import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from agent.ledger import Ledger
from flows.view import CampaignView
from tests.flows.synthetic import Spec, fill

T = TypeVar("T")


def played(folder: Path, spec: Spec) -> CampaignView:
    """The view of a synthetic campaign (see synthetic.py: nothing in it was calculated)."""
    ledger = Ledger.open(folder / "ledger.sqlite")
    fill(ledger, folder, spec)
    return CampaignView.load(ledger, spec.name, folder)


@pytest.fixture(scope="session")
def synthetic_view(tmp_path_factory) -> CampaignView:
    return played(tmp_path_factory.mktemp("synthetic"), Spec())


def looked(view: CampaignView, load: Callable[[Ledger, str], T]) -> T:
    """What one of `flows.looks` reads of the campaign behind a view."""
    ledger = Ledger.open(view.folder / "ledger.sqlite")
    try:
        return load(ledger, view.name)
    finally:
        ledger.close()


EDGES = {
    "just created": Spec(rounds=0, cheap=0, space=False),
    "cheap labels only": Spec(rounds=0),
    "one label": Spec(rounds=1, batch=1, failure_rate=0.0),
    "all failed": Spec(failure_rate=1.0),
    "no metrics, no target, no space": Spec(metrics=False, target_eV=None, space=False, cheap=0),
}


@pytest.fixture(scope="session", params=list(EDGES))
def edge_view(request, tmp_path_factory) -> CampaignView:
    """Campaigns that have hardly begun or gone badly: everything must still be shown."""
    return played(tmp_path_factory.mktemp("edge"), EDGES[request.param])


@pytest.fixture(scope="session")
def views(synthetic_view, tmp_path_factory) -> dict[str, CampaignView]:
    made = {name: played(tmp_path_factory.mktemp("views"), spec) for name, spec in EDGES.items()}
    return {"whole": synthetic_view, **made}


@pytest.fixture
def released_checkpoint() -> Path:
    """The published fine-tuned CGformer, which is reference data and no part of the project."""
    named = os.environ.get("IONLOOP_SHARED")
    shared = Path(named) if named else Path(__file__).resolve().parents[3] / "shared"
    path = shared / "reference" / "cgformer" / "model_best-finetune.pth.tar"
    if not path.is_file():
        pytest.skip("no released checkpoint: neither ../shared beside the checkout nor IONLOOP_SHARED")
    return path


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """The toy campaign of tests/flows/lives.py played without trouble: its life, and its content."""
    from tests.flows.lives import content, live, write_campaign

    folder = tmp_path_factory.mktemp("uninterrupted")
    ledger = write_campaign(folder)
    life = live(folder)
    assert life.code == 0, life.error
    return life, content(ledger)
