"""A campaign's decisions in words, one line each: the terminal, the ledger and Prefect's logs all say the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.acquisition_config import MODEL_FREE
from agent.ledger import NewProposal
from agent.schema import AttemptRow, ProposalRow
from calculators.label import Label
from flows.config import Config
from flows.proposing import PRETRAINING
from flows.wording import plural

Proposed = Sequence[NewProposal | ProposalRow]


def proposed(number: int, proposals: Proposed, before: Proposed, config: Config, cheap: str, target: str) -> str:
    """ "round 4: proposed 8 from 6 clusters; best LCB 0.410 eV; 2 for exploration in cluster 13".

    Args:
        number: of the round.
        proposals: what it proposes.
        before: what earlier acquisition rounds proposed.
        config: of the campaign.
        cheap: the fidelity that the model learns first.
        target: the fidelity that the campaign is about.
    """
    clusters = sorted({p.cluster for p in proposals if p.cluster is not None})
    where = f"cluster {clusters[0]}" if len(clusters) == 1 else plural(len(clusters), "cluster")
    text = f"round {number}: proposed {len(proposals)} from {where}"
    if number == PRETRAINING:
        return f"{text} for pre-training with {cheap}"
    if not proposals:
        return f"round {number}: proposed nothing; it learns from labels that landed late"
    text += f"; {_best(proposals, config, cheap, target)}"
    known = {p.cluster for p in before}
    new = [cluster for cluster in clusters if cluster not in known]
    if before and new:
        explorers = sum(p.cluster in new for p in proposals)
        text += f"; {explorers} for exploration in {'cluster' if len(new) == 1 else 'clusters'} "
        text += ", ".join(map(str, new))
    return text


def _best(proposals: Proposed, config: Config, cheap: str, target: str) -> str:
    """The strongest reason for this choice, in its strategy's own measure."""
    acquisition = config.acquisition
    if acquisition.strategy in MODEL_FREE:
        return f"chosen by {acquisition.strategy}"
    predicted = [p for p in proposals if p.mean_eV is not None and p.score is not None]
    if not predicted:
        how = f"ranked at {cheap}" if any(f"all at {cheap}" in p.reason for p in proposals) else acquisition.initial
        return f"{how} for want of labels at {target}"
    best = max(predicted, key=lambda p: p.score or 0.0)
    score, sigma = best.score or 0.0, best.sigma_eV or 0.0
    said = {
        "lcb": f"best LCB {-score:.3f} eV",
        "hybrid": f"best LCB {-score:.3f} eV",
        "ei": f"best EI {1000 * score:.1f} meV",
        "pi": f"best PI {score:.0%}",
        "top-k": f"best EI of the {acquisition.wanted} best",
        "greedy": "lowest mean",
        "max-sigma": "largest sigma",
        "thompson": "best Thompson draw",
    }[acquisition.strategy]
    return f"{said} (predicted {best.mean_eV:.3f} ± {sigma:.3f} eV)"


def outcome(proposal: ProposalRow, label: Label | None, attempts: Sequence[AttemptRow]) -> str:
    """What came of a proposal: "Na3Zr1...: 0.312 eV, chgnet-neb (predicted 0.330 ± 0.020)"."""
    if proposal.state == "labelled" and label is not None and label.value_eV is not None:
        said = "" if proposal.mean_eV is None else f" (predicted {proposal.mean_eV:.3f} ± {proposal.sigma_eV:.3f})"
        return f"  {proposal.formula}: {label.value_eV:.3f} eV, {label.fidelity}{said}"
    why = f"{attempts[-1].failure_kind}: {attempts[-1].failure_reason}" if attempts else "judged invalid before"
    return f"  {proposal.formula}: no label, {why}"


def retrained(number: int, metrics: dict[str, Any], target: str, failed: int) -> str:
    """The model's error on labels that it had not seen, beside the mean predictor's."""
    text = f"round {number}: retrained on {metrics['n_labels']} {target} labels"
    if metrics.get("mae_eV") is not None:
        text += f"; error of earlier predictions {metrics['mae_eV']:.3f} eV"
    if metrics.get("mean_predictor_mae_eV") is not None:
        text += f" (mean predictor {metrics['mean_predictor_mae_eV']:.3f})"
    return f"{text}; {failed} failed so far"
