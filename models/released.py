"""The network that the CGformer paper's code really is, and its published checkpoints.

CGCNN with three convolutions, a centrality encoding and one transformer layer whose attention reaches only an atom's
neighbours in the graph; there is no spatial and no edge encoding. Attention is computed crystal by crystal (cost
linear in the batch) instead of over one dense matrix of the whole batch (quadratic): the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch_geometric.utils import degree, to_dense_batch

from models.batch import GraphBatch
from models.cgcnn import CGCNN, CGCNNConfig
from models.prediction import Normaliser, predict
from models.stores import GraphStore

#: What the released code puts in place of the scores of atoms that are no neighbours.
FORBIDDEN = -1e6
#: Degrees are clamped here; the tables have one more row.
MAX_DEGREE = 9


@dataclass(frozen=True)
class ReleasedConfig(CGCNNConfig):
    """Architecture of the released network."""

    layers: int = 1
    heads: int = 2


class NeighbourHead(nn.Module):
    """Parameters of one head of the released code: full width."""

    def __init__(self, width: int):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))


class NeighbourAttention(nn.Module):
    """Attention of every atom to its neighbours in the graph, one crystal at a time in one padded batch."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = nn.ModuleList([NeighbourHead(width) for _ in range(heads)])
        self.linear = nn.Linear(heads * width, width)

    def forward(self, nodes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Padded nodes (b, n, w) and an additive mask (b, 1, n, n) to (b, n, w)."""
        b, n, _ = nodes.shape
        query, key, value = (
            self._projected(nodes, name).view(b, n, len(self.heads), -1).transpose(1, 2) for name in "qkv"
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.linear(mixed.transpose(1, 2).reshape(b, n, -1))

    def _projected(self, nodes: torch.Tensor, name: str) -> torch.Tensor:
        """Queries, keys or values of all heads side by side, (b, n, heads * w)."""
        layers = [getattr(head, name) for head in self.heads]
        weight, bias = (torch.cat([getattr(layer, part) for layer in layers]) for part in ("weight", "bias"))
        return functional.linear(nodes, weight, bias)


class NeighbourLayer(nn.Module):
    """Pre-norm encoder layer."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention = NeighbourAttention(width, heads)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ff = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, nodes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        nodes = nodes + self.attention(self.ln_1(nodes), mask)
        return nodes + self.ff(self.ln_2(nodes))


class Centrality(nn.Module):
    """Learned vectors of in- and out-degree."""

    def __init__(self, width: int):
        super().__init__()
        self.z_in = nn.Parameter(torch.randn(MAX_DEGREE + 1, width) * 0.02)
        self.z_out = nn.Parameter(torch.randn(MAX_DEGREE + 1, width) * 0.02)

    def forward(self, outward: torch.Tensor, inward: torch.Tensor) -> torch.Tensor:
        found = functional.embedding(inward.clamp(max=MAX_DEGREE), self.z_in)
        return found + functional.embedding(outward.clamp(max=MAX_DEGREE), self.z_out)


class Encoder(nn.Module):
    """Holds the layers under the checkpoint's name."""

    def __init__(self, width: int, heads: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList([NeighbourLayer(width, heads) for _ in range(layers)])


class ReleasedCGformer(CGCNN):
    """The released architecture; parameters carry the checkpoint's names."""

    def __init__(self, config: ReleasedConfig | None = None):
        config = config or ReleasedConfig()
        super().__init__(config)
        self.centrality_encoding = Centrality(config.width)
        self.graphormer_encoder = Encoder(config.width, config.heads, config.layers)

    def nodes(self, batch: GraphBatch) -> torch.Tensor:
        """Final node vectors (t, w)."""
        nodes = super().nodes(batch)
        (other, centre), b, n = batch.edge_index, len(batch.sizes), batch.width
        outward, inward = (degree(ends, len(nodes), torch.long) for ends in (centre, other))
        nodes = nodes + self.centrality_encoding(outward, inward)
        pairs = batch.place[centre] * n + batch.slot[other]
        mask = nodes.new_full((b * n * n,), FORBIDDEN).index_fill_(0, pairs, 0.0).view(b, 1, n, n)
        padded, occupied = to_dense_batch(nodes, batch.crystal, 0.0, n, b)
        if not occupied.all():
            mask = mask.masked_fill(~occupied[:, None, None, :], -torch.inf)
        for layer in self.graphormer_encoder.layers:
            padded = layer(padded, mask)
        return padded.flatten(0, 1).index_select(0, batch.place)


class ReleasedModel:
    """A published checkpoint, ready to predict: eV, one value per structure."""

    def __init__(self, network: ReleasedCGformer, normaliser: Normaliser, facts: dict[str, Any]):
        self.network, self.normaliser, self.facts = network, normaliser, facts

    def predict(self, structures: list[Atoms], names: list[str] | None = None) -> NDArray[np.float64]:
        """Barrier (n,) in eV, batched, on graphs cut at twelve neighbours as in the paper's code."""
        store = GraphStore(structures, names, whole_shells=False)
        return predict(self.network, store, np.arange(len(store)), self.normaliser)[0]


def load_released(path: Path | str) -> ReleasedModel:
    """Read a published `.pth.tar` (weights only: nothing in the file is executed).

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no checkpoint of the released code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        state, normaliser, args = content["state_dict"], content["normalizer"], content["args"]
        config = ReleasedConfig(
            width=int(args["atom_fea_len"]),
            convolutions=int(args["n_conv"]),
            head_width=int(args["h_fea_len"]),
            layers=int(args["graphormer_layers"]),
            heads=int(args["num_heads"]),
        )
        network = ReleasedCGformer(config)
        network.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: not a checkpoint of the released CGformer ({first})") from error
    facts = {"epoch": int(content.get("epoch", 0)), "best_mae_eV": float(content.get("best_mae_error", math.nan))}
    return ReleasedModel(network.eval(), Normaliser(float(normaliser["mean"]), float(normaliser["std"])), facts)
