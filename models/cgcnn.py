"""CGCNN as published (Xie & Grossman, Phys. Rev. Lett. 120, 145301, 2018): baseline, and base of the released net.

It reads graphs cut at exactly twelve neighbours as well as ours with whole shells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from models.batch import GraphBatch
from models.features import FEATURES, feature_table
from models.gated_messages import Bonds, GatedMessages, Moments
from models.layers import Gaussians, mean_over_sites
from models.prediction import Network


@dataclass(frozen=True)
class CGCNNConfig:
    """Widths and number of convolutions; defaults are those of the published code's checkpoints."""

    width: int = 64
    convolutions: int = 3
    head_width: int = 128


class BatchNormConvolution(nn.Module):
    """v_i <- softplus(v_i + norm(sum_j sigmoid(gate) * softplus(core))), batch norms on messages and sums."""

    def __init__(self, width: int, bond_width: int):
        super().__init__()
        self.fc_full = nn.Linear(2 * width + bond_width, 2 * width)
        self.bn1 = nn.BatchNorm1d(2 * width)
        self.bn2 = nn.BatchNorm1d(width)

    def forward(self, nodes: torch.Tensor, bonds: Bonds) -> torch.Tensor:
        """Nodes (t, w) to new nodes (t, w)."""
        w = nodes.shape[1]
        weight = self.fc_full.weight[:, : 2 * w + bonds.expanded.shape[-1]]
        seen, scale, offset = self._norm(nodes, weight, bonds)
        centre, other, bond = (weight * scale[:, None]).split([w, w, bonds.expanded.shape[-1]], dim=1)
        here = functional.linear(seen, centre, offset)
        summed = GatedMessages.apply(here, seen @ other.T, bond, bonds)
        # A single atom has no variance: its sum is seen as in predictions.
        norm = self.bn2 if len(nodes) > 1 else self._bn2_at_rest
        return functional.softplus(nodes + norm(summed))

    def _bn2_at_rest(self, summed: torch.Tensor) -> torch.Tensor:
        norm = self.bn2
        return functional.batch_norm(
            summed, norm.running_mean, norm.running_var, norm.weight, norm.bias, training=False, eps=norm.eps
        )

    def _norm(
        self, nodes: torch.Tensor, weight: torch.Tensor, bonds: Bonds
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Nodes that the first norm may take for these, and the norm as a factor and a summand of messages, (2w,).

        The signs of the cores are turned, as `GatedMessages` wants them.
        """
        norm, w = self.bn1, nodes.shape[1]
        assert norm.running_var is not None
        assert norm.running_mean is not None
        mean, variance = norm.running_mean - self.fc_full.bias, norm.running_var
        if self.training:
            # A norm does not see what all messages have in common: large means would only cancel.
            level = nodes.mean(dim=0)
            nodes = nodes - level
            inputs, covariance = Moments.apply(nodes, bonds)
            mean = weight @ inputs
            variance = ((weight @ covariance) * weight).sum(dim=1).clamp(min=0.0)
            with torch.no_grad():
                shared = (weight[:, :w] + weight[:, w : 2 * w]) @ level + self.fc_full.bias
                self._remember(mean + shared, variance, bonds.neighbours.numel())
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        offset = norm.bias - mean * scale
        sign = torch.ones_like(scale)
        sign[w:] = -1.0
        return nodes, scale * sign, offset * sign

    def _remember(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        """Take this batch's statistics into the running ones, as torch's batch norm does."""
        norm = self.bn1
        assert norm.running_var is not None
        assert norm.running_mean is not None
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (count / max(count - 1, 1)), norm.momentum)
        norm.num_batches_tracked += 1


class CGCNN(Network):
    """Embedding, gated convolutions, mean over atoms, one hidden layer."""

    features: torch.Tensor

    def __init__(self, config: CGCNNConfig | None = None):
        super().__init__()
        self.config = config or CGCNNConfig()
        width = self.config.width
        table = torch.tensor(feature_table(), dtype=torch.float32)
        self.register_buffer("features", table, persistent=False)
        self.basis = Gaussians()
        self.embedding = nn.Linear(FEATURES, width)
        self.convs = nn.ModuleList(
            [BatchNormConvolution(width, len(self.basis)) for _ in range(self.config.convolutions)]
        )
        self.conv_to_fc = nn.Linear(width, self.config.head_width)
        self.fc_out = nn.Linear(self.config.head_width, 1)

    @property
    def head_names(self) -> tuple[str, ...]:
        return ("conv_to_fc", "fc_out")

    def nodes(self, batch: GraphBatch) -> torch.Tensor:
        """Final node vectors (t, w)."""
        nodes = self.embedding(self.features).index_select(0, batch.numbers)
        listed = None if batch.complete else torch.isfinite(batch.lengths)
        bonds = Bonds(batch.neighbours, self.basis(batch.lengths, reach=True), listed)
        for convolution in self.convs:
            nodes = convolution(nodes, bonds)
        return nodes

    def embed(self, batch: GraphBatch) -> torch.Tensor:
        """Mean over occupied sites, (b, w)."""
        return mean_over_sites(self.nodes(batch), batch)

    def forward(self, batch: GraphBatch) -> torch.Tensor:
        """Normalised mean and a zero log-variance, (b, 2)."""
        hidden = functional.softplus(self.conv_to_fc(functional.softplus(self.embed(batch))))
        out = self.fc_out(hidden)
        return torch.cat([out, torch.zeros_like(out)], dim=1)
