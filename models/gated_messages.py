"""Gated messages of CGCNN and CGformer, summed over neighbours, without one array per operation and bond.

As tensor operations a convolution makes some ten arrays of one value per bond and channel, tens of megabytes each,
and spends its time carrying them to memory and back. Here bonds go through in blocks that stay in the cache, and one
such array is kept from the forward to the backward pass. What a batch norm needs to know of all messages, their mean
and variance, follows from the atoms and from the geometry alone: messages are linear in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

#: Atoms whose messages are computed at once: about 1 MB.
BLOCK = 160
#: sigmoid(-core) ends here, which is a core of 80, far outside what a batch norm lets through: its log is finite.
SMALLEST = 1e-35


@dataclass(frozen=True)
class Bonds:
    """Where messages come from: t atoms, k neighbours each, geometry of t atoms or of the n of a shared graph.

    Attributes:
        neighbours: (t, k) index of the other atom.
        expanded: (t or n, k, e) expansion of the distance.
        listed: (t or n, k) False where there is no neighbour; None if there always is one.
    """

    neighbours: torch.Tensor
    expanded: torch.Tensor
    listed: torch.Tensor | None

    @cached_property
    def along_edges(self) -> torch.Tensor:
        """Expansions (edges, e) of the listed bonds of all crystals, by atom, as `GraphBatch.edge_index` has them."""
        expanded = self.expanded.flatten(0, 1) if self.listed is None else self.expanded[self.listed]
        return expanded.repeat(self.rows, 1)

    @property
    def rows(self) -> int:
        """How many crystals share the graph; 1 where all have their own."""
        return len(self.neighbours) // len(self.expanded)

    def by_site(self, values: torch.Tensor) -> torch.Tensor:
        """Values (t, d), crystal after crystal, as (n, rows, d): a site's in all of them lie side by side."""
        return values.view(self.rows, len(self.expanded), -1).transpose(0, 1).contiguous()

    def by_crystal(self, values: torch.Tensor) -> torch.Tensor:
        """The way back from `by_site`, (t, d)."""
        return values.transpose(0, 1).reshape(len(self.neighbours), -1)

    @cached_property
    def by_degree(self) -> tuple[torch.Tensor, list[int]]:
        """Sites by number of listed neighbours, and that number, ascending (listed ones come first in every row)."""
        assert self.listed is not None
        degree, order = self.listed.sum(dim=1).sort(stable=True)
        return order, degree.tolist()

    def blocks(self) -> Iterator[tuple[Any, int, torch.Tensor, torch.Tensor, torch.Tensor | None]]:
        """Sites, their number of neighbours k, the other ends of their bonds (m,), the bonds' expansions (m, e) and
        whether they are listed (m / k, k, 1, 1), None if all are.

        Sites of a block have about as many neighbours, so that little is computed for places that are empty.
        """
        n, step = len(self.expanded), max(1, BLOCK // self.rows)
        for start in range(0, n, step):
            stop = min(start + step, n)
            sites: Any = slice(start, stop)
            k, listed = self.neighbours.shape[1], None
            if self.listed is not None:
                order, degree = self.by_degree
                sites, k = order[sites], max(degree[stop - 1], 1)
                if degree[start] < k:
                    listed = self.listed[sites, :k, None, None]
            ends, expanded = self.neighbours[:n][sites, :k], self.expanded[sites, :k]
            yield sites, k, ends.reshape(-1), expanded.flatten(0, 1), listed

    @cached_property
    def listeners(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Bonds by the atom that is heard, (t k,), where each atom's begin and how many they are, (t,).

        To sum them up by lists is ten times faster than to add them to where they belong one after another.
        """
        heard = self.neighbours.reshape(-1)
        count = torch.bincount(heard, minlength=len(self.neighbours))
        return torch.argsort(heard, stable=True), count.cumsum(0) - count, count

    def of_listeners(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over the atoms that listen to an atom, (t, d), of values (t, d)."""
        order, start, _ = self.listeners
        return functional.embedding_bag(order // self.neighbours.shape[1], values, start, mode="sum")

    @cached_property
    def geometry(self) -> Geometry:
        """Computed once for all convolutions of a network."""
        (t, k), flat = self.neighbours.shape, self.expanded.flatten(0, 1)
        mean = flat.mean(dim=0)
        centre = (self.expanded.sum(dim=1) - k * mean).repeat(t // len(self.expanded), 1)
        order, start, count = self.listeners
        listeners = count.to(flat.dtype)
        other = functional.embedding_bag(order % len(flat), flat, start, mode="sum") - listeners[:, None] * mean
        spread = flat.T @ flat / len(flat) - mean[:, None] * mean
        return Geometry(mean, spread, centre, other, listeners)


@dataclass(frozen=True)
class Geometry:
    """What the messages' mean and variance ask of all bonds.

    Attributes:
        mean, spread: mean (e,) and covariance (e, e) of the expansions.
        centre, other: (t, e) sums of their deviations from the mean over the bonds from an atom to its neighbours,
            and over those to it from the atoms that listen to it.
        listeners: (t,) number of the latter.
    """

    mean: torch.Tensor
    spread: torch.Tensor
    centre: torch.Tensor
    other: torch.Tensor
    listeners: torch.Tensor


class Moments(torch.autograd.Function):
    """Mean (2w + e,) and covariance of [node_i, node_j, bond_ij] over all bonds, from nodes (t, w) of mean zero.

    Whatever is linear in these, as a message is before its gate, has its mean and variance from here. The gradient is
    written out, since autograd would add up a dozen arrays of the nodes' size.
    """

    @staticmethod
    def forward(ctx: Any, nodes: torch.Tensor, bonds: Bonds) -> tuple[torch.Tensor, torch.Tensor]:
        given, k, w = bonds.geometry, bonds.neighbours.shape[1], nodes.shape[1]
        e, count = len(given.mean), bonds.neighbours.numel()
        around = functional.embedding_bag(bonds.neighbours, nodes, mode="sum")
        met = torch.cat([nodes * k, around, given.centre, nodes * given.listeners[:, None], given.other], dim=1)
        products = (nodes.T @ met / count).split([w, w, e, w, e], dim=1)
        here, here_there, here_bond, there, there_bond = products
        mean = given.listeners @ nodes / count
        covariance = torch.cat(
            [
                torch.cat([here, here_there, here_bond], dim=1),
                torch.cat([here_there.T, there - mean[:, None] * mean, there_bond], dim=1),
                torch.cat([here_bond.T, there_bond.T, given.spread], dim=1),
            ]
        )
        ctx.save_for_backward(nodes, met, mean)
        ctx.bonds = bonds
        return torch.cat([torch.zeros_like(mean), mean, given.mean]), covariance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_mean: torch.Tensor, d_covariance: torch.Tensor) -> tuple[torch.Tensor, None]:
        nodes, met, mean = ctx.saved_tensors
        bonds: Bonds = ctx.bonds
        w, count = nodes.shape[1], bonds.neighbours.numel()
        both = (d_covariance + d_covariance.T) / count
        here, there = both[:, :w], both[:, w : 2 * w]
        change = met @ torch.cat([here, there[w:]])
        change.addr_(bonds.geometry.listeners, d_mean[w : 2 * w] / count - there[w : 2 * w] @ mean)
        return change.add_(bonds.of_listeners(nodes @ there[:w])), None


class GatedMessages(torch.autograd.Function):
    """sum_j sigmoid(gate_ij) softplus(core_ij), (t, w), of [gate, -core]_ij = here_i + there_j + weight e_ij.

    Here and there are (t, 2w), the weight (2w, e). Cores come with their sign turned: softplus(x) =
    -log(sigmoid(-x)), so that one sigmoid serves both. With `swish` the sum is of sigmoid(gate) core sigmoid(core),
    and cores keep their sign.

    What crystals of a shared graph have at a site lies side by side here, so that a bond's geometry is computed once
    and its ends are read in one piece for all of them.
    """

    @staticmethod
    def forward(
        ctx: Any, here: torch.Tensor, there: torch.Tensor, weight: torch.Tensor, bonds: Bonds, swish: bool = False
    ) -> torch.Tensor:
        w, rows = here.shape[1] // 2, bonds.rows
        here, there = bonds.by_site(here), bonds.by_site(there)
        summed, kept = here.new_empty(len(here), rows, w), []
        keep = any(ctx.needs_input_grad)
        # Where nothing is kept blocks share their room: new memory costs more than what is computed in it.
        most = max(1, BLOCK // rows) * bonds.neighbours.shape[1]
        room = [None if keep else here.new_empty(most, rows, width) for width in (2 * w, 2 * w, w)]
        for sites, k, ends, expanded, listed in bonds.blocks():
            first, second, third = (None if part is None else part[: len(ends)] for part in room)
            mixed = torch.index_select(there, 0, ends, out=first)
            if rows == 1:
                mixed.view(-1, 2 * w).addmm_(expanded, weight.T)
            else:
                mixed.add_((expanded @ weight.T)[:, None])
            mixed.view(-1, k, rows, 2 * w).add_(here[sites, None])
            both = torch.sigmoid(mixed, out=second if swish else mixed)
            gate, core = both.chunk(2, dim=2)
            inner = torch.mul(mixed[..., w:], core, out=third) if swish else core.clamp_(min=SMALLEST).log()
            messages = inner.mul_(gate).view(-1, k, rows, w)
            if listed is not None:
                messages.mul_(listed)
            summed[sites] = messages.sum(dim=1)
            if keep:
                kept += [both, messages]
        ctx.save_for_backward(weight, *kept)
        ctx.bonds, ctx.swish = bonds, swish
        return bonds.by_crystal(summed if swish else summed.neg_())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weight, *kept = ctx.saved_tensors
        bonds: Bonds = ctx.bonds
        w, rows = gradient.shape[1], bonds.rows
        gradient = bonds.by_site(gradient)
        d_there = gradient.new_zeros(len(gradient), rows, 2 * w)
        d_here = torch.empty_like(d_there)
        d_weight = weight.new_zeros(weight.shape[::-1])
        for both, messages, (sites, k, ends, expanded, listed) in zip(
            kept[::2], kept[1::2], bonds.blocks(), strict=True
        ):
            gate, core = both.chunk(2, dim=2)
            above = gradient[sites, None] if ctx.swish else gradient[sites, None].neg()
            opened = (above * messages).view(-1, rows, w)
            above = (above if listed is None else above * listed) * gate.view(-1, k, rows, w)
            above = above.view(-1, rows, w)
            change = torch.empty_like(both)
            torch.addcmul(opened, opened, gate, value=-1, out=change[..., :w])
            if ctx.swish:
                torch.addcmul(opened, above - opened, core, out=change[..., w:])
            else:
                torch.addcmul(above, above, core, value=-1, out=change[..., w:])
            d_here[sites] = change.view(-1, k, rows, 2 * w).sum(dim=1)
            d_there.index_add_(0, ends, change)
            d_weight.addmm_(expanded.T, change.view(-1, 2 * w) if rows == 1 else change.sum(dim=1))
        return bonds.by_crystal(d_here), bonds.by_crystal(d_there), d_weight.T, None, None
