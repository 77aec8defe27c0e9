"""Dropout that can be given its own random numbers, so that members can be trained side by side, reproducibly."""

from __future__ import annotations

import torch
from torch import nn


class Dropout(nn.Module):
    """As `torch.nn.Dropout`; draws from `generator` if one is set (the trainer does), else from torch's."""

    def __init__(self, probability: float):
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {probability}")
        self.probability = probability
        self.generator: torch.Generator | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.probability == 0:
            return x
        kept = torch.rand(x.shape, generator=self.generator, device=x.device) >= self.probability
        return x * kept / (1 - self.probability)
