"""Delta learning: an ensemble learns what a simpler model leaves over, and speaks as far as that held up.

From tens of labels a network finds out late what a simpler model is given (on compositions of one host: that an
effect is a sum over ions). So the simpler model goes first, as reference energies of the elements do in interatomic
potentials, and the ensemble is trained on the errors that it makes on labels it has not seen (Ramakrishnan et al.,
J. Chem. Theory Comput. 11, 2087 (2015)).
"""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from models.calibration import out_of_fold
from models.ensemble import CGformerEnsemble
from models.training import OnEpoch

Floats = NDArray[np.float64]


class Delta(RegressorMixin, BaseEstimator):
    """base + weight * ensemble, with the ensemble's own interface.

    The weight, 0 to 1, is the least-squares slope of the base's out-of-fold errors on what members of the ensemble
    predict for labels that they have not seen, drawn towards 0 as by `PRIOR_LABELS` labels: a network that has
    learned nothing says nothing. As long as labels are too few for members to leave some out, it is not trained.

    Attributes after `fit`:
        base_, ensemble_: both, trained.
        weight_: how much of the ensemble is in a prediction.
    """

    #: Labels that the prior weight of 0 counts as.
    PRIOR_LABELS = 10

    def __init__(self, base: Any, ensemble: CGformerEnsemble, folds: int = 5, seed: int = 0, group_size: int = 1):
        """
        Args:
            base: the simpler model over the same rows, with the ensemble's interface.
            ensemble: of networks.
            folds: of the base's cross-validation.
            group_size: so many rows in a row are orderings of one composition, held out together.
        """
        self.base = base
        self.ensemble = ensemble
        self.folds = folds
        self.seed = seed
        self.group_size = group_size

    def pretrain(self, X: Any, y: Any, on_epoch: OnEpoch | None = None, ensemble: Any = None) -> Self:
        """Both learn the cheap fidelity; until the first `fit` it is the base that speaks of it.

        Args:
            ensemble: one that was pre-trained on the same labels before, so that it need not be again.
        """
        y = np.asarray(y, float).reshape(-1)
        self.ensemble = ensemble or self.ensemble.pretrain(X, self._left_over(X, y), on_epoch)
        self.base_ = copy.copy(self.base).fit(X, y)
        self.ensemble_, self.weight_ = self.ensemble, 0.0
        self.base.pretrain(X, y)
        return self

    def fit(self, X: Any, y: Any, on_epoch: OnEpoch | None = None) -> Self:
        """Train both on rows X (n, 1) and y (n,)."""
        y = np.asarray(y, float).reshape(-1)
        self.base_ = copy.copy(self.base).fit(X, y)
        self.ensemble_, self.weight_ = copy.copy(self.ensemble), 0.0
        if len(y) >= self.ensemble.settings.min_validation:
            left_over = self._left_over(X, y)
            self.ensemble_.fit(X, left_over, on_epoch)
            self.weight_ = held_out_weight(left_over, self.ensemble_.held_out_, self.PRIOR_LABELS)
        return self

    def _left_over(self, X: Any, y: Floats) -> Floats:
        """(n,) errors of the base on labels that it has not seen; y less its mean where one group is all there is."""
        groups = np.asarray(X).reshape(len(y), -1)[:, 0] // self.group_size
        if len(np.unique(groups)) < 2:
            return y - y.mean()
        return y - out_of_fold(self.base, X, y, self.folds, self.seed, groups=groups)[0]

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Mean (n,) and, if asked, standard deviation (n,): what both are unsure of, as if independent."""
        check_is_fitted(self, "base_")
        mean, sigma = self.base_.predict(X, return_std=True)
        if self.weight_ > 0:
            more, spread = self.ensemble_.predict(X, return_std=True)
            mean, sigma = mean + self.weight_ * more, np.hypot(sigma, self.weight_ * spread)
        return (mean, sigma) if return_std else mean

    def predict_members(self, X: Any) -> Floats:
        """(members, n): draws of the base, each with one member of the ensemble."""
        check_is_fitted(self, "base_")
        draws = np.asarray(self.base_.predict_members(X))
        if self.weight_ > 0:
            members = self.ensemble_.predict_members(X)
            draws = draws + self.weight_ * members[np.arange(len(draws)) % len(members)]
        return draws

    def embed(self, X: Any) -> Floats:
        """The ensemble's embeddings, or, untrained, the base's."""
        trained = hasattr(self.ensemble_, "networks_")
        return np.asarray((self.ensemble_ if trained else self.base_).embed(X))


def held_out_weight(left_over: Floats, held_out: Floats, prior_labels: float) -> float:
    """Ridge slope of what is left over on its held-out predictions (NaN where there is none), clipped to [0, 1]."""
    known = np.isfinite(held_out)
    if not known.any():
        return 0.0
    predicted, wanted = held_out[known], left_over[known]
    squares = float((predicted**2).sum()) * (1 + prior_labels / known.sum())
    return float(np.clip((predicted @ wanted) / squares, 0.0, 1.0)) if squares > 0 else 0.0
