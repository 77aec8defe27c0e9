"""Is there a cluster of low barriers? Tao et al. (Matter 8, 102380 (2025), figure 3C) find one of 18, G13.

    python benchmarks/papers_clusters.py

The same question to our space of 994: clusters as in a campaign (20, average linkage, Euclidean distance), barriers
by bond valence (E_3D, mean of six orderings of every composition, benchmarks/data/nzsp_bvse.csv). Low is below the
median, so that half of a random cluster is low; p is the chance that so many or more of a random set of that size
are, times the number of clusters looked at.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from flows.candidates import build_candidates
from flows.config import parse_config

TARGET = "E_3D_eV"


def main() -> None:
    candidates = build_candidates(parse_config({"campaign": {"name": "clusters", "host": "nzsp"}}))
    labels = pd.read_csv(Path(__file__).parent / "data" / "nzsp_bvse.csv").groupby("composition")[TARGET].mean()
    values = labels[[composition.key for composition in candidates.compositions]].to_numpy()
    low = values < np.median(values)
    groups = candidates.clusters.labels
    print(f"{len(values)} compositions, {TARGET} {values.mean():.3f} ± {values.std():.3f} eV\n")
    print("| cluster | compositions | low | mean, eV | p | dopants in more than half of it |")
    print("|---|---|---|---|---|---|")
    for group in sorted(set(groups), key=lambda one: -low[groups == one].mean()):
        members = np.flatnonzero(groups == group)
        chance = hypergeom.sf(low[members].sum() - 1, len(values), low.sum(), len(members)) * len(set(groups))
        elements = Counter(e for i in members for e, _ in candidates.compositions[i].amounts if e != "Zr")
        common = ", ".join(element for element, n in elements.most_common() if n > len(members) / 2)
        print(
            f"| {group} | {len(members)} | {low[members].mean():.0%} | {values[members].mean():.3f} | "
            f"{min(chance, 1):.0e} | {common} |"
        )


if __name__ == "__main__":
    main()
