"""Clusters of all 148,995 sets of four dopants: `python -m benchmarks.agent.large_space`.

Descriptors need no neutrality, so this takes every set, also the 34,221 that no number of sodium on the cell's
sixteen sites balances and that a campaign therefore leaves out. Prints time and memory, and how far the two-stage
clusters agree with the exact ones where those can be had: on the default space of 994 and on a sample of the large
one; beside it, how far the exact tree agrees with itself when a tenth of its rows is left out.
"""

from __future__ import annotations

import argparse
import resource
import time
from itertools import combinations

import numpy as np
from sklearn.metrics import adjusted_rand_score

from agent.clusters import ClusterConfig, agreement, cluster
from agent.composition import Composition
from agent.descriptors import describe
from agent.elements import candidates
from agent.hosts import Host, load_host
from agent.space import build_space


def every_set(host: Host, dopants: int = 4) -> list[Composition]:
    """One site for each dopant, at its preferred valence; sodium balances the charge, however many that takes."""
    valences = {element: options[0] for element, options in candidates().valences.items()}
    rest, own = host.n_substituted_sites - dopants, host.valences_of(host.substituted)[0]
    found = []
    for elements in combinations(sorted(valences), dopants):
        amounts = tuple(sorted([(host.substituted, rest), *((e, 1) for e in elements)]))
        charges = tuple((e, valences.get(e, own)) for e, _ in amounts)
        mobile = host.mobile_for(sum(charge * n for (_, charge), (_, n) in zip(charges, amounts, strict=True)))
        found.append(Composition(host.name, amounts, charges, mobile))
    return found


def peak_GiB() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=4_000, help="rows of the large space for the exact tree")
    args = parser.parse_args()
    host = load_host("nzsp")
    wall, cpu = time.perf_counter(), time.process_time()

    def done(what: str) -> None:
        nonlocal wall, cpu
        now, used = time.perf_counter(), time.process_time()
        print(f"{what}: {used - cpu:.1f} CPU s, {now - wall:.1f} s wall, peak {peak_GiB():.2f} GiB", flush=True)
        wall, cpu = now, used

    whole = every_set(host)
    done(f"{len(whole):,} compositions, {sum(0 <= c.mobile <= host.n_mobile_sites for c in whole):,} of them neutral")
    features = describe(host, whole).scaled()
    done(f"descriptors ({features.shape[1]} columns that vary)")
    clusters = cluster(features)
    done(f"clusters, two stages ({clusters.sizes.max():,} in the largest of {len(clusters.sizes)})")

    small = describe(host, build_space(host)).scaled()
    part = features[np.random.default_rng(0).choice(len(features), args.sample, replace=False)]
    for name, rows in (("the default space", small), ("a sample of the large one", part)):
        config = ClusterConfig(exact_limit=len(rows))
        kept = np.random.default_rng(1).random(len(rows)) < 0.9
        again = adjusted_rand_score(cluster(rows, config).labels[kept], cluster(rows[kept], config).labels)
        print(
            f"{len(rows):,} rows of {name}: adjusted Rand index of two stages against the exact tree "
            f"{agreement(rows):.2f}; of the exact tree of nine tenths of the rows against that of all {again:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
