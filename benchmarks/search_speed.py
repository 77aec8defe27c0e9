"""How long a search over 148,995 compositions takes: `python benchmarks/search_speed.py`.

A campaign folder is made whose space is every set of four of the 45 dopants (predictions drawn at random: only the
time counts), and searched; beside it stands reading its two CSV files with pandas, a lower bound. Times are of the
processor unless they say otherwise.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from agent.hosts import load_host
from agent.ledger import Ledger
from agent.space import SpaceConfig, build_space
from flows.config import parse_config
from flows.found import find_campaign
from flows.search import PREDICTIONS_FILE, Atlas, Query, write_predictions


def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "big"
        folder.mkdir()
        config = parse_config({"campaign": {"name": "big", "folder": root}})
        (folder / "config.json").write_text(config.model_dump_json())
        Ledger.open(folder / "ledger.sqlite").create_campaign("big", "nzsp", "chgnet-neb", 0, {})
        host = load_host("nzsp")
        compositions = list(build_space(host, SpaceConfig(filters=[])))
        rows = [(one.key, one.formula(host), i % 20) for i, one in enumerate(compositions)]
        table = pd.DataFrame(rows, columns=["composition", "formula", "cluster"])
        table.assign(pc1=0.0, pc2=0.0).to_csv(folder / "space.csv", index=False)
        rng = np.random.default_rng(0)
        start = time.perf_counter()
        write_predictions(
            folder, list(table.composition), rng.normal(0.4, 0.05, len(table)), np.full(len(table), 0.02)
        )
        print(f"{len(table):,} compositions; predictions written in {time.perf_counter() - start:.2f} s")
        for attempt in range(3):
            start = time.process_time()
            pd.read_csv(folder / "space.csv"), pd.read_csv(folder / PREDICTIONS_FILE)
            read = time.process_time() - start
            start, wall = time.process_time(), time.perf_counter()
            hits = Atlas.of(find_campaign(str(folder)).view()).search(
                Query.parse(elements="Zr,Hf,Sn", entropy=">=1", eb="<0.4")
            )
            took, wall = time.process_time() - start, time.perf_counter() - wall
            print(
                f"run {attempt + 1}: read {read:.2f} s, search {took:.2f} s ({took / read:.1f} x), "
                f"{wall:.2f} s on the wall, {len(hits)} hits"
            )


if __name__ == "__main__":
    main()
