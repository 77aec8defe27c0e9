"""Which hops of an ordering deserve a band, and which of their barriers is E_b.

**What E_b is.** A hop's crossing barrier is its band's highest image above its lowest: on a path that crosses the
cell a hop is met from both sides. By rule:

- `bottleneck` (default): the barrier that must be crossed to percolate in at least one direction. The
  network of all mobile sites gets bond-valence estimates; the easiest percolating path (minimax) is found;
  its highest hop that is not yet computed gets a NEB; that barrier replaces the estimate and the offset
  between the two corrects the remaining estimates; and so on, until all hops of the easiest path that can be
  computed are, or `max_hops` NEBs are spent. E_b is the highest *computed* crossing barrier on that path. A
  hop that proves invalid is impassable. `extra` says how many hops the path has (`path_hops`) and how many
  of them were computed (`path_hops_computed`): hops between two occupied or two vacant sites cannot be. If
  nothing percolates, or no hop of the path can be computed, the rule is `easiest`.
- `easiest`: one number for one NEB. Hops in the order of their estimates; the first of at most `max_hops`
  whose end points hold is the label. A cheap, biased stand-in for `bottleneck`.
- `all`: every distinct computable hop, without bound; E_b as by `bottleneck`.
- `named A-B`: distinct hops between sites of these names, at most `max_hops`; E_b is the lowest crossing
  barrier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel

from calculators.failures import CalculationFailed, invalid
from calculators.hops import Edge, Network, distinct, easiest_path, named
from calculators.label import Failure, FailureKind, Hop


class HopRecord(BaseModel):
    """What became of one hop; kept in its folder, so that a restart does not repeat it."""

    hop: Hop
    failure: Failure | None = None


def crossing_barrier(hop: Hop) -> float:
    """The highest image above the lowest one (eV): what an ion climbs that goes this way and comes back.

    Mostly the lowest image is an end point, and this is max(forward, backward). Where the path dips below both of its
    ends, the ion rests in the dip, and has to leave that.
    """
    return max(hop.path_eV) - min(hop.path_eV)


def saddle_is_end_point(hop: Hop) -> bool:
    """No image lies above both end points: the energy difference is all the barrier there is."""
    return max(hop.path_eV) <= max(hop.path_eV[0], hop.path_eV[-1])


@dataclass
class Outcome:
    """The records of all hops that were tried, the one that decides E_b, and facts about the choice."""

    records: dict[str, HopRecord]
    decisive: str
    extra: dict[str, float] = field(default_factory=dict)


Compute = Callable[[Edge], HopRecord]


def follow_rule(rule: str, network: Network, compute: Compute, max_hops: int) -> Outcome:
    """Compute the hops that a rule asks for and say which one is E_b.

    Raises:
        CalculationFailed: no hop is left that has a barrier; carries the reason of the last one.
        ValueError: the named hop does not exist.
    """
    if not network.computable:
        raise invalid("no mobile ion has a vacant site within the hop cutoff: nothing can hop", "hops")
    if rule == "easiest":
        return _easiest(network, compute, max_hops)
    if rule.startswith("named "):
        edges = distinct(named(network.computable, rule.split(maxsplit=1)[1]))[:max_hops]
        return _lowest({edge.label: compute(edge) for edge in edges})
    if rule == "all":
        edges = distinct(network.computable)
        records = {edge.label: compute(edge) for edge in edges}
        path = easiest_path(network.edges, len(network.positions_A), _heights(network, records))
        return _on_path(path[0] if path else [], records) or _lowest(records)
    return _bottleneck(network, compute, max_hops)


def _easiest(network: Network, compute: Compute, max_hops: int) -> Outcome:
    records: dict[str, HopRecord] = {}
    for edge in distinct(network.computable)[:max_hops]:
        records[edge.label] = compute(edge)
        failure = records[edge.label].failure
        if failure is None or failure.kind is not FailureKind.INVALID:
            break
    return _lowest(records)


def _bottleneck(network: Network, compute: Compute, max_hops: int) -> Outcome:
    records: dict[str, HopRecord] = {}
    path: tuple[list[Edge], float] | None = None
    while True:
        height = _heights(network, records)
        path = easiest_path(network.edges, len(network.positions_A), height)
        waiting = [edge for edge in (path[0] if path else []) if edge.computable and edge.label not in records]
        if not waiting or len(records) >= max_hops:
            break
        hardest = max(waiting, key=lambda edge: (edge.estimate, edge.label))
        records[hardest.label] = compute(hardest)
    outcome = _on_path(path[0] if path else [], records)
    if outcome is not None:
        return outcome
    left = max_hops - len(records)
    untried = [edge for edge in distinct(network.computable) if edge.label not in records]
    for edge in untried[:left]:
        if any(record.failure is None for record in records.values()):
            break
        records[edge.label] = compute(edge)
    return _lowest(records)


def _heights(network: Network, records: dict[str, HopRecord]) -> Callable[[Edge], float]:
    """Barrier of an edge: computed, or its estimate corrected by the mean offset of the computed ones."""
    barriers = {
        label: np.inf if record.failure else crossing_barrier(record.hop) for label, record in records.items()
    }
    estimates = {edge.label: edge.estimate for edge in network.edges}
    offsets = [barrier - estimates[label] for label, barrier in barriers.items() if np.isfinite(barrier)]
    offset = float(np.mean(offsets)) if offsets else 0.0
    return lambda edge: barriers.get(edge.label, edge.estimate + offset)


def _on_path(path: list[Edge], records: dict[str, HopRecord]) -> Outcome | None:
    computed = [edge.label for edge in path if edge.label in records and records[edge.label].failure is None]
    if not computed:
        return None
    decisive = max(computed, key=lambda label: crossing_barrier(records[label].hop))
    extra = {"path_hops": float(len(path)), "path_hops_computed": float(len(computed))}
    return Outcome(records, decisive, extra)


def _lowest(records: dict[str, HopRecord]) -> Outcome:
    good = [label for label, record in records.items() if record.failure is None]
    if not good:
        failures = [record.failure for record in records.values() if record.failure]
        # What can be continued matters more than what cannot.
        worst = min(failures, key=lambda failure: failure.kind is FailureKind.INVALID)
        tried = f" ({len(records)} hops tried)" if len(records) > 1 else ""
        raise CalculationFailed(worst.kind, worst.reason + tried, worst.stage)
    return Outcome(records, min(good, key=lambda label: crossing_barrier(records[label].hop)))
