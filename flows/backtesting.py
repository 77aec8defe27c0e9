"""What a back-test may not know of itself: the network as its surrogate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.backtest import SurrogateFactory
from agent.composition import Composition
from agent.hosts import load_host
from agent.ordering import draw_numbers
from agent.table import Table


@dataclass(frozen=True)
class CGformers:
    """Makes a small CGformer ensemble over the orderings of a table of compositions.

    Replicate k of a composition must be its ordering k, drawn with seed 0.
    """

    members: int = 3
    epochs: int = 30

    def __call__(self, table: Table, seed: int) -> Any:
        from models.ensemble import CGformerEnsemble, EnsembleConfig
        from models.stores import HostGraphs
        from models.training import TrainConfig

        compositions = [Composition.from_key(key) for key in table.ids]
        host = load_host(compositions[0].host)
        orderings = [draw_numbers(host, compositions, index) for index in range(table.replicates)]
        numbers = np.stack(orderings, axis=1).reshape(len(compositions) * table.replicates, -1)
        config = EnsembleConfig(train=TrainConfig(epochs=self.epochs))
        return CGformerEnsemble(HostGraphs(host.sites(), numbers), config, self.members, seed)


def surrogate_factory(name: str, table: Table) -> SurrogateFactory | None:
    """The factory of a surrogate that the agent does not have; None for its own.

    Raises:
        ValueError: a network is asked for, and the table's candidates are no compositions.
    """
    if name != "cgformer":
        return None
    try:
        for key in table.ids:
            Composition.from_key(key)
    except ValueError as error:
        raise ValueError(f"surrogate cgformer needs a table of compositions: {error}") from error
    return CGformers()
