"""From what the ledger holds to what is to be labelled next. Reads the ledger and never writes it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.acquisition import Proposal, propose
from agent.formula import Occupation, descriptor_table
from agent.learner import CandidatePool, Observation
from agent.ledger import Ledger, NewProposal
from agent.schema import ProposalRow
from agent.standing import Standing
from calculators.label import Work
from calculators.pipeline import label_key
from calculators.registry import find
from flows.candidates import Candidates
from flows.config import Config
from flows.errors import as_user_error
from flows.fidelities import Fidelities
from flows.outcomes import EVENT as OUTCOME_EVENT
from flows.outcomes import PhaseClassifier, told

#: The round that labels the cheap fidelity.
PRETRAINING = 0


@dataclass(frozen=True)
class Passing:
    """What a trained classifier of phase purity lets through.

    Attributes:
        allowed: (n,) of the space's compositions.
    """

    classifier: PhaseClassifier
    allowed: NDArray[np.bool_]


@dataclass(frozen=True)
class Proposer:
    """Chooses for one campaign. The same ledger, model and seed words give the same choice."""

    config: Config
    candidates: Candidates
    ledger: Ledger

    @property
    def target(self) -> str:
        """The fidelity that the campaign is about."""
        return find(self.config.label.calculators[0]).fidelity

    @property
    def cheap(self) -> str:
        """The fidelity that the model learns first."""
        return find(self.config.pretrain.calculator).fidelity

    def pretraining_set(self) -> list[Proposal]:
        """Stratified over the clusters, so that the ensemble has seen all of the space at the cheap fidelity."""
        acquisition = self.config.acquisition.model_copy(update={"strategy": "stratified"})
        rng = self.rng(PRETRAINING)
        return propose(None, self.pool(), acquisition, self.config.cheap_labels, rng=rng)

    def choose(self, surrogate: Any, size: int, seed: tuple[int, ...], recent: int = 0) -> list[Proposal]:
        """The next `size` proposals, best first.

        Args:
            surrogate: the trained model, or None while there is none.
            size: how many at most.
            seed: numbers that, with the campaign's seed, decide every random choice: round, and place in it.
            recent: so many of the last proposals count as part of this batch (for diversity), besides the pending.
        """
        asked = self.asked()
        standing = replace(
            asked,
            pinned=self._edited("pin"),
            recent=self._recent(recent) if recent else (),
            progress=self.spent(len(asked.labelled)),
        )
        proposals = propose(surrogate, self.pool(), self.config.acquisition, size, standing, self.rng(*seed))
        return proposals if asked.labelled else [self._at_cheap_fidelity(proposal) for proposal in proposals]

    def asked(self) -> Standing:
        """Target-fidelity labels, and what the acquisition rounds asked for without (yet, or ever) getting one."""
        index = self.candidates.index
        known = self.ledger.known(self._name, self.target)
        labelled = [Observation(index[one.composition], one.ordering, one.value_eV) for one in known]
        have = {(o.composition, o.ordering) for o in labelled}
        asked = [(index[p.composition], p.ordering) for p in self._acquisitions()]
        return Standing(labelled, [pair for pair in asked if pair not in have])

    def rows(self, proposals: list[Proposal], calculator: str) -> list[NewProposal]:
        """As the ledger keeps them."""
        return [self._row(proposal, calculator) for proposal in proposals]

    def acquisition_rows(self, proposals: list[Proposal]) -> list[NewProposal]:
        """The same for the target's calculator, or, on demand, the cheap one where that pays more."""
        cheap, dear = self.config.pretrain.calculator, self.config.label.calculators[0]
        on_demand = self.config.pretrain.on_demand
        known = Fidelities.learned(self.ledger, self._name, cheap, dear) if on_demand else None
        if known is None:
            return self.rows(proposals, dear)
        reasons = zip(proposals, known.cheap_first(proposals), strict=True)
        return [
            self._row(replace(proposal, reason=f"{proposal.reason}; {why}"), cheap)
            if why
            else self._row(proposal, dear)
            for proposal, why in reasons
        ]

    def work(self, composition: str, ordering: int, calculator: str) -> Work:
        """What a calculator is asked for."""
        config = self.config
        cheap = calculator == config.pretrain.calculator and calculator not in config.label.calculators
        settings = config.pretrain.settings if cheap else config.label.settings.get(calculator, {})
        return self.candidates.work(composition, ordering, calculator, settings)

    def pool(self) -> CandidatePool:
        """The space without what a person has excluded, what is too unstable, and what cannot be made."""
        candidates = self.candidates
        allowed = np.ones(len(candidates.compositions), dtype=bool)
        allowed[self._edited("exclude")] = False
        allowed &= self._stable
        if (passing := self.passing()) is not None:
            allowed &= passing.allowed
        return CandidatePool.of(
            candidates.compositions, candidates.clusters.labels, candidates.orderings, allowed, candidates.ions
        )

    def passing(self) -> Passing | None:
        """What may be proposed by all outcomes known by now, if only synthesizable compositions may.

        Trained anew only when an outcome was added or the table was written: several places look within a round.
        """
        section = self.config.synthesizability
        if not section.only:
            return None
        added = told(self.ledger.events(self._name, OUTCOME_EVENT))
        with as_user_error():
            table = section.table
            known = (added, table.stat().st_mtime_ns if table is not None and table.is_file() else None)
            if known not in self._passing:
                classifier = PhaseClassifier.of(section, self.candidates.host, added, self.config.campaign.seed)
                self._passing.clear()
                self._passing[known] = Passing(classifier, classifier.allowed(*self._occupations))
        return self._passing[known]

    def synthesizable(self) -> str:
        """What the classifier lets through, in words; "" without one."""
        if (passing := self.passing()) is None:
            return ""
        count, total = int(passing.allowed.sum()), len(self.candidates.compositions)
        return f"; {count:,} of {total:,} compositions are synthesizable by {passing.classifier}"

    @cached_property
    def _stable(self) -> NDArray[np.bool_]:
        """(compositions,) what the limit on the energy above the hull lets through; read once."""
        with as_user_error():
            return self.config.hull.allowed(self.candidates.compositions, self.candidates.host)

    @cached_property
    def _passing(self) -> dict[Hashable, Passing]:
        """The newest, under what it was trained on."""
        return {}

    @cached_property
    def _occupations(self) -> tuple[list[Occupation], np.ndarray]:
        """The substituted sublattice of every composition, and its descriptors (n, 4)."""
        occupations = [Occupation.of(composition) for composition in self.candidates.compositions]
        return occupations, descriptor_table(occupations)

    def spent(self, labels: int) -> float:
        """Share of the budget of rounds or labels that is spent, whichever is further; 0 without a budget."""
        stopping = self.config.stopping
        done = sum(row.state == "done" and row.number > PRETRAINING for row in self.ledger.rounds(self._name))
        shares = [labels / stopping.max_labels if stopping.max_labels else 0.0]
        shares.append(done / stopping.max_rounds if stopping.max_rounds else 0.0)
        return max(shares)

    def rng(self, *words: int) -> np.random.Generator:
        return np.random.default_rng([self.config.campaign.seed, *words])

    @property
    def _name(self) -> str:
        return self.config.campaign.name

    def _acquisitions(self) -> list[ProposalRow]:
        """What was asked for at the target fidelity: a cheap label on demand leaves a composition open."""
        cheap = self.config.pretrain.calculator if self.config.pretrain.on_demand else None
        rows = self.ledger.proposals(self._name)
        return [p for p in rows if p.round != PRETRAINING and p.calculator != cheap]

    def _recent(self, count: int) -> list[int]:
        """Compositions of the last `count` proposals and of all that are pending, oldest first."""
        asked = self._acquisitions()
        last = {p.id for p in asked[-count:]}
        return [self.candidates.index[p.composition] for p in asked if p.id in last or p.state == "pending"]

    def _edited(self, kind: str) -> list[int]:
        """Compositions that a person has pinned or excluded."""
        events = self.ledger.events(self._name, kind)
        return [self.candidates.index[event.data["composition"]] for event in events]

    def _at_cheap_fidelity(self, proposal: Proposal) -> Proposal:
        """Without a single target label the model speaks of the cheap fidelity: it may rank, but not be compared."""
        if not np.isfinite(proposal.mean_eV):
            return proposal
        reason = f"{proposal.reason}, all at {self.cheap}: nothing is labelled at {self.target} yet"
        return replace(proposal, mean_eV=np.nan, sigma_eV=np.nan, reason=reason)

    def _row(self, proposal: Proposal, calculator: str) -> NewProposal:
        composition = proposal.composition
        return NewProposal(
            composition=composition.key,
            formula=composition.formula(self.candidates.host),
            ordering=proposal.ordering,
            calculator=calculator,
            label_key=label_key(self.work(composition.key, proposal.ordering, calculator)),
            reason=proposal.reason,
            cluster=proposal.cluster,
            mean_eV=_finite(proposal.mean_eV),
            sigma_eV=_finite(proposal.sigma_eV),
            score=_finite(proposal.score),
        )


def _finite(value: float) -> float | None:
    """JSON and SQL know no NaN."""
    return float(value) if np.isfinite(value) else None
