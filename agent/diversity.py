"""Rules that keep a batch from being one composition with small variations. Each returns positions, best
first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def best_first(scores: Floats, rng: np.random.Generator) -> Ints:
    """Positions by falling score; ties in random order, so that equal predictions give a random batch."""
    shuffled = rng.permutation(len(scores))
    return shuffled[np.argsort(-scores[shuffled], kind="stable")]


def cluster_quota(
    order: Ints,
    clusters: Ints,
    batch: int,
    share: float,
    known: Ints,
    unseen_share: float,
    recent: Sequence[int] | Ints = (),
) -> Ints:
    """The best of `order`, but no cluster takes more than its share, and unseen clusters come first.

    Args:
        order: positions, best first.
        clusters: (n,) cluster by position.
        batch: how many to take.
        share: largest share of the batch that one cluster may take (at least one place).
        known: clusters of what is labelled or pending, one entry each.
        unseen_share: largest share of the batch that goes to clusters without any label first.
        recent: those of `known` that count as part of this batch, because proposals are made one by one.

    The quota gives way when nothing else is left.
    """
    whole = batch + len(recent)
    cap = max(1, round(share * whole))
    taken: list[int] = []
    seen = set(known.tolist())
    per_cluster = Counter(int(cluster) for cluster in recent)
    before = Counter(known.tolist()) - per_cluster
    opened = sum(not before[cluster] for cluster in per_cluster)  # by the recent ones

    def take(position: int) -> None:
        taken.append(position)
        cluster = int(clusters[position])
        seen.add(cluster)
        per_cluster[cluster] += 1

    for position in order:
        if len(taken) >= min(batch, round(unseen_share * whole) - opened):
            break
        if int(clusters[position]) not in seen:
            take(int(position))
    chosen = set(taken)
    for position in order:
        if len(taken) >= batch:
            break
        if int(position) not in chosen and per_cluster[int(clusters[position])] < cap:
            take(int(position))
            chosen.add(int(position))
    rest = [int(p) for p in order if int(p) not in chosen]
    return np.array((taken + rest)[:batch], dtype=np.int64)


def farthest_first(features: Floats, batch: int, known: Floats, rng: np.random.Generator) -> Ints:
    """Positions, each the farthest from all known and taken ones (maximin design; Gonzalez, Theor. Comput. Sci. 38,
    293 (1985)).

    Args:
        features: (n, d) by position.
        batch: how many to take.
        known: (m, d) what is labelled or pending; if nothing is, the first position is a random one.
    """
    if len(known):
        nearest = cdist(features, known, "sqeuclidean").min(axis=1)
    else:
        nearest = np.where(np.arange(len(features)) == rng.integers(len(features)), np.inf, 0.0)
    taken: list[int] = []
    while len(taken) < min(batch, len(features)):
        pick = int(nearest.argmax())
        taken.append(pick)
        distance = ((features - features[pick]) ** 2).sum(axis=1)
        nearest = distance if len(taken) == 1 and not len(known) else np.minimum(nearest, distance)
        nearest[taken] = -1.0
    return np.array(taken, dtype=np.int64)


def kmeans_of_top(
    order: Ints, embeddings: Floats, batch: int, beta: float, rng: np.random.Generator, recent: Floats | None = None
) -> Ints:
    """The best of each of `batch` k-means groups of the top beta x batch (Zhdanov, arXiv 1901.05954).

    `recent` (m, d) are embeddings of what counts as part of this batch already: m more groups are made, and
    those that hold one of them are taken.
    """
    top = order[: max(batch, int(np.ceil(beta * batch)))]
    whole = batch + (0 if recent is None else len(recent))
    if len(top) <= batch:
        return top
    means = KMeans(min(whole, len(top)), n_init=2, random_state=int(rng.integers(2**31))).fit(embeddings[top])
    groups, firsts = np.unique(means.labels_, return_index=True)  # `top` is sorted: a group's first is its best
    if recent is not None and len(recent):
        firsts = firsts[~np.isin(groups, means.predict(recent))]
    chosen = top[np.sort(firsts)]
    rest = top[~np.isin(top, chosen)]
    return np.concatenate([chosen, rest])[:batch]  # identical embeddings make fewer groups than asked for


def lcmd_of_top(order: Ints, embeddings: Floats, batch: int, beta: float, known: Floats) -> Ints:
    """Largest cluster, maximum distance, among the top beta x batch (Holzmüller et al., JMLR 24, 164 (2023)).

    Centres are what is labelled or pending and what this batch has taken; every candidate belongs to its
    nearest centre. Next comes the farthest candidate of the centre with the largest sum of squared distances.

    Args:
        order: positions, best first.
        embeddings: (n, d) by position.
        batch: how many to take.
        beta: how much wider than the batch the choice is.
        known: (m, d) embeddings of what is labelled or pending; may be empty.
    """
    top = order[: max(batch, int(np.ceil(beta * batch)))]
    points = embeddings[top]
    taken: list[int] = []
    if len(known):
        squared = cdist(points, known, "sqeuclidean")
        nearest, centre = squared.min(axis=1), squared.argmin(axis=1)
        centres = len(known)
    else:
        taken.append(0)
        nearest, centre = ((points - points[0]) ** 2).sum(axis=1), np.zeros(len(points), dtype=np.int64)
        centres = 1
    while len(taken) < min(batch, len(top)):
        free = np.ones(len(top), dtype=bool)
        free[taken] = False
        sums = np.bincount(centre, weights=nearest * free, minlength=centres)
        inside = free & (centre == sums.argmax())
        if not inside.any():  # all that is left sits on its centre
            inside = free
        pick = int(np.argmax(np.where(inside, nearest, -1.0)))
        taken.append(pick)
        distance = ((points - points[pick]) ** 2).sum(axis=1)
        closer = distance < nearest
        nearest[closer], centre[closer] = distance[closer], centres
        centres += 1
    return top[taken]
