"""CGCNN's gated messages, summed over neighbours, without one array per operation and bond.

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

    def blocks(self) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor, torch.Tensor | None]]:
        """Atoms, the other ends of their bonds (m,), the bonds' expansions (m, e) and whether they are listed."""
        t, period = len(self.neighbours), len(self.expanded)
        for start in range(0, t, BLOCK):
            atoms = slice(start, min(start + BLOCK, t))
            rows: Any = atoms
            if period < t:
                rows = torch.arange(atoms.start, atoms.stop, device=self.neighbours.device) % period
            listed = None if self.listed is None else self.listed[rows][..., None]
            yield atoms, self.neighbours[atoms].reshape(-1), self.expanded[rows].flatten(0, 1), listed

    @cached_property
    def geometry(self) -> Geometry:
        """Computed once for all convolutions of a network."""
        (t, k), flat = self.neighbours.shape, self.expanded.flatten(0, 1)
        mean = flat.mean(dim=0)
        centre = (self.expanded.sum(dim=1) - k * mean).repeat(t // len(self.expanded), 1)
        listeners = torch.bincount(self.neighbours.reshape(-1), minlength=t).to(flat.dtype)
        other = -listeners[:, None] * mean
        for _, ends, expanded, _ in self.blocks():
            other.index_add_(0, ends, expanded)
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
        listening = nodes @ there[:w]
        for ends in bonds.neighbours.T:
            change.index_add_(0, ends, listening)
        return change, None


class GatedMessages(torch.autograd.Function):
    """sum_j sigmoid(gate_ij) softplus(core_ij), (t, w), of [gate, -core]_ij = here_i + there_j + weight e_ij.

    Here and there are (t, 2w), the weight (2w, e). Cores come with their sign turned: softplus(x) =
    -log(sigmoid(-x)), so that one sigmoid serves both.
    """

    @staticmethod
    def forward(
        ctx: Any, here: torch.Tensor, there: torch.Tensor, weight: torch.Tensor, bonds: Bonds
    ) -> torch.Tensor:
        k, w = bonds.neighbours.shape[1], here.shape[1] // 2
        summed, kept = here.new_empty(len(here), w), []
        for atoms, ends, expanded, listed in bonds.blocks():
            mixed = there.index_select(0, ends).addmm_(expanded, weight.T)
            mixed.view(-1, k, 2 * w).add_(here[atoms, None])
            gate, core = mixed.sigmoid_().chunk(2, dim=1)
            messages = core.clamp_(min=SMALLEST).log().mul_(gate).view(-1, k, w)
            if listed is not None:
                messages.mul_(listed)
            torch.sum(messages, dim=1, out=summed[atoms])
            if any(ctx.needs_input_grad):
                kept += [mixed, messages]
        ctx.save_for_backward(weight, *kept)
        ctx.bonds = bonds
        return summed.neg_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weight, *kept = ctx.saved_tensors
        bonds: Bonds = ctx.bonds
        (t, k), w = bonds.neighbours.shape, gradient.shape[1]
        d_here, d_there = gradient.new_empty(t, 2 * w), gradient.new_zeros(t, 2 * w)
        d_weight = weight.new_zeros(weight.shape[::-1])
        for mixed, messages, (atoms, ends, expanded, listed) in zip(
            kept[::2], kept[1::2], bonds.blocks(), strict=True
        ):
            gate, core = mixed.chunk(2, dim=1)
            above = gradient[atoms, None].neg()
            opened = (above * messages).view(-1, w)
            above = (above if listed is None else above * listed) * gate.view(-1, k, w)
            above = above.view(-1, w)
            change = torch.empty_like(mixed)
            torch.addcmul(opened, opened, gate, value=-1, out=change[:, :w])
            torch.addcmul(above, above, core, value=-1, out=change[:, w:])
            torch.sum(change.view(-1, k, 2 * w), dim=1, out=d_here[atoms])
            d_there.index_add_(0, ends, change)
            d_weight.addmm_(expanded.T, change)
        return d_here, d_there, d_weight.T, None
