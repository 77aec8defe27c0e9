"""Cheap label or dear label first: what a campaign has learned so far about the cost and worth of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.acquisition import Proposal
from agent.fidelity import Fidelity, gain_per_cost, learned_correlation
from agent.ledger import Ledger
from agent.schema import AttemptRow
from calculators.registry import find

Pair = tuple[str, int]  # composition and ordering


@dataclass(frozen=True)
class Fidelities:
    """The two kinds of label that a chosen ordering may get, with their costs in seconds."""

    cheap: Fidelity
    dear: Fidelity
    known: frozenset[Pair]  # those that were asked for the cheap label already, whatever came of it
    best_eV: float

    @classmethod
    def learned(cls, ledger: Ledger, campaign: str, cheap: str, dear: str) -> Fidelities | None:
        """From the ledger; None as long as one of the two calculators has no success to take a cost from."""
        attempts, proposals = ledger.attempts(campaign), ledger.proposals(campaign)
        cheap_s, dear_s = _seconds_per_success(attempts, cheap), _seconds_per_success(attempts, dear)
        cheap_name, dear_name = find(cheap).fidelity, find(dear).fidelity
        dear_labels = ledger.labels(campaign, dear_name)
        if cheap_s is None or dear_s is None or not dear_labels:
            return None
        cheap_eV = {(p.composition, p.ordering): label.value_eV for p, label in ledger.labels(campaign, cheap_name)}
        pairs = [
            (cheap_eV[pair], label.value_eV, p.mean_eV)
            for p, label in dear_labels
            if (pair := (p.composition, p.ordering)) in cheap_eV and p.mean_eV is not None
        ]
        return cls(
            cheap=Fidelity(cheap_name, cheap_s, partial_correlation(np.array(pairs, dtype=float).reshape(-1, 3))),
            dear=Fidelity(dear_name, dear_s),
            known=frozenset((p.composition, p.ordering) for p in proposals if p.calculator == cheap),
            best_eV=min(label.value_eV for _, label in dear_labels if label.value_eV is not None),
        )

    def cheap_first(self, proposals: Sequence[Proposal]) -> list[str]:
        """Why the cheap label of each proposal comes first; "" where it is known, or the dear one pays more."""
        if not proposals:
            return []
        mean = np.array([proposal.mean_eV for proposal in proposals])
        sigma = np.array([proposal.sigma_eV for proposal in proposals])
        cheap, dear = gain_per_cost(mean, sigma, self.best_eV, [self.cheap, self.dear])
        known = [(proposal.composition.key, proposal.ordering) in self.known for proposal in proposals]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(known, 0.0, cheap / dear)
        return [self._reason(times) if times > 1 else "" for times in ratio]  # NaN (no prediction) is not above 1

    def _reason(self, times: float) -> str:
        return (
            f"{self.cheap.name} first: {times:.2g} times the expected gain per second of {self.dear.name} "
            f"(correlation {self.cheap.correlation:.2f}, {self.cheap.cost:.2g} s against {self.dear.cost:.2g} s)"
        )


def _seconds_per_success(attempts: Sequence[AttemptRow], calculator: str) -> float | None:
    """Failed attempts are paid for too."""
    ended = [a for a in attempts if a.calculator == calculator and a.seconds is not None]
    successes = sum(a.state == "succeeded" for a in ended)
    return max(sum(a.seconds or 0.0 for a in ended), 1e-3) / successes if successes else None


def partial_correlation(pairs: NDArray[np.float64]) -> float:
    """Of cheap and dear values among orderings that the model predicts alike.

    Args:
        pairs: (n, 3) cheap label, dear label and the prediction of the dear one from before, eV.
    """
    if len(pairs) < 3 or np.ptp(pairs[:, 2]) == 0:
        return learned_correlation(pairs[:, 0], pairs[:, 1])
    predicted = np.column_stack([np.ones(len(pairs)), pairs[:, 2]])
    left = pairs[:, :2] - predicted @ np.linalg.lstsq(predicted, pairs[:, :2], rcond=None)[0]
    return learned_correlation(left[:, 0], left[:, 1])
