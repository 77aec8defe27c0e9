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
from models.layers import Gaussians, mean_over_sites
from models.training import Network

#: Messages' cores saturate here, far outside what a batch norm lets through; their softplus stays finite.
LARGEST = 80.0
#: Atoms whose messages are computed at once where no gradient is needed: about 1 MB.
BLOCK = 160


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

    def forward(self, nodes: torch.Tensor, bonds: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Nodes (t, w) and bond expansions (t or n, k, b) to new nodes (t, w)."""
        if not (self.training or torch.is_grad_enabled()):
            return functional.softplus(nodes + self.bn2(self._summed(nodes, bonds, batch)))
        t, k = batch.neighbours.shape
        w = nodes.shape[1]
        centre, other, bond = self.fc_full.weight.split([w, w, bonds.shape[-1]], dim=1)
        geometry = functional.linear(bonds, bond, self.fc_full.bias)
        messages = (nodes @ other.T).index_select(0, batch.neighbours.reshape(-1)).view(-1, *geometry.shape)
        messages = messages + (nodes @ centre.T).view(-1, geometry.shape[0], 1, 2 * w) + geometry
        gate, core = self.bn1(messages.view(t * k, 2 * w)).view(t, k, 2 * w).chunk(2, dim=-1)
        messages = torch.sigmoid(gate) * functional.softplus(core)
        if not batch.complete:
            listed = torch.isfinite(batch.lengths).repeat(t // len(batch.lengths), 1)
            messages = messages * listed[..., None]
        return functional.softplus(nodes + self.bn2(messages.sum(dim=1)))

    def _summed(self, nodes: torch.Tensor, bonds: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Sums of messages (t, w) without gradients: norm folded into the weights, in blocks that stay in cache."""
        w, norm = nodes.shape[1], self.bn1
        assert norm.running_var is not None
        assert norm.running_mean is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        shift = (self.fc_full.bias - norm.running_mean) * scale + norm.bias
        # softplus(x) = -log(sigmoid(-x)): with the core's sign turned, one sigmoid serves gate and core.
        sign = torch.ones_like(scale)
        sign[w:] = -1.0
        scale, shift = scale * sign, shift * sign
        centre, other, bond = (self.fc_full.weight * scale[:, None]).split([w, w, bonds.shape[-1]], dim=1)
        here, there, expanded = nodes @ centre.T + shift, nodes @ other.T, bonds
        summed = torch.empty_like(nodes)
        period = len(bonds)
        for start in range(0, len(nodes), BLOCK):
            end = min(start + BLOCK, len(nodes))
            rows = (
                torch.arange(start, end, device=nodes.device) % period if period < len(nodes) else slice(start, end)
            )
            neighbours = batch.neighbours[start:end]
            mixed = there.index_select(0, neighbours.reshape(-1)).addmm_(expanded[rows].flatten(0, 1), bond.T)
            mixed = mixed.view(*neighbours.shape, 2 * w).add_(here[start:end, None])
            mixed = mixed.clamp_(min=-LARGEST).sigmoid_()
            messages = mixed[..., w:].log_().neg_().mul_(mixed[..., :w])
            if not batch.complete:
                messages.mul_(torch.isfinite(batch.lengths[rows])[..., None])
            summed[start:end] = messages.sum(dim=1)
        return summed


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
        bonds = self.basis(batch.lengths)
        for convolution in self.convs:
            nodes = convolution(nodes, bonds, batch)
        return nodes

    def embed(self, batch: GraphBatch) -> torch.Tensor:
        """Mean over occupied sites, (b, w)."""
        return mean_over_sites(self.nodes(batch), batch)

    def forward(self, batch: GraphBatch) -> torch.Tensor:
        """Normalised mean and a zero log-variance, (b, 2)."""
        hidden = functional.softplus(self.conv_to_fc(functional.softplus(self.embed(batch))))
        out = self.fc_out(hidden)
        return torch.cat([out, torch.zeros_like(out)], dim=1)
