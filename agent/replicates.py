"""Another ordering of a known composition, or a new composition: which label teaches more?

A label of one ordering is the composition's value plus scatter, y = b + N(0, w²). What is believed of b is normal,
N(mean, sigma²): the model's word, joined by the composition's own labels where there are some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Labels = Mapping[int, Sequence[float]]

#: Share of the labels' variance that is taken for scatter between orderings while nothing is known of it ...
PRIOR_SHARE = 0.5
#: ... and the number of repeated labels that this guess counts as.
PRIOR_REPEATS = 4


def scatter_eV(labels: Labels) -> float:
    """Standard deviation (eV) between orderings of one composition, pooled over all that have several labels.

    Drawn towards half of the variance of all labels as long as repeats are few; 0 for fewer than two labels.
    """
    every = np.concatenate([np.asarray(v, dtype=float) for v in labels.values()]) if labels else np.empty(0)
    if len(every) < 2:
        return 0.0
    squares = sum(float(((np.asarray(v) - np.mean(v)) ** 2).sum()) for v in labels.values())
    repeats = len(every) - len(labels)
    guess = PRIOR_REPEATS * PRIOR_SHARE * float(every.var())
    return float(np.sqrt((squares + guess) / (repeats + PRIOR_REPEATS)))


def standard_errors_eV(labels: Labels) -> dict[int, float] | None:
    """Standard error (eV) of each composition's mean over its labels, from the pooled scatter; one label has one too.

    None as long as no composition has two labels: then nothing measured says how much orderings scatter.
    """
    if all(len(own) < 2 for own in labels.values()):
        return None
    scatter = scatter_eV(labels)
    return {composition: scatter / float(np.sqrt(len(own))) for composition, own in labels.items()}


def posterior(mean: Floats, sigma: Floats, index: Ints, labels: Labels, scatter: float) -> tuple[Floats, Floats]:
    """Mean and standard deviation (n,) of each composition's value, given its own labels too.

    Args:
        mean, sigma: (n,) the model's word, eV.
        index: (n,) which composition each entry is.
        labels: labels (eV) by composition.
        scatter: standard deviation between orderings, eV.
    """
    mean, sigma = mean.copy(), sigma.copy()
    for place in np.flatnonzero(np.isin(index, list(labels))):
        own = labels[int(index[place])]
        noise, prior = max(scatter**2 / len(own), 1e-12), max(sigma[place] ** 2, 1e-12)
        weight = prior / (prior + noise)
        mean[place] = weight * np.mean(own) + (1 - weight) * mean[place]
        sigma[place] = np.sqrt(prior * noise / (prior + noise))
    return mean, sigma


def knowledge_gradient(mean: Floats, sigma: Floats, scatter: float) -> Floats:
    """(n,) by how much one more label of each is expected to lower the lowest posterior mean, eV.

    s f(-|mean - best other mean| / s) with f(z) = z Phi(z) + phi(z), where s = sigma² / sqrt(sigma² + scatter²) is
    how far a label moves the mean (Frazier, Powell & Dayanik, INFORMS J. Comput. 21, 599 (2009),
    independent beliefs). A composition that is known well is worth nothing, however good it is.
    """
    if len(mean) < 2:
        return np.zeros(len(mean))
    moved = sigma**2 / np.sqrt(np.maximum(sigma**2 + scatter**2, 1e-24))
    first, second = np.argsort(mean, kind="stable")[:2]
    rival = np.full(len(mean), mean[first])
    rival[first] = mean[second]
    z = -np.abs(mean - rival) / np.maximum(moved, 1e-12)
    return np.asarray(moved * (z * norm.cdf(z) + norm.pdf(z)))


def exchanged(chosen: Ints, gain: Floats, again: NDArray[np.bool_]) -> Ints:
    """The batch, in which new compositions gave way to further orderings that are worth more.

    Args:
        chosen: (batch,) positions of new compositions, best first.
        gain: (n,) knowledge gradient of all positions.
        again: (n,) which positions are further orderings of labelled compositions.
    """
    batch = [int(position) for position in chosen]
    weakest_first = sorted(range(len(batch)), key=lambda place: gain[batch[place]])
    taken = set(batch)  # where no new composition is left
    offers = sorted(set(np.flatnonzero(again).tolist()) - taken, key=lambda position: (-gain[position], position))
    for place, offer in zip(weakest_first, offers, strict=False):
        if gain[offer] <= gain[batch[place]]:
            break
        batch[place] = int(offer)
    return np.array(batch, dtype=np.int64)
