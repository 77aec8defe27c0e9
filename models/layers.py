"""The parts of CGformer: distance bases, graph convolution, attention biases, encoder layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional
from torch_geometric import EdgeIndex
from torch_geometric.nn import MessagePassing, global_mean_pool
from torch_geometric.utils import scatter

from models.batch import GraphBatch
from models.crystal import CUTOFF_A, MAX_HOPS
from models.dropout import Dropout
from models.gated_messages import Bonds, GatedMessages

#: Step (Å) of the table from which radial functions are interpolated.
TABLE_STEP_A = 0.1
Spatial = Literal["none", "hop", "rbf", "images", "values"]
Norm = Literal["batch", "layer"]
#: Sum of squares of a distance's Gaussians whose width is the step between them.
EXPANSION_NORM = math.sqrt(math.pi / 2)


def mean_over_sites(nodes: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
    """Mean of node vectors (t, w) over the occupied sites of every crystal, (b, w); zeros if there are none."""
    sites = batch.occupied
    return global_mean_pool(nodes.index_select(0, sites), batch.crystal.index_select(0, sites), len(batch.sizes))


def sites_to_read(batch: GraphBatch) -> torch.Tensor:
    """(t,) bool: the marked sites; where a crystal has none, its occupied ones."""
    marks = scatter(batch.marked.long(), batch.crystal, dim_size=len(batch.sizes), reduce="sum")
    return torch.where(marks.index_select(0, batch.crystal) > 0, batch.marked, batch.numbers > 0)


class Gaussians(nn.Module):
    """exp(-(d - mu)^2 / width^2) on a grid of centres, as CGCNN expands distances (Å); no gradient."""

    centres: torch.Tensor

    def __init__(self, stop_A: float = CUTOFF_A, step_A: float = 0.2, smooth: bool = False):
        super().__init__()
        count = round(stop_A / step_A) + 1
        self.register_buffer("centres", torch.linspace(0, stop_A, count), persistent=False)
        self.step, self.stop, self.smooth = step_A, stop_A, smooth

    def __len__(self) -> int:
        return len(self.centres)

    def forward(self, distances: torch.Tensor, reach: bool = False) -> torch.Tensor:
        """(...) Å to (..., centres); infinite ones give exp(-40). `smooth` fades to zero at the cutoff.

        With `reach` the last centres are left out if no distance comes near enough for exp(-25), 1e-11.
        """
        # Far centres are cut off at exp(-40): what underflows to denormal numbers is slow in all that follows.
        centres = self.centres
        if reach:
            longest = distances.masked_fill(distances.isinf(), 0.0).max() + 5 * self.step
            centres = centres[: max(1, int((centres <= longest).sum()))]
        expanded = (distances / self.step)[..., None] - centres / self.step
        expanded = expanded.square_().neg_().clamp_(min=-40.0).exp_()
        if self.smooth:
            fade = 0.5 * (torch.cos(math.pi * distances.clamp(max=self.stop) / self.stop) + 1)
            expanded = expanded * fade[..., None]
        return expanded


class BatchNorm(nn.BatchNorm1d):
    """torch's, but a single atom, which has no variance, is seen as in predictions."""

    def forward(self, summed: torch.Tensor) -> torch.Tensor:
        if len(summed) > 1:
            return super().forward(summed)
        return functional.batch_norm(
            summed, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )


