"""What is asked of a network, and its predictions and embeddings of many rows in the units of the targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.batch import GraphBatch, batches
from models.parallel import Tell, side_by_side
from models.stores import Store

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
#: Atoms that go through a network at once in predictions. Beyond some 6,000 all arrays of a layer are new memory
#: every time, and an atom costs nearly twice as much (docs/benchmarks/models.md).
PREDICTED_ATOMS = 5_400
#: Atoms squared that go through a network at once: bounds the memory of attention.
MAX_PAIRS = 600_000


class Network(nn.Module):
    """What training and prediction ask of a network: `forward` gives normalised mean and log-variance, (b, 2)."""

    @property
    def needs_hops(self) -> bool:
        """Whether batches must carry hop distances."""
        return False

    @property
    def reads_marked(self) -> bool:
        """Whether batches may ask for the marked atoms alone."""
        return False

    @property
    def predicts_variance(self) -> bool:
        return False

    @property
    def head_names(self) -> tuple[str, ...]:
        """Prefixes of the parameters that fine-tuning trains at the full learning rate."""
        return ("head",)

    def forward(self, batch: GraphBatch) -> torch.Tensor:
        raise NotImplementedError

    def embed(self, batch: GraphBatch) -> torch.Tensor:
        """Pooled embedding (b, d)."""
        raise NotImplementedError


#: Interquartile range of a normal distribution of deviation 1.
NORMAL_IQR = 1.349


@dataclass(frozen=True)
class Normaliser:
    """Targets to mean 0 and deviation 1, or to median 0 and the deviation that a normal distribution of their
    interquartile range has; constant targets keep their scale."""

    mean: float
    std: float

    @classmethod
    def of(cls, y: Floats, robust: bool = False) -> Self:
        centre, std, least = float(np.mean(y)), float(np.std(y)), 1e-9 * max(1.0, float(np.abs(y).max()))
        if robust:
            low, centre, high = (float(value) for value in np.percentile(y, [25, 50, 75]))
            if high - low > least:
                std = (high - low) / NORMAL_IQR
        return cls(centre, std if std > least else 1.0)

    def forward(self, y: Floats) -> Floats:
        return (y - self.mean) / self.std

    def inverse(self, z: Floats) -> Floats:
        return z * self.std + self.mean


def batch_for(network: Network, store: Store, rows: Rows, fidelity: Rows | None = None) -> GraphBatch:
    """Graphs of rows with what the network needs."""
    return store.batch(rows, fidelity, hops=network.needs_hops, marked=network.reads_marked)


@contextmanager
def _at_rest(networks: Sequence[Network]) -> Iterator[None]:
    """Networks as they predict: dropout off, norms by their running statistics, nothing kept for gradients."""
    training = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for network, before in zip(networks, training, strict=True):
            network.train(before)


@torch.inference_mode()
def _outputs(networks: Sequence[Network], store: Store, rows: Rows, fidelity: Rows | None) -> Floats:
    """Normalised means and log-variances (networks, n, 2) of one batch; networks share an architecture."""
    batch = batch_for(networks[0], store, rows, fidelity).to(next(networks[0].parameters()).device)
    return np.stack([network(batch).double().cpu().numpy() for network in networks])


def _scaled(output: Floats, normaliser: Normaliser, variance: bool) -> tuple[Floats, Floats]:
    """Means and variances in the targets' units; no variance head gives zeros."""
    mean = normaliser.inverse(output[..., 0])
    return mean, np.exp(output[..., 1]) * normaliser.std**2 if variance else np.zeros_like(mean)


def predict(
    network: Network,
    store: Store,
    rows: Rows,
    normaliser: Normaliser,
    fidelity: Rows | None = None,
    max_pairs: int = MAX_PAIRS,
) -> tuple[Floats, Floats]:
    """Mean (n,) and variance (n,) of the rows' targets, in the targets' units; no variance head gives
    zeros."""
    output = np.zeros((len(rows), 2))
    with _at_rest([network]):
        for part in batches(store.sizes(rows), max_pairs, PREDICTED_ATOMS):
            (output[part],) = _outputs([network], store, rows[part], None if fidelity is None else fidelity[part])
    return _scaled(output, normaliser, network.predicts_variance)


def predict_members(
    networks: Sequence[Network], store: Store, rows: Rows, normaliser: Normaliser, fidelity: Rows | None = None
) -> tuple[Floats, Floats]:
    """The same of the members of an ensemble, (members, n) each.

    Cores share out the batches, not the members: five members on two cores would leave one idle a sixth of the time.
    And every batch is laid out once for all.
    """
    output = np.zeros((len(networks), len(rows), 2))

    def go(part: NDArray[np.int64], _: Tell) -> None:
        output[:, part] = _outputs(networks, store, rows[part], None if fidelity is None else fidelity[part])

    with _at_rest(networks):
        side_by_side(go, list(batches(store.sizes(rows), MAX_PAIRS, PREDICTED_ATOMS)))
    return _scaled(output, normaliser, networks[0].predicts_variance)


@torch.inference_mode()
def embed(network: Network, store: Store, rows: Rows, max_pairs: int = MAX_PAIRS) -> Floats:
    """Pooled embeddings (n, d) of rows."""
    device = next(network.parameters()).device
    found: Floats | None = None
    with _at_rest([network]):
        for part in batches(store.sizes(rows), max_pairs, PREDICTED_ATOMS):
            batch = batch_for(network, store, rows[part])
            values = network.embed(batch.to(device)).double().cpu().numpy()
            if found is None:
                found = np.zeros((len(rows), values.shape[1]))
            found[part] = values
    return np.zeros((0, 0)) if found is None else found
