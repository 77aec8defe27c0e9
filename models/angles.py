"""Bond angles for CGformer, without a list of angles: invariants of the density of an atom's neighbours.

A convolution hears how far each neighbour is, not in which direction, so that an octahedron and a trigonal prism of
the same bonds are one to it. A line graph (`models.alignn`) lists every pair of an atom's bonds. Here the neighbours'
density is expanded in spherical harmonics, which takes one sum over the bonds, and products of its coefficients hold
the same angles, for sum_m Y_lm(u) Y_lm(v) = P_l(u . v): as in smooth overlap of atomic positions (Bartók, Kondor,
Csányi, Phys. Rev. B 87, 184115 (2013)) and the atomic cluster expansion (Drautz, Phys. Rev. B 99, 014104 (2019)) at
three bodies, with the neighbours' learned vectors for their element, as in MACE (Batatia et al., NeurIPS 2022).
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from models.batch import GraphBatch
from models.dropout import Dropout
from models.layers import Gaussians

#: Highest degree l: angles are seen through the Legendre polynomials P_0 to P_3.
DEGREE = 3


def harmonics(vectors: torch.Tensor) -> torch.Tensor:
    """Real spherical harmonics of directions, (..., 3) to (..., 16), from degree 0 to 3, normalised such that
    sum_m Y_lm(u) Y_lm(v) = P_l(u . v).

    A vector of length zero, where there is no neighbour, gives finite numbers.
    """
    x, y, z = functional.normalize(vectors, dim=-1).unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    three, five, fifteen = math.sqrt(3), math.sqrt(5 / 8), math.sqrt(15)
    return torch.stack(
        [
            torch.ones_like(x),
            *(x, y, z),
            *(three * x * y, three * y * z, three * z * x, three / 2 * (xx - yy), (3 * zz - 1) / 2),
            *(five * x * (xx - 3 * yy), five * y * (3 * xx - yy), fifteen * x * y * z, fifteen / 2 * z * (xx - yy)),
            *(math.sqrt(3 / 8) * (5 * zz - 1) * x, math.sqrt(3 / 8) * (5 * zz - 1) * y, z * (5 * zz - 3) / 2),
        ],
        dim=-1,
    )


class Angles(nn.Module):
    """Adds to every atom's vector v_i what the angles between its bonds tell, with c channels:

    A_i,lm,c = sum_j R_c(d_ij) (W v_j + b)_c Y_lm(r_ij), the density of the neighbours; R is a radial function that
    fades to zero at 8 Å;

    q_i,lc = sum_m A_i,lm,c (A_i,lm P_l)_c, which no rotation changes: P_l(cos angle) summed over pairs of neighbours;

    v_i <- v_i + MLP(norm(A_i,00, q_i), v_i).

    Time and memory grow with the number of bonds: no array is larger than one value per bond and channel.
    """

    def __init__(self, width: int, channels: int, dropout: float = 0.0):
        super().__init__()
        self.basis = Gaussians(step_A=0.4, smooth=True)
        self.radial = nn.Linear(len(self.basis), channels, bias=False)
        nn.init.normal_(self.radial.weight, std=0.5)
        self.other = nn.Linear(width, channels)
        self.products = nn.Parameter(torch.randn(DEGREE + 1, channels, channels) / math.sqrt(channels))
        invariants = channels * (DEGREE + 2)
        self.norm = nn.LayerNorm(invariants)
        self.hidden = nn.Linear(invariants + width, width)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(width, width)

    def forward(self, nodes: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """Nodes (t, w) to new nodes (t, w)."""
        seen = torch.cat([self.norm(self.invariants(nodes, batch)), nodes], dim=1)
        return nodes + self.output(self.dropout(functional.silu(self.hidden(seen))))

    def invariants(self, nodes: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """(t, c (L + 2)): A_00 and the q of all degrees."""
        density = self.density(nodes, batch)
        found = [density[:, 0]]
        for degree, product in enumerate(self.products):
            part = density[:, degree**2 : (degree + 1) ** 2]
            found.append((part * (part @ product)).sum(dim=1))
        return torch.cat(found, dim=-1).transpose(0, 1).reshape(len(nodes), -1)

    def density(self, nodes: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
        """A, (n, (L + 1)^2, rows, c): what crystals of a shared graph have at one of its n sites lies side by side.

        So its geometry is expanded once, and directions meet all rows in one product. Crystals with graphs of their
        own are one row of n = t atoms.
        """
        (n, k), channels = batch.lengths.shape, len(self.radial.weight)
        listed = torch.isfinite(batch.lengths)
        radial = self.radial(self.basis(batch.lengths) * listed[..., None])
        by_site = self.other(nodes).view(-1, n, channels).transpose(0, 1).flatten(1)
        heard = by_site.index_select(0, batch.neighbours[:n].reshape(-1)).view(n, k, -1, channels)
        directions = harmonics(batch.vectors.to(radial.dtype)).transpose(1, 2)
        return (directions @ (heard * radial[:, :, None]).flatten(2)).view(n, (DEGREE + 1) ** 2, -1, channels)
