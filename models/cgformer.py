"""CGformer: crystal graph convolution, then global attention over all atoms of the crystal.

After Tao et al., Matter 8, 102380 (2025): CGCNN's graph and node features, centrality encoding by in- and
out-degree, multi-head attention with spatial and edge encoding, mean pooling, a dense head. Unlike the
code released with that paper, attention here reaches every atom and both encodings exist (see
`models.released` for the other).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

import torch
from torch import nn
from torch_geometric.nn import global_max_pool, global_mean_pool
from torch_geometric.utils import degree, to_dense_batch

from models.angles import Angles
from models.batch import GraphBatch
from models.features import FEATURES, feature_table
from models.gated_messages import Bonds
from models.layers import (
    AttentionBias,
    BatchNorm,
    Convolution,
    EncoderLayer,
    Gaussians,
    Norm,
    Spatial,
    mean_over_sites,
    sites_to_read,
)
from models.prediction import Network
from models.stores import HostGraphs, Store

MAX_DEGREE = 24


@dataclass(frozen=True)
class CGformerConfig:
    """Architecture. `for_store` gives what won by cross-validation (docs/models.md) for a kind of rows.

    The fields' own defaults stay as they are, so that networks saved before a field came are restored as they were.

    Attributes:
        width: node width.
        convolutions: graph convolutions before the attention layers.
        norm: of the sums of messages and of the nodes that are pooled: ``batch`` learns how the elements of one host
            are arranged and ``layer`` does not; on crystals of many kinds ``layer`` is better (docs/models.md). See
            `for_store`.
        angles: channels of the density of an atom's neighbours, from which it learns its bond angles after the
            convolutions, see `models.angles.Angles`; 0 sees distances alone.
        layers: attention layers; 0 leaves a CGCNN.
        heads: attention heads; must divide `width`.
        spatial: spatial encoding, see `models.layers.AttentionBias`.
        edges: whether bonds bias attention.
        centrality: whether in- and out-degree are encoded.
        pooling: ``focus`` reads out the marked sites (structures' array "focus": the ion on its path, a defect), and
            all occupied sites of a crystal without marks; ``mean`` knows no marks.
        dropout: in the attention layers.
        head_width: width of the dense head.
        fidelities: number of label fidelities told apart by a learned input; 1 means none.
        variance: whether the head also gives a variance (mean-variance estimation, Nix & Weigend 1994).
    """

    width: int = 64
    convolutions: int = 1
    norm: Norm = "layer"
    angles: int = 0
    layers: int = 1
    heads: int = 4
    spatial: Spatial = "rbf"
    edges: bool = True
    centrality: bool = True
    pooling: Literal["focus", "mean"] = "focus"
    dropout: float = 0.0
    head_width: int = 128
    fidelities: int = 1
    variance: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.fidelities < 1 or min(self.convolutions, self.angles, self.layers) < 0:
            raise ValueError(
                "width and fidelities must be at least 1, convolutions, angles and layers at least 0; "
                f"got {self.width}, {self.fidelities}, {self.convolutions}, {self.angles}, {self.layers}"
            )
        if self.norm not in ("layer", "batch"):
            raise ValueError(f"norm must be batch or layer, got {self.norm!r}")
        if self.pooling not in ("focus", "mean"):
            raise ValueError(f"pooling must be focus or mean, got {self.pooling!r}")
        if self.layers and (self.heads < 1 or self.width % self.heads):
            raise ValueError(f"heads must divide width; got {self.heads} heads for width {self.width}")

    @classmethod
    def for_store(cls, store: Store) -> Self:
        """The default for a kind of rows: `one_host` for decorations of one host, else `any_crystal`."""
        return cls.one_host() if isinstance(store, HostGraphs) else cls.any_crystal()

    @classmethod
    def any_crystal(cls) -> Self:
        """With bond angles, which won on crystals of all kinds."""
        return cls(angles=32)

    @classmethod
    def one_host(cls) -> Self:
        """Two convolutions with batch norms, which learn how the elements of one host are arranged."""
        return cls(convolutions=2, norm="batch")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """From JSON, refusing names that are not settings of this class."""
        known = {field.name for field in fields(cls)}
        unknown = set(values) - known
        if unknown:
            raise ValueError(f"unknown model settings {sorted(unknown)}; allowed are {sorted(known)}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class CGformer(Network):
    """The network. It predicts in the units of its training targets' normaliser (mean 0, deviation 1)."""

    features: torch.Tensor

    def __init__(self, config: CGformerConfig):
        super().__init__()
        self.config = config
        self.register_buffer("features", torch.tensor(feature_table(), dtype=torch.float32), persistent=False)
        self.embedding = nn.Linear(FEATURES, config.width)
        self.fidelity = nn.Embedding(config.fidelities, config.width) if config.fidelities > 1 else None
        focus = config.pooling == "focus"
        self.mark = nn.Parameter(torch.zeros(config.width)) if focus else None
        self.peak = nn.Parameter(torch.zeros(config.width, config.width)) if focus else None
        self.basis = Gaussians()
        self.convolutions = nn.ModuleList(
            [Convolution(config.width, len(self.basis), config.norm) for _ in range(config.convolutions)]
        )
        self.angles = Angles(config.width, config.angles, config.dropout) if config.angles else None
        attention = config.layers > 0
        self.degrees = nn.Embedding(2 * (MAX_DEGREE + 1), config.width) if attention and config.centrality else None
        self.bias = AttentionBias(config.heads, config.spatial, config.edges, len(self.basis)) if attention else None
        self.layers = nn.ModuleList(
            [
                EncoderLayer(config.width, config.heads, config.dropout, config.spatial == "values")
                for _ in range(config.layers)
            ]
        )
        self.norm = BatchNorm(config.width) if config.norm == "batch" else nn.LayerNorm(config.width)
        self.head = nn.Sequential(
            nn.Linear(config.width, config.head_width),
            nn.SiLU(),
            nn.Linear(config.head_width, 2 if config.variance else 1),
        )
        if config.norm == "batch":
            self.start_at_bend()
        for embedding in (self.fidelity, self.degrees):
            if embedding is not None:
                nn.init.normal_(embedding.weight, std=0.02)

    def start_at_bend(self) -> None:
        """Initial weights that give elements' vectors and first messages a deviation of one."""
        nn.init.normal_(self.embedding.weight, std=1 / 3)  # an element has nine features
        for convolution in self.convolutions:
            assert isinstance(convolution, Convolution)
            convolution.start_at_bend()

    @property
    def needs_hops(self) -> bool:
        return self.bias is not None and self.config.spatial == "hop"

    @property
    def reads_marked(self) -> bool:
        return self.config.pooling == "focus" and self.config.layers == 1

    @property
    def predicts_variance(self) -> bool:
        return self.config.variance

    def nodes(self, batch: GraphBatch) -> torch.Tensor:
        """Final node vectors (t, w), or (q, w) of the atoms that are asked for."""
        table = self.embedding(self.features)
        bonds = self.basis(batch.lengths, reach=True)
        convolutions = list(self.convolutions)
        mark = self.mark if batch.marked.any() else None
        first = convolutions[0] if convolutions and self.fidelity is None and mark is None else None
        if batch.kinds is not None and isinstance(first, Convolution):
            del convolutions[0]
            nodes = first.of_elements(table, bonds, batch)
        else:
            nodes = table.index_select(0, batch.numbers)
        if self.fidelity is not None:
            nodes = nodes + self.fidelity(batch.fidelity).index_select(0, batch.crystal)
        if mark is not None:
            nodes = nodes + batch.marked[:, None] * mark
        listed = None if batch.complete else torch.isfinite(batch.lengths)
        around = Bonds(batch.neighbours, bonds, listed)
        for convolution in convolutions:
            nodes = convolution(nodes, batch.edge_index, around)
        if self.angles is not None:
            nodes = self.angles(nodes, batch)
        if self.bias is None:
            return nodes
        if self.degrees is not None:
            nodes = nodes + self._centrality(batch)
        bias, pairs = self.bias(batch, bonds), self.bias.pairs(batch)
        b, n = len(batch.sizes), batch.width
        padded, _ = to_dense_batch(nodes, batch.crystal, 0.0, n, b)
        asked = batch.queries
        if asked is not None:
            (layer,) = self.layers
            chosen, _ = to_dense_batch(nodes[asked.atoms], batch.crystal[asked.atoms], 0.0, asked.width, b)
            return layer(padded, bias, chosen, pairs).flatten(0, 1).index_select(0, asked.place)
        for layer in self.layers:
            padded = layer(padded, bias, pairs=pairs)
        return padded.flatten(0, 1).index_select(0, batch.place)

    def _centrality(self, batch: GraphBatch) -> torch.Tensor:
        """Sum of the learned vectors of out- and in-degree (Graphormer eq. 5), (t, w)."""
        assert self.degrees is not None
        listed = torch.isfinite(batch.lengths)
        t = len(listed)
        outward, inward = listed.sum(dim=1), degree(batch.neighbours[:t][listed], t, torch.long)
        found = self.degrees(outward.clamp(max=MAX_DEGREE))
        found = found + self.degrees(inward.clamp(max=MAX_DEGREE) + MAX_DEGREE + 1)
        return found.repeat(len(batch.numbers) // t, 1)

    def embed(self, batch: GraphBatch) -> torch.Tensor:
        """Mean over the occupied sites of every crystal, (b, w). Vacant sites are seen, but not pooled.

        Where sites are marked it is the mean over these, plus a linear map of how far the highest of them rises above
        it, channel by channel: a barrier is what a path's top has above the rest.
        """
        nodes = self.norm(self.nodes(batch))
        if self.peak is None:
            return mean_over_sites(nodes, batch)
        read, crystal, count = sites_to_read(batch), batch.crystal, len(batch.sizes)
        if batch.queries is not None:
            crystal = crystal[batch.queries.atoms]
            read = read[batch.queries.atoms]
        chosen = torch.nonzero(read)[:, 0]
        mean = global_mean_pool(nodes.index_select(0, chosen), crystal.index_select(0, chosen), count)
        if not batch.marked.any():
            return mean
        marked = batch.marked if batch.queries is None else read
        above = (nodes - mean.index_select(0, crystal))[marked]
        return mean + global_max_pool(above, crystal[marked], count) @ self.peak

    def forward(self, batch: GraphBatch) -> torch.Tensor:
        """Normalised mean and log-variance, (b, 2); the log-variance is zero without a variance head."""
        out = self.head(self.embed(batch))
        if not self.config.variance:
            return torch.cat([out, torch.zeros_like(out)], dim=1)
        return torch.cat([out[:, :1], 6.0 * torch.tanh(out[:, 1:] / 6.0)], dim=1)

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())
