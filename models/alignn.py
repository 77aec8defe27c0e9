"""ALIGNN as a baseline: gated convolutions on bonds and on angles in turn.

After Choudhary & DeCost, npj Comput. Mater. 7, 185 (2021). The published package needs DGL for this network; here it
reads our graphs. A bond i -> j of the graph is a node of the line graph, where it listens to the bonds j -> k of its
other end through the angle between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import degree

from models.batch import GraphBatch
from models.features import FEATURES, feature_table
from models.layers import mean_over_sites
from models.prediction import Network


@dataclass(frozen=True)
class ALIGNNConfig:
    """Sizes. The published network has a width of 256 and four layers of each kind (4 million parameters).

    Attributes:
        width: of atoms, bonds and angles.
        angle_layers: layers that update angles, bonds and atoms.
        bond_layers: layers after these that update bonds and atoms.
        distances, angles: centres of the expansions of distance (to 8 Å) and cosine.
    """

    width: int = 64
    angle_layers: int = 2
    bond_layers: int = 2
    distances: int = 80
    angles: int = 40


def line_graph(edge_index: torch.Tensor, atoms: int) -> torch.Tensor:
    """Which bonds hear which, (2, a) from the heard one to the one that listens: the bonds (2, e), from neighbour to
    atom and sorted by atom, as nodes."""
    other, centre = edge_index
    count = degree(centre, atoms, torch.long)
    first = count.cumsum(0) - count
    heard = count[other]
    listening = torch.arange(len(centre), device=centre.device).repeat_interleave(heard)
    rank = torch.arange(len(listening), device=centre.device) - (heard.cumsum(0) - heard)[listening]
    return torch.stack([first[other][listening] + rank, listening])


class Expansion(nn.Sequential):
    """Gaussians on a grid, then two dense layers."""

    centres: torch.Tensor

    def __init__(self, low: float, high: float, count: int, width: int):
        super().__init__(*dense(count, width), *dense(width, width))
        self.register_buffer("centres", torch.linspace(low, high, count), persistent=False)
        self.step = (high - low) / (count - 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(m,) to (m, width)."""
        return super().forward(torch.exp(-(((values[:, None] - self.centres) / self.step) ** 2).clamp(max=40.0)))


def dense(inputs: int, width: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Linear(inputs, width), nn.LayerNorm(width), nn.SiLU()


class EdgeGatedConvolution(MessagePassing):
    """Eq. 1 and 2 of the paper: edges take up both their ends, and nodes what their edges let through.

    A layer norm stands for the batch norms, so that a prediction does not depend on its batch.
    """

    def __init__(self, width: int):
        super().__init__(aggr="sum")
        self.here, self.there, self.edge, self.own, self.heard = (nn.Linear(width, width) for _ in range(5))
        self.norm_edges, self.norm_nodes = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(
        self, nodes: torch.Tensor, edges: torch.Tensor, edge_index: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Nodes (m, w) and edges (e, w), from node to node (2, e), to new ones."""
        # edge_updater_types: (here: Tensor, there: Tensor, edges: Tensor)
        mixed = self.edge_updater(edge_index, here=self.here(nodes), there=self.there(nodes), edges=edges)
        # propagate_type: (heard: Tensor, gate: Tensor)
        sums = self.propagate(edge_index, heard=self.heard(nodes), gate=torch.sigmoid(mixed))
        let, gates = sums.chunk(2, dim=1)
        new = nodes + functional.silu(self.norm_nodes(self.own(nodes) + let / (gates + 1e-6)))
        return new, edges + functional.silu(self.norm_edges(mixed))

    def edge_update(self, here_i: torch.Tensor, there_j: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        """Edges (e, w) before their norm."""
        return here_i + there_j + self.edge(edges)

    def message(self, heard_j: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        """What an edge lets through, and how far it is open, (e, 2w)."""
        return torch.cat([gate * heard_j, gate], dim=1)


class ALIGNN(Network):
    """Angles, bonds and atoms updated in turn, then bonds and atoms; mean over atoms and a linear map."""

    features: torch.Tensor

    def __init__(self, config: ALIGNNConfig | None = None):
        super().__init__()
        self.config = given = config or ALIGNNConfig()
        table = torch.tensor(feature_table(), dtype=torch.float32)
        self.register_buffer("features", table, persistent=False)
        self.embedding = nn.Sequential(*dense(FEATURES, given.width))
        self.distance = Expansion(0.0, 8.0, given.distances, given.width)
        self.angle = Expansion(-1.0, 1.0, given.angles, given.width)
        both = given.angle_layers + given.bond_layers
        self.on_bonds = nn.ModuleList([EdgeGatedConvolution(given.width) for _ in range(both)])
        self.on_angles = nn.ModuleList([EdgeGatedConvolution(given.width) for _ in range(given.angle_layers)])
        self.head = nn.Linear(given.width, 1)

    def nodes(self, batch: GraphBatch) -> torch.Tensor:
        """Final atom vectors (t, w)."""
        edges, vectors = batch.edge_index, batch.edge_vectors
        turns = line_graph(edges, len(batch.numbers))
        lengths = vectors.norm(dim=1)
        units = vectors / lengths[:, None]
        cosine = -(units.index_select(0, turns[0]) * units.index_select(0, turns[1])).sum(dim=1)
        atoms = self.embedding(self.features).index_select(0, batch.numbers)
        bonds, angles = self.distance(lengths), self.angle(cosine)
        for number, layer in enumerate(self.on_bonds):
            atoms, bonds = layer(atoms, bonds, edges)
            if number < len(self.on_angles):
                bonds, angles = self.on_angles[number](bonds, angles, turns)
        return atoms

    def embed(self, batch: GraphBatch) -> torch.Tensor:
        """Mean over occupied sites, (b, w)."""
        return mean_over_sites(self.nodes(batch), batch)

    def forward(self, batch: GraphBatch) -> torch.Tensor:
        """Normalised mean and a zero log-variance, (b, 2)."""
        out = self.head(self.embed(batch))
        return torch.cat([out, torch.zeros_like(out)], dim=1)
