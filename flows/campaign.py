"""The loop: propose, label, retrain, until a stopping rule holds.

Everything it needs to go on stands in the ledger before it is acted on, so that a campaign that was killed at any
moment and run again makes the same proposals and ends in the same labels as one that never stopped.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from agent.acquisition import Proposal, propose
from agent.formula import Occupation, descriptor_table
from agent.learner import CandidatePool, CompositionEstimator, Observation
from agent.ledger import Ledger, NewProposal, Ranked
from agent.schema import ProposalRow, RoundRow
from agent.scores import probability_of_improvement
from agent.stopping import Progress, StopReason, should_stop
from calculators.label import Work
from calculators.pipeline import label_key
from calculators.registry import find
from flows.candidates import Candidates
from flows.config import Config
from flows.errors import as_user_error
from flows.labelling import Engine, Labeller
from flows.outcomes import EVENT as OUTCOME_EVENT
from flows.outcomes import PhaseClassifier, told
from flows.progress import Reporter, stage_note
from flows.quality import held_out_quality, prospective_quality
from flows.retraining import Examples, Retrainer
from flows.stage import Stage, current_run_id, tell
from flows.view import CampaignView

#: Compositions of the ranking that the ledger keeps; ranking.csv has all that were asked for.
RANKED = 1000
#: The round that labels the cheap fidelity.
PRETRAINING = 0


@dataclass
class Campaign:
    """One campaign in memory. Rebuilt from configuration and ledger whenever it is needed."""

    config: Config
    candidates: Candidates
    ledger: Ledger
    engine: Engine
    reporter: Reporter
    stage: Stage
    interrupted: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        config, folder = self.config, self.config.folder
        self.name = config.campaign.name
        self.target = find(config.label.calculators[0]).fidelity
        self.cheap = find(config.pretrain.calculator).fidelity
        self.retrainer = Retrainer(config.model, self.candidates, config.campaign.seed, folder / "models")
        self.labeller = Labeller(
            self.ledger, self.engine, config.label, folder / "labels", self._work, label_key, self.interrupted
        )
        self.surrogate: Any = None
        self._stop: StopReason | None = None

    # --- the loop --------------------------------------------------------------------------------------

    def run(self) -> StopReason:
        """Run until a stopping rule holds, which is returned; the ledger has it too."""
        self.ledger.close_lost_attempts(self.name)
        self.ledger.set_campaign_state(self.name, "running")
        self.stage.flow(self.name, self._rounds, kind="campaign")
        assert self._stop is not None  # the only way out of the rounds without an exception
        self.ledger.set_campaign_state(self.name, "finished" if self._stop.healthy else "stopped", self._stop.text)
        return self._stop

    def _rounds(self) -> None:
        with self.reporter.bar("rounds", total=self.config.stopping.max_rounds) as bar:
            for number in itertools.count(PRETRAINING if self.config.pretrain.labels else 1):
                known = self.ledger.round(self.name, number)
                bar.update(f"round {number}", completed=max(0, number - 1))
                if known is not None and known.state == "done":
                    continue
                if known is None and (stop := should_stop(self.config.stopping, self._progress())) is not None:
                    self._stop = stop
                    return
                self.stage.flow(f"round {number}", partial(self._round, number, known), kind="round")

    def _round(self, number: int, known: RoundRow | None) -> None:
        """Propose (unless that is in the ledger already), label what is pending, retrain."""
        if known is None:
            self._propose(number)
        self.ledger.link_run(self.name, number, current_run_id())
        self._label(number)
        self.stage.step("retrain", f"retrain after round {number}", lambda: self._retrain(number))
        self.stage.publish(CampaignView.load(self.ledger, self.name, self.config.folder), number)

    # --- propose ---------------------------------------------------------------------------------------

    def _propose(self, number: int) -> None:
        config = self.config
        proposals = self._pretraining_set() if number == PRETRAINING else self._acquire(number)
        calculator = config.pretrain.calculator if number == PRETRAINING else config.label.calculators[0]
        rows = [self._row(proposal, calculator) for proposal in proposals]
        summary = self._summary(number, proposals)
        if (classifier := self._phase_classifier()) is not None:
            passing = int(classifier.allowed(*self._occupations).sum())
            total = len(self.candidates.compositions)
            summary += f"; {passing:,} of {total:,} compositions are synthesizable by {classifier}"
        self.ledger.begin_round(self.name, number, rows, summary)
        self._say(summary)

    def _pretraining_set(self) -> list[Proposal]:
        """Stratified over the clusters, so that the ensemble has seen all of the space at the cheap fidelity."""
        acquisition = self.config.acquisition.model_copy(update={"strategy": "stratified"})
        return propose(None, self._pool(), acquisition, self.config.pretrain.labels, [], rng=self._rng(PRETRAINING))

    def _acquire(self, number: int) -> list[Proposal]:
        labelled, pending = self._asked()
        proposals = propose(
            self._current_surrogate(number - 1),
            self._pool(),
            self.config.acquisition,
            self._batch(len(labelled)),
            labelled,
            pending,
            self._rng(number),
            progress=self._spent(number, len(labelled)),
            pinned=self._edited("pin"),
        )
        return proposals if labelled else [self._at_cheap_fidelity(proposal) for proposal in proposals]

    def _at_cheap_fidelity(self, proposal: Proposal) -> Proposal:
        """Without a single target label the model speaks of the cheap fidelity: it may rank, but not be compared."""
        if not np.isfinite(proposal.mean_eV):
            return proposal
        reason = f"{proposal.reason}, all at {self.cheap}: nothing is labelled at {self.target} yet"
        return replace(proposal, mean_eV=np.nan, sigma_eV=np.nan, reason=reason)

    def _batch(self, labels: int) -> int:
        """The batch, cut to what the budget of labels still allows."""
        batch, budget = self.config.campaign.batch, self.config.stopping.max_labels
        return batch if budget is None else max(1, min(batch, budget - labels))

    def _spent(self, number: int, labels: int) -> float:
        """Share of the budget of rounds or labels that is spent, whichever is further; 0 without a budget."""
        stopping = self.config.stopping
        shares = [labels / stopping.max_labels if stopping.max_labels else 0.0]
        shares.append((number - 1) / stopping.max_rounds if stopping.max_rounds else 0.0)
        return max(shares)

    def _pool(self) -> CandidatePool:
        candidates = self.candidates
        allowed = np.ones(len(candidates.compositions), dtype=bool)
        allowed[self._edited("exclude")] = False
        if (classifier := self._phase_classifier()) is not None:
            allowed &= classifier.allowed(*self._occupations)
        return CandidatePool.of(candidates.compositions, candidates.clusters.labels, candidates.orderings, allowed)

    def _phase_classifier(self) -> PhaseClassifier | None:
        """Trained on all outcomes known by now, if only synthesizable compositions are to be proposed."""
        section = self.config.synthesizability
        if not section.only:
            return None
        added = told(self.ledger.events(self.name, OUTCOME_EVENT))
        with as_user_error():
            return PhaseClassifier.of(section, self.candidates.host, added, self.config.campaign.seed)

    @cached_property
    def _occupations(self) -> tuple[list[Occupation], np.ndarray]:
        """The substituted sublattice of every composition, and its descriptors (n, 4)."""
        occupations = [Occupation.of(composition) for composition in self.candidates.compositions]
        return occupations, descriptor_table(occupations)

    def _edited(self, kind: str) -> list[int]:
        """Compositions that a person has pinned or excluded."""
        events = self.ledger.events(self.name, kind)
        return [self.candidates.index[event.data["composition"]] for event in events]

    def _asked(self) -> tuple[list[Observation], list[tuple[int, int]]]:
        """Target-fidelity labels, and what was asked for without (yet, or ever) giving one."""
        index = self.candidates.index
        labelled = [
            Observation(index[p.composition], p.ordering, label.value_eV)
            for p, label in self.ledger.labels(self.name, self.target)
            if label.value_eV is not None
        ]
        have = {(o.composition, o.ordering) for o in labelled}
        asked = [
            (index[p.composition], p.ordering) for p in self.ledger.proposals(self.name) if p.round != PRETRAINING
        ]
        return labelled, [pair for pair in asked if pair not in have]

    def _row(self, proposal: Proposal, calculator: str) -> NewProposal:
        composition = proposal.composition
        return NewProposal(
            composition=composition.key,
            formula=composition.formula(self.candidates.host),
            ordering=proposal.ordering,
            calculator=calculator,
            label_key=label_key(self._work(composition.key, proposal.ordering, calculator)),
            reason=proposal.reason,
            cluster=proposal.cluster,
            mean_eV=_finite(proposal.mean_eV),
            sigma_eV=_finite(proposal.sigma_eV),
            score=_finite(proposal.score),
        )

    def _work(self, composition: str, ordering: int, calculator: str) -> Work:
        config = self.config
        if calculator in config.label.calculators:
            settings = config.label.settings.get(calculator, {})
        else:
            settings = config.pretrain.settings
        return self.candidates.work(composition, ordering, calculator, settings)

    def _rng(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self.config.campaign.seed, number])

    # --- label -----------------------------------------------------------------------------------------

    def _label(self, number: int) -> None:
        pending = self.ledger.proposals(self.name, number, "pending")
        titles = [self._title(proposal) for proposal in pending]
        with self.reporter.bar(f"labels of round {number}", total=len(pending)) as total:

            def label(position: int) -> None:
                self._label_one(pending[position], titles[position])
                total.advance()

            self.stage.each("label", titles, label, self.config.label.workers)

    def _label_one(self, proposal: ProposalRow, title: str) -> None:
        self.ledger.link_run(self.name, proposal.round, current_run_id(), proposal.id)
        with self.reporter.bar(f"  {title}") as bar:
            state = self.labeller.label(proposal.id, lambda event: bar.update(stage_note(event)))
        self._say(*self._outcome(proposal.id, state))

    def _outcome(self, proposal_id: int, state: str) -> tuple[str, str]:
        """What came of a proposal in one line, and where its details are."""
        proposal = self.ledger.proposal(proposal_id)
        label = self.ledger.label(proposal.label_key)
        where = f"ledger id {proposal.id}, folder {self.config.folder / 'labels' / proposal.label_key}"
        if state == "labelled" and label is not None and label.value_eV is not None:
            said = (
                "" if proposal.mean_eV is None else f" (predicted {proposal.mean_eV:.3f} ± {proposal.sigma_eV:.3f})"
            )
            return f"  {proposal.formula}: {label.value_eV:.3f} eV, {label.fidelity}{said}", where
        attempts = self.ledger.attempts(self.name, proposal_id)
        why = f"{attempts[-1].failure_kind}: {attempts[-1].failure_reason}" if attempts else "judged invalid before"
        return f"  {proposal.formula}: no label, {why}", where

    def _title(self, proposal: ProposalRow) -> str:
        verb = "NEB" if find(proposal.calculator).fidelity.endswith("-neb") else "label"
        return f"{verb} {proposal.formula}: {proposal.calculator}"

    # --- retrain ---------------------------------------------------------------------------------------

    def _current_surrogate(self, after_round: int) -> Any:
        """The model after a round: the one just trained, or, in a new process, the same one trained again."""
        if self.surrogate is None:
            self.surrogate = self._train(after_round)
        return self.surrogate

    def _train(self, after_round: int) -> Any:
        def examples(fidelity: str) -> Examples:
            labelled = self.ledger.labels(self.name, fidelity)
            return Examples.of([pair for pair in labelled if pair[0].round <= after_round], self.candidates)

        cheap = examples(self.cheap) if self.cheap != self.target else examples("")
        with self.reporter.bar(f"training after round {after_round}") as bar:

            def on_epoch(epoch: int, total: int, loss: float) -> None:
                bar.update(f"epoch {epoch} of {total}, loss {loss:.3g}", completed=epoch, total=total)

            return self.retrainer.train(cheap, examples(self.target), on_epoch)

    def _retrain(self, number: int) -> None:
        self.surrogate = self._train(number)
        labelled = self.ledger.labels(self.name, self.target)
        metrics: dict[str, Any] = prospective_quality(labelled) | held_out_quality(self.surrogate)
        ranking: list[Ranked] = []
        if self.surrogate is not None and labelled:  # before that the model speaks of the cheap fidelity
            mean, sigma = self._predict_space()
            # What random choice would draw from: the discovery curve's reference.
            spread = np.sqrt(mean.var() + (sigma**2).mean())
            metrics |= {"space_mean_eV": float(mean.mean()), "space_sigma_eV": float(spread)}
            best = min(label.value_eV for _, label in labelled if label.value_eV is not None)
            improvement = probability_of_improvement(mean, np.maximum(sigma, 1e-9), best, 0.0)
            metrics["improvement"] = float(improvement.max())
            ranking = self._rank(mean, sigma)
        summary = self._retrained(number, metrics)
        self.ledger.finish_round(self.name, number, metrics, ranking, summary)
        self._say(summary)

    def _predict_space(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and sigma (eV) of every composition, over its orderings."""
        mean, sigma = CompositionEstimator(self.surrogate).predict(self._pool().rows, return_std=True)
        return np.asarray(mean), np.asarray(sigma)

    def _rank(self, mean: np.ndarray, sigma: np.ndarray) -> list[Ranked]:
        """Labels where there are, predictions elsewhere, best first.

        A labelled composition's value is the mean over its labelled orderings; its sigma the standard error of
        that mean, which one ordering alone does not have.
        """
        values: dict[int, list[float]] = {}
        for observation in self._asked()[0]:
            values.setdefault(observation.composition, []).append(observation.value_eV)
        lines = []
        for i, composition in enumerate(self.candidates.compositions):
            found = values.get(i)
            lines.append(
                Ranked(
                    composition=composition.key,
                    formula=composition.formula(self.candidates.host),
                    cluster=int(self.candidates.clusters.labels[i]),
                    mean_eV=float(np.mean(found) if found else mean[i]),
                    sigma_eV=_standard_error(found) if found else float(sigma[i]),
                    source="label" if found else "prediction",
                    orderings=len(found) if found else self.candidates.orderings,
                )
            )
        return sorted(lines, key=lambda line: (line.mean_eV, line.composition))[:RANKED]

    # --- stop ------------------------------------------------------------------------------------------

    def _progress(self) -> Progress:
        row = self.ledger.campaign(self.name)
        rounds = self.ledger.rounds(self.name)
        labelled, pending = self._asked()
        attempts = self.ledger.attempts(self.name)
        seconds = sum(a.seconds or 0.0 for a in attempts)
        asked = {o.composition for o in labelled} | {composition for composition, _ in pending}
        ended = [a for a in attempts if a.state in ("succeeded", "failed")]
        return Progress(
            labels=len(labelled),
            rounds=sum(r.state == "done" and r.number != PRETRAINING for r in rounds),
            calculator_hours=seconds / 3600,
            wall_hours=0.0 if row is None else row.driven_s / 3600,
            best_eV=min((o.value_eV for o in labelled), default=None),
            improvement=[r.metrics["improvement"] for r in rounds if "improvement" in r.metrics],
            candidates_left=int(self._pool().allowed.sum()) - len(asked),
            outcomes=[a.failure_kind or None for a in ended],
        )

    # --- words -----------------------------------------------------------------------------------------

    def _summary(self, number: int, proposals: Sequence[Proposal]) -> str:
        clusters = len({proposal.cluster for proposal in proposals})
        head = f"round {number}: proposed {len(proposals)} from {clusters} clusters"
        if number == PRETRAINING:
            return f"{head} for pre-training with {self.cheap}"
        predicted = [p for p in proposals if np.isfinite(p.mean_eV)]
        if not predicted:
            how = self.config.acquisition.initial if self.surrogate is None else f"ranked at {self.cheap}"
            return f"{head}, {how} for want of labels at {self.target}"
        best = min(predicted, key=lambda p: p.mean_eV)
        strategy = self.config.acquisition.strategy
        return f"{head} by {strategy}; lowest predicted {best.mean_eV:.3f} ± {best.sigma_eV:.3f} eV"

    def _retrained(self, number: int, metrics: dict[str, Any]) -> str:
        counts = self.ledger.counts(self.name)
        text = f"round {number}: retrained on {metrics['n_labels']} {self.target} labels"
        if metrics.get("mae_eV") is not None:
            text += f"; error of earlier predictions {metrics['mae_eV']:.3f} eV"
        if metrics.get("mean_predictor_mae_eV") is not None:
            text += f" (mean predictor {metrics['mean_predictor_mae_eV']:.3f})"
        return f"{text}; {counts.get('failed', 0)} failed so far"

    def _say(self, text: str, details: str = "") -> None:
        """One line for the terminal; the run's log in Prefect gets the details too."""
        self.reporter.say(text)
        tell(f"{text.strip()}; {details}" if details else text)


def _standard_error(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def _finite(value: float) -> float | None:
    """JSON and SQL know no NaN."""
    return float(value) if np.isfinite(value) else None