class Convolution(MessagePassing):
    """CGCNN's gated convolution (Xie & Grossman 2018, eq. 5), v_i <- v_i + sum_j gate(z_ij) * core(z_ij).

    The linear map on z_ij = [v_i, v_j, bond] is split: the node parts are computed once per atom and not
    once per bond, the bond part once per bond and, where crystals share a graph, once for all of them. Of
    CGCNN's two batch norms the one on the sums is kept, or replaced by a layer norm.

    `message` is the formula; what runs is `message_and_aggregate`, their sums by `GatedMessages`.
    """

    SUPPORTS_FUSED_EDGE_INDEX = True

    def __init__(self, width: int, bond_width: int, norm: Norm = "batch", neighbours: int = 12):
        super().__init__(aggr="sum")
        self.centre = nn.Linear(width, 2 * width)
        self.other = nn.Linear(width, 2 * width, bias=False)
        self.bond = nn.Linear(bond_width, 2 * width, bias=False)
        self.norm = BatchNorm(width) if norm == "batch" else nn.LayerNorm(width)
        self.scale = 1.0 / math.sqrt(neighbours)

    def start_at_bend(self) -> None:
        """Weights that make messages of deviation one from nodes of deviation one: activations are not linear there.

        By torch's own choice they are a tenth of that.
        """
        for linear, length in ((self.centre, self.centre.in_features), (self.other, self.other.in_features)):
            nn.init.normal_(linear.weight, std=1.0 / math.sqrt(3 * length))
        nn.init.normal_(self.bond.weight, std=1.0 / math.sqrt(3 * EXPANSION_NORM))

    def of_elements(self, table: torch.Tensor, expanded: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """The same as `forward` where nodes are still rows (104, w) of an element table and the graph is shared.

        Every different bond's message is computed once.
        """
        kinds = batch.kinds
        assert kinds is not None
        geometry = self._of_bonds(expanded).flatten(0, 1)
        mixed = geometry.index_select(0, kinds.place)
        mixed = mixed + self.centre(table).index_select(0, kinds.centre)
        mixed = mixed + self.other(table).index_select(0, kinds.other)
        messages = self._gated(mixed)
        if not batch.complete:
            messages = messages * torch.isfinite(batch.lengths).view(-1, 1).index_select(0, kinds.place)
        summed = functional.embedding_bag(kinds.index, messages, mode="sum")
        return table.index_select(0, batch.numbers) + self.norm(summed * self.scale)

    def forward(self, nodes: torch.Tensor, edge_index: torch.Tensor, bonds: Bonds) -> torch.Tensor:
        """Nodes (t, w) and edges (2, e), by atom, to new nodes (t, w)."""
        # torch-geometric takes the sum in one piece where it knows that edges are sorted.
        edges = (
            EdgeIndex(edge_index, sparse_size=(len(nodes), len(nodes)), sort_order="col") if self.fuse else edge_index
        )
        summed = self.propagate(edges, here=self.centre(nodes), there=self.other(nodes), bonds=bonds)
        return nodes + self.norm(summed * self.scale)

    def propagate(self, edge_index: Any, size: Any = None, **given: Any) -> torch.Tensor:
        # Where a class has none of its own torch-geometric writes one into the temporary folder, in every process.
        return super().propagate(edge_index, size, **given)

    def message(self, here_i: torch.Tensor, there_j: torch.Tensor, bonds: Bonds) -> torch.Tensor:
        """Messages (edges, w)."""
        return self._gated(here_i + there_j + self._of_bonds(bonds.along_edges))

    def message_and_aggregate(
        self, edge_index: EdgeIndex, here: torch.Tensor, there: torch.Tensor, bonds: Bonds
    ) -> torch.Tensor:
        """Their sums (t, w)."""
        weight = self.bond.weight[:, : bonds.expanded.shape[-1]]
        return GatedMessages.apply(here, there, weight, bonds, True)

    def _of_bonds(self, expanded: torch.Tensor) -> torch.Tensor:
        """A bond's part of a message, (..., 2w). Far centres of the expansion may have been left out."""
        return functional.linear(expanded, self.bond.weight[:, : expanded.shape[-1]])

    @staticmethod
    def _gated(mixed: torch.Tensor) -> torch.Tensor:
        gate, core = mixed.chunk(2, dim=-1)
        return torch.sigmoid(gate) * functional.silu(core)


class AttentionBias(nn.Module):
    """Spatial and edge encoding: what is added to the attention logits of every pair of atoms.

    The forms of the spatial encoding (m heads):

    * ``rbf``: a radial basis of the minimum-image distance, fading to zero at 8 Å.
    * ``images``: log(1/n + sum over the periodic images of g(distance)), with g >= 0 a radial basis that
      fades at 8 Å and n the number of atoms. The softmax then weighs every image by its own distance plus
      the whole crystal uniformly, and a supercell gives exactly the prediction of its cell (the image sums
      of Crystalformer, Taniai et al., ICLR 2024, with a global floor).
    * ``hop``: a learned value for every number of bonds on the shortest path (Graphormer, Ying et al.,
      2021, eq. 6).
    * ``values``: as ``rbf``, and the distance is also part of what an atom hears from another (`RadialValues`).
    * ``none``: attention that sees no distances.

    The edge encoding adds, for every bond of the graph between the two atoms, a linear map of its distance
    expansion (Graphormer eq. 7 with paths of one bond).
    """

    table: torch.Tensor

    def __init__(self, heads: int, spatial: Spatial, edges: bool, bond_width: int):
        super().__init__()
        self.heads, self.spatial = heads, spatial
        basis = Gaussians(step_A=0.5, smooth=True)
        # One exponential per pair and centre would dominate large cells; a table of steps is read by interpolation.
        steps = round(CUTOFF_A / TABLE_STEP_A) + 2
        self.register_buffer("table", basis(torch.arange(steps) * TABLE_STEP_A), persistent=False)
        if spatial in ("rbf", "values", "images"):
            # Images start near the uniform floor: softplus(-4) = 0.02.
            self.radial = nn.Parameter(torch.full((len(basis), heads), -4.0 if spatial == "images" else 0.0))
        if spatial == "hop":
            self.hop = nn.Parameter(torch.zeros(MAX_HOPS + 1, heads))
        self.edge = nn.Linear(bond_width, heads, bias=False) if edges else None
        if self.edge is not None:
            nn.init.zeros_(self.edge.weight)

    def forward(self, batch: GraphBatch, bonds: torch.Tensor) -> torch.Tensor:
        """(b or 1, heads, n or f, n); padded keys are -inf."""
        n, asked = batch.width, batch.queries
        f = n if asked is None else asked.width
        count = 1 if batch.shared else len(batch.sizes)
        bias = torch.zeros(count * f * n, self.heads, device=bonds.device, dtype=bonds.dtype)
        if self.spatial == "hop":
            assert batch.hops is not None
            bias = self.hop.index_select(0, batch.hops.reshape(-1).long())
        elif self.spatial in ("rbf", "values"):
            near = batch.nearest
            bias = bias.index_copy(0, batch.pair_index[near], self._radial(batch.pair_lengths[near], self.radial))
        elif self.spatial == "images":
            value = self._radial(batch.pair_lengths, functional.softplus(self.radial))
            uniform = (1.0 / batch.sizes[:count]).repeat_interleave(f * n)
            bias = torch.log(bias.index_add(0, batch.pair_index, value) + uniform[:, None])
        if self.edge is not None:
            t = len(batch.lengths)
            place = batch.place[:t] if asked is None else asked.place
            neighbours = batch.neighbours[:t]
            if asked is not None:
                neighbours, bonds = neighbours[asked.atoms], bonds[asked.atoms]
            index = place[:, None] * n + batch.slot[neighbours]
            value = functional.linear(bonds, self.edge.weight[:, : bonds.shape[-1]])
            bias = bias.index_add(0, index.reshape(-1), value.flatten(0, 1))
        bias = bias.view(count, f, n, self.heads).permute(0, 3, 1, 2)
        if count > 1 and int(batch.sizes.min()) < n:
            padding = torch.arange(n, device=bias.device) >= batch.sizes[:, None]
            bias = bias.masked_fill(padding[:, None, None, :], -torch.inf)
        return bias

    def pairs(self, batch: GraphBatch) -> RadialPairs | None:
        """What `RadialValues` ask of the minimum images, if distances are on the values."""
        if self.spatial != "values":
            return None
        near = batch.nearest
        whole = torch.eye(self.table.shape[1], device=self.table.device, dtype=self.table.dtype)
        return RadialPairs(batch.pair_index[near], self._radial(batch.pair_lengths[near], whole), batch.shared)

    def _radial(self, distances: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Radial functions (p, heads) of distances (p,) up to the cutoff, from weights (basis, heads)."""
        position = distances / TABLE_STEP_A
        below = position.long()
        share = position - below
        return functional.embedding_bag(
            torch.stack([below, below + 1], dim=1),
            self.table @ weights,
            per_sample_weights=torch.stack([1 - share, share], dim=1).to(weights.dtype),
            mode="sum",
        )


@dataclass(frozen=True)
class RadialPairs:
    """Flat index (p,) into (b or 1, f, n) of the pairs within the cutoff, and their radial basis (p, basis)."""

    index: torch.Tensor
    basis: torch.Tensor
    shared: bool


class RadialValues(nn.Module):
    """sum_j a_ij W phi(d_ij): distances on the values of attention (Crystalformer, Taniai et al., ICLR 2024)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        basis = len(Gaussians(step_A=0.5))
        self.weight = nn.Parameter(torch.zeros(heads, basis, width // heads))

    def forward(self, attention: torch.Tensor, pairs: RadialPairs) -> torch.Tensor:
        """Attention (b, heads, f, n) to what is added to the attended values, (b, heads, f, width / heads)."""
        b, heads, f, n = attention.shape
        count = b if pairs.shared else 1
        by_pair = attention.permute(0, 2, 3, 1).reshape(count, -1, heads).index_select(1, pairs.index)
        heard = (by_pair[..., None] * pairs.basis[:, None, :]).flatten(2)
        summed = heard.new_zeros(count, b * f // count, heard.shape[2]).index_add(1, pairs.index // n, heard)
        return torch.einsum("bfhk,hkd->bhfd", summed.view(b, f, heads, -1), self.weight)


class EncoderLayer(nn.Module):
    """Pre-norm transformer layer; attention runs over all atoms of a crystal with an additive bias."""

    def __init__(self, width: int, heads: int, dropout: float, radial: bool = False):
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.norm_forward = nn.LayerNorm(width)
        self.forward_layers = nn.Sequential(
            nn.Linear(width, 2 * width), nn.SiLU(), Dropout(dropout), nn.Linear(2 * width, width)
        )
        self.dropout = Dropout(dropout)
        self.radial = RadialValues(width, heads) if radial else None

    def forward(
        self,
        nodes: torch.Tensor,
        bias: torch.Tensor,
        asked: torch.Tensor | None = None,
        pairs: RadialPairs | None = None,
    ) -> torch.Tensor:
        """Padded nodes (b, n, w) and bias (b or 1, heads, f, n) to new nodes (b, f, w) of the asked ones (b, f, w).

        All are asked by default.
        """
        b, n, w = nodes.shape
        asking = nodes if asked is None else asked
        f, shape = asking.shape[1], (self.heads, w // self.heads)
        seen = self.norm_attention(nodes)
        heard = seen if asked is None else self.norm_attention(asked)
        weight, offset = self.project.weight, self.project.bias
        query = functional.linear(heard, weight[:w], offset[:w]).view(b, f, *shape).transpose(1, 2)
        key, value = functional.linear(seen, weight[w:], offset[w:]).view(b, n, 2, *shape).permute(2, 0, 3, 1, 4)
        if self.radial is not None and pairs is not None:
            attention = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(shape[1]) + bias, dim=-1)
            mixed = attention @ value + self.radial(attention, pairs)
        else:
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        asking = asking + self.dropout(self.output(mixed.transpose(1, 2).reshape(b, f, w)))
        return asking + self.dropout(self.forward_layers(self.norm_forward(asking)))
