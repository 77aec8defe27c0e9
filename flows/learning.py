"""After each round: train on what the ledger holds, judge the model, rank the space, write that down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.learner import CompositionEstimator
from agent.ledger import Ledger, Ranked
from agent.replicates import standard_errors_eV
from agent.schema import LabelRow, ProposalRow
from agent.scores import probability_of_improvement
from flows import decisions
from flows.candidates import Candidates
from flows.places import Interrupted
from flows.progress import Reporter
from flows.proposing import Proposer
from flows.quality import held_out_quality, prospective_quality
from flows.remembering import Remembered
from flows.retraining import Examples, Retrainer
from flows.search import write_predictions

#: Compositions of the ranking that the ledger keeps; ranking.csv has all that were asked for.
RANKED = 1000
#: The event that lists, before a streaming round is trained, which labels it adds to what the model knows.
LESSONS = "lessons"

Labelled = Sequence[tuple[ProposalRow, LabelRow]]


@dataclass
class Learner:
    """The model of one campaign, round by round."""

    proposer: Proposer
    retrainer: Retrainer
    ledger: Ledger
    reporter: Reporter
    streaming: bool
    interrupted: threading.Event
    _models: dict[int, Any] = field(default_factory=dict)  # of the newest two rounds at most

    def after(self, round: int) -> Any:
        """The model after a round: the one just trained, or, in a new process, the same one trained again."""
        if round not in self._models:
            self._models[round] = self._train(round)
        return self._models[round]

    def learn(self, round: int) -> str:
        """Train on the labels of a round, commit quality and ranking; returns the decision in words."""
        # Streaming proposes with the last model while the next is trained; otherwise memory is for one of them.
        self._models = {n: known for n, known in self._models.items() if self.streaming and n == round - 1}
        model = self._train(round)
        labelled = self._labels(self.proposer.target, round)
        metrics: dict[str, Any] = prospective_quality(labelled) | held_out_quality(model and model.surrogate)
        ranking: list[Ranked] = []
        if model is not None and labelled:  # before that the model speaks of the cheap fidelity
            mean, sigma = self._predict_space(model)
            # What random choice would draw from: the discovery curve's reference.
            spread = np.sqrt(mean.var() + (sigma**2).mean())
            metrics |= {"space_mean_eV": float(mean.mean()), "space_sigma_eV": float(spread)}
            best = min(label.value_eV for _, label in labelled if label.value_eV is not None)
            improvement = probability_of_improvement(mean, np.maximum(sigma, 1e-9), best, 0.0)
            metrics["improvement"] = float(improvement.max())
            ranking = rank(self.proposer.candidates, labelled, mean, sigma)
            keys = [composition.key for composition in self.proposer.candidates.compositions]
            write_predictions(self.proposer.config.folder, keys, mean, sigma)
        failed = self.ledger.counts(self._name).get("failed", 0)
        text = decisions.retrained(round, metrics, self.proposer.target, failed)
        self._models[round] = model  # before the ledger says done: streaming proposes with the newest round done
        self.ledger.finish_round(self._name, round, metrics, ranking, text)
        return text

    @property
    def _name(self) -> str:
        return self.proposer.config.campaign.name

    def _train(self, round: int) -> Any:
        candidates, proposer = self.proposer.candidates, self.proposer
        cheap = Examples.of(self._labels(proposer.cheap, round), candidates)
        target = Examples.of(self._labels(proposer.target, round), candidates)
        if proposer.cheap == proposer.target:
            cheap = Examples.of([], candidates)
        with self.reporter.bar(f"training after round {round}") as bar:

            def on_epoch(epoch: int, total: int, loss: float) -> None:
                if self.interrupted.is_set():
                    raise Interrupted
                bar.update(f"epoch {epoch} of {total}, loss {loss:.3g}", completed=epoch, total=total)

            model = self.retrainer.train(cheap, target, on_epoch)
        return None if model is None else Remembered(model, len(candidates.numbers))

    def _labels(self, fidelity: str, round: int) -> Labelled:
        """Labels that the model of a round knows."""
        known = self._known_to(round)
        return [pair for pair in self.ledger.labels(self._name, fidelity) if known(pair[0])]

    def _known_to(self, round: int) -> Callable[[ProposalRow], bool]:
        """In rounds, what was proposed until then; in streaming, what had landed, by the ledger's own list."""
        if not self.streaming:
            return lambda proposal: proposal.round <= round
        lessons = [event.data for event in self.ledger.events(self._name, LESSONS)]
        ids = {i for data in lessons if data["round"] <= round for i in data["proposals"]}
        return lambda proposal: proposal.id in ids

    def _predict_space(self, model: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and sigma (eV) of every composition, over its orderings."""
        mean, sigma = CompositionEstimator(model).predict(self.proposer.pool().rows, return_std=True)
        return np.asarray(mean), np.asarray(sigma)


def rank(
    candidates: Candidates, labelled: Labelled, mean: NDArray[np.float64], sigma: NDArray[np.float64]
) -> list[Ranked]:
    """Labels where there are, predictions (eV, by composition) elsewhere, best first, at most `RANKED`.

    A labelled composition's value is the mean over its labelled orderings; its sigma the standard error of that mean
    from the scatter between orderings, pooled over all compositions (none before one has two labels).
    """
    values: dict[int, list[float]] = {}
    for proposal, label in labelled:
        if label.value_eV is not None:
            values.setdefault(candidates.index[proposal.composition], []).append(label.value_eV)
    errors = standard_errors_eV(values) or {}
    lines = []
    for i, composition in enumerate(candidates.compositions):
        found = values.get(i)
        lines.append(
            Ranked(
                composition=composition.key,
                formula=composition.formula(candidates.host),
                cluster=int(candidates.clusters.labels[i]),
                mean_eV=float(np.mean(found) if found else mean[i]),
                sigma_eV=errors.get(i) if found else float(sigma[i]),
                source="label" if found else "prediction",
                orderings=len(found) if found else candidates.orderings,
            )
        )
    return sorted(lines, key=lambda line: (line.mean_eV, line.composition))[:RANKED]
