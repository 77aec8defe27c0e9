"""SchNet as a baseline: torch-geometric's interaction blocks on our periodic graphs (Schütt et al., NeurIPS 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch_geometric.nn.models.schnet import GaussianSmearing, InteractionBlock

from models.batch import GraphBatch
from models.crystal import CUTOFF_A
from models.features import MAX_NUMBER
from models.layers import mean_over_sites
from models.prediction import Network


@dataclass(frozen=True)
class SchNetConfig:
    """Widths; the cutoff is the graph's (8 Å)."""

    width: int = 64
    filters: int = 64
    interactions: int = 3
    gaussians: int = 50


class SchNet(Network):
    """Continuous-filter convolutions over the graph's neighbours, mean over atoms, one hidden layer."""

    def __init__(self, config: SchNetConfig | None = None):
        super().__init__()
        self.config = config or SchNetConfig()
        width = self.config.width
        self.embedding = nn.Embedding(MAX_NUMBER + 1, width)
        self.expansion = GaussianSmearing(0.0, CUTOFF_A, self.config.gaussians)
        self.interactions = nn.ModuleList(
            [
                InteractionBlock(width, self.config.gaussians, self.config.filters, CUTOFF_A)
                for _ in range(self.config.interactions)
            ]
        )
        self.head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))

    def embed(self, batch: GraphBatch) -> torch.Tensor:
        """Mean over occupied sites, (b, w)."""
        distances, edges = batch.edge_lengths, batch.edge_index
        expanded = self.expansion(distances)
        nodes = self.embedding(batch.numbers)
        for interaction in self.interactions:
            nodes = nodes + interaction(nodes, edges, distances, expanded)
        return mean_over_sites(nodes, batch)

    def forward(self, batch: GraphBatch) -> torch.Tensor:
        """Normalised mean and a zero log-variance, (b, 2)."""
        out = self.head(self.embed(batch))
        return torch.cat([out, torch.zeros_like(out)], dim=1)
