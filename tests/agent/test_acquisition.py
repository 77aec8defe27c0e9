"""Strategies, diversity rules and what every proposal carries; a loop must beat random on a real function."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from agent import diversity, scores
from agent.acquisition import propose
from agent.acquisition_config import AcquisitionConfig, Strategy
from agent.composition import Composition
from agent.learner import CandidatePool, CompositionEstimator, Observation, Surrogate
from agent.standing import Standing

RNG = np.random.default_rng
STRATEGIES = list(get_args(Strategy))
DIVERSITIES = ["none", "cluster-quota", "kmeans", "lcmd"]


class Ridge:
    """A Bayesian linear surrogate over fixed features: small, exact, and with members."""

    def __init__(self, features, noise=0.1):
        self.features, self.noise = features, noise

    def fit(self, X, y):
        a = self.features[X[:, 0]]
        precision = a.T @ a / self.noise**2 + np.eye(a.shape[1])
        self.covariance = np.linalg.inv(precision)
        self.weights = self.covariance @ a.T @ y / self.noise**2
        return self

    def predict(self, X, return_std=False):
        a = self.features[X[:, 0]]
        mean = a @ self.weights
        return (mean, np.sqrt(np.einsum("ni,ij,nj->n", a, self.covariance, a))) if return_std else mean

    def predict_members(self, X):
        draws = RNG(0).multivariate_normal(self.weights, self.covariance, size=8)
        return draws @ self.features[X[:, 0]].T

    def embed(self, X):
        return self.features[X[:, 0]]


def pool_of(n=60, groups=6, orderings=1, seed=0):
    rng = RNG(seed)
    centres = rng.normal(size=(groups, 4)) * 3
    clusters = np.sort(rng.integers(groups, size=n))
    features = np.repeat(centres[clusters] + rng.normal(size=(n, 4)), orderings, axis=0)
    names = [Composition("toy", (("Sn", i),), (("Sn", 4),), 0) for i in range(n)]
    return CandidatePool.of(names, clusters, orderings, features=features[::orderings]), features


def trained(pool, features, labelled=12, seed=0):
    truth = features @ np.array([0.3, -0.2, 0.1, 0.05])
    shown = RNG(seed).choice(len(pool), labelled, replace=False)
    model = Ridge(features).fit(pool.rows[shown, :1], truth[pool.rows[shown, 0]])
    return model, [Observation(int(i), 0, float(truth[pool.rows[i, 0]])) for i in shown], truth


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("rule", DIVERSITIES)
def test_every_strategy_with_every_rule_gives_a_valid_batch(strategy, rule):
    pool, features = pool_of()
    model, labelled, _ = trained(pool, features)
    assert isinstance(model, Surrogate)
    pending = [(next(i for i in range(60) if i not in {o.composition for o in labelled}), 0)]
    config = AcquisitionConfig(strategy=strategy, diversity=rule)
    batch = propose(model, pool, config, 5, Standing(labelled, pending, progress=0.5), RNG(1))
    chosen = [p.index for p in batch]
    assert len(set(chosen)) == 5
    assert not set(chosen) & ({o.composition for o in labelled} | {pending[0][0]})
    for proposal in batch:
        assert proposal.composition == pool.compositions[proposal.index]
        assert proposal.cluster == pool.clusters[proposal.index]
        assert np.isfinite([proposal.mean_eV, proposal.sigma_eV, proposal.score]).all()
        assert 1 <= proposal.rank <= 47
        assert len(proposal.reason) > 10
    again = propose(model, pool, config, 5, Standing(labelled, pending, progress=0.5), RNG(1))
    assert again == batch


def test_greedy_takes_the_lowest_means_and_max_sigma_the_largest_sigmas():
    pool, features = pool_of()
    model, labelled, _ = trained(pool, features)
    free = np.setdiff1d(np.arange(60), [o.composition for o in labelled])
    mean, sigma = model.predict(free[:, None], return_std=True)
    for strategy, order in (("greedy", np.argsort(mean)), ("max-sigma", np.argsort(-sigma))):
        config = AcquisitionConfig(strategy=strategy, diversity="none")
        assert [p.index for p in propose(model, pool, config, 6, Standing(labelled), RNG(0))] == free[
            order[:6]
        ].tolist()


def test_hybrid_goes_from_lcb_to_greedy():
    pool, features = pool_of()
    model, labelled, _ = trained(pool, features)

    def picks(progress=0.0, **kw):
        config = AcquisitionConfig(diversity="none", **kw)
        return [p.index for p in propose(model, pool, config, 8, Standing(labelled, progress=progress), RNG(0))]

    assert picks(strategy="hybrid", kappa=3) == picks(strategy="lcb", kappa=3)
    assert picks(strategy="hybrid", kappa=3, progress=1.0) == picks(strategy="greedy")


def test_before_any_label_the_first_batch_is_stratified_if_asked():
    pool, _ = pool_of()
    batch = propose(None, pool, AcquisitionConfig(initial="stratified"), 30, rng=RNG(0))
    share = np.bincount([p.cluster for p in batch], minlength=6) / 30
    expected = np.bincount(pool.clusters, minlength=6) / 60
    assert np.abs(share - expected).max() <= 1 / 30
    assert np.isnan(batch[0].mean_eV)


def test_before_any_label_the_first_batch_is_spread_out():
    """Maximin: whatever is left lies nearer to the batch than its members lie to one another."""
    pool, features = pool_of()
    batch = propose(None, pool, AcquisitionConfig(), 8, rng=RNG(0))
    chosen = [p.index for p in batch]
    apart = cdist(features[chosen], features[chosen])[np.triu_indices(8, 1)].min()
    rest = np.setdiff1d(np.arange(60), chosen)
    assert cdist(features[rest], features[chosen]).min(axis=1).max() <= apart
    assert np.isnan(batch[0].mean_eV)
    other = propose(None, pool, AcquisitionConfig(), 8, rng=RNG(5))
    assert other[0].index != batch[0].index  # the first one is drawn
    # One by one, with the earlier ones pending, is the same.
    asked = []
    for proposal in batch[1:]:
        asked.append((chosen[len(asked)], 0))
        following = propose(None, pool, AcquisitionConfig(), 1, Standing(pending=asked), RNG(9))
        assert following[0].index == proposal.index


def test_maximin_without_features_says_what_is_missing():
    pool, _ = pool_of()
    bare = CandidatePool(pool.compositions, pool.rows, pool.clusters)
    with pytest.raises(ValueError, match=r"pool\.features"):
        propose(None, bare, AcquisitionConfig(), 2)


def picks_of(model, pool, labelled, **options):
    config = AcquisitionConfig(diversity="none", **options)
    return [p.index for p in propose(model, pool, config, 8, Standing(labelled), RNG(0))]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.floats(-5, 5), st.floats(0.01, 100), st.integers(0, 99))
def test_top_k_knows_no_unit_and_no_zero_of_energy(wanted, shift, scale, seed):
    pool, features = pool_of(seed=seed)
    model, labelled, _ = trained(pool, features, seed=seed)

    class Moved:
        def predict(self, X, return_std=False):
            mean, sigma = model.predict(X, return_std=True)
            return (scale * mean + shift, scale * sigma) if return_std else scale * mean + shift

    there = [Observation(o.composition, 0, scale * o.value_eV + shift) for o in labelled]
    assert picks_of(Moved(), pool, there, strategy="top-k", wanted=wanted) == picks_of(
        model, pool, labelled, strategy="top-k", wanted=wanted
    )


def test_top_k_of_one_is_expected_improvement():
    pool, features = pool_of()
    model, labelled, _ = trained(pool, features)
    one = picks_of(model, pool, labelled, strategy="top-k", wanted=1)
    assert one == picks_of(model, pool, labelled, strategy="ei")
    batch = propose(model, pool, AcquisitionConfig(strategy="top-k", wanted=7), 3, Standing(labelled), RNG(0))
    assert "of the 7 best" in batch[0].reason


def test_every_place_of_a_top_k_batch_has_its_own_bar():
    """A sure small gain on the fourth best, an unlikely large one on the best: a batch of two takes both."""
    mean, sigma = np.array([0.33, 0.45, 0.60]), np.array([0.001, 0.15, 0.001])
    known = np.array([0.50, 0.20, 0.40, 0.30])

    def best_first(*ranks):
        return np.argsort(-scores.top_k(mean, sigma, known, np.array(ranks), RNG(0))).tolist()

    assert set(best_first(1, 4)[:2]) == {0, 1}
    assert best_first(1)[0] == 1
    assert best_first(4)[0] == 0
    assert best_first(400) == best_first(4)  # more than there are: better than the worst counts


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 99))
def test_places_go_round_all_bars_whether_filled_together_or_one_by_one(k, batch, before):
    together = scores.ranks_of_places(k, batch, before, batch)
    one_by_one = [int(scores.ranks_of_places(k, batch, before + i, 1)[0]) for i in range(batch)]
    assert together.tolist() == sorted(one_by_one)
    assert together[-1] == k
    assert (np.diff(together) >= 0).all()
    assert together[0] == -(-k // batch)


@given(st.floats(-2, 2), st.floats(0.01, 2), st.floats(0, 2), st.floats(-2, 2))
def test_expected_improvement_falls_with_the_mean_and_grows_with_the_bar(mean, sigma, step, bar):
    ei = scores.expected_improvement(np.array([mean, mean + step]), np.full(2, sigma), bar)
    assert ei[0] >= ei[1] - 1e-12
    assert scores.expected_improvement(np.array([mean]), np.array([sigma]), bar + step)[0] >= ei[0] - 1e-12


def test_stratified_takes_30_percent_of_every_cluster_over_several_rounds():
    """Tao et al.: 30 % of each of the groups, whatever the size of the batches."""
    pool, _ = pool_of(200, 8)
    labelled = []
    while len(labelled) < 60:
        batch = propose(
            None, pool, AcquisitionConfig(strategy="stratified"), 7, Standing(labelled), RNG(len(labelled))
        )
        labelled += [Observation(p.index, 0, 0.5) for p in batch]
    share = np.bincount(pool.clusters[[o.composition for o in labelled]], minlength=8)
    assert np.abs(share - 0.3 * np.bincount(pool.clusters, minlength=8)).max() <= 1.5


def test_cluster_quota_caps_a_cluster_and_prefers_unseen_ones():
    clusters = np.array([0, 0, 0, 0, 1, 1, 2, 3])
    order = np.arange(8)
    picks = diversity.cluster_quota(order, clusters, 4, 0.5, np.array([0]), 0.25)
    assert picks.tolist() == [4, 0, 1, 5]  # one place for an unseen cluster, then at most two of a cluster
    alone = diversity.cluster_quota(order, np.zeros(8, int), 4, 0.25, np.array([]), 0.0)
    assert alone.tolist() == [0, 1, 2, 3]  # one cluster only: the quota gives way


def test_lcmd_spreads_and_stays_away_from_what_is_known():
    rng = RNG(0)
    blobs = np.concatenate([rng.normal(size=(30, 2)) * 0.1 + c for c in ([0, 0], [10, 0], [0, 10], [10, 10])])
    picks = diversity.lcmd_of_top(np.arange(120), blobs, 3, 100.0, np.array([[0.0, 0.0]]))
    assert sorted(np.asarray(picks) // 30) == [1, 2, 3]
    first = diversity.lcmd_of_top(np.arange(120), blobs, 4, 100.0, np.empty((0, 2)))
    assert sorted(np.asarray(first) // 30) == [0, 1, 2, 3]
    same = diversity.lcmd_of_top(np.arange(9), np.ones((9, 2)), 4, 2.0, np.ones((1, 2)))
    assert len(set(same.tolist())) == 4


def test_kmeans_takes_the_best_of_each_group():
    blobs = np.repeat([[0.0, 0], [5, 0], [0, 5]], 4, axis=0) + RNG(0).normal(size=(12, 2)) * 0.01
    order = RNG(1).permutation(12)
    picks = diversity.kmeans_of_top(order, blobs, 3, 4.0, RNG(2))
    firsts = {next(int(p) for p in order if p // 4 == g) for g in range(3)}
    assert set(picks.tolist()) == firsts
    assert len(diversity.kmeans_of_top(np.arange(6), np.ones((6, 2)), 3, 2.0, RNG(0))) == 3


@given(st.floats(-2, 2), st.floats(0.01, 2), st.floats(-2, 2))
def test_expected_improvement_is_the_integral(mean, sigma, best):
    y = mean + sigma * np.linspace(-8, 8, 20_001)
    density = np.exp(-(((y - mean) / sigma) ** 2) / 2) / np.sqrt(2 * np.pi) / sigma
    gain = np.maximum(best - y, 0)
    expected = np.trapezoid(gain * density, y)
    ours = scores.expected_improvement(np.array([mean]), np.array([sigma]), best)[0]
    assert ours == pytest.approx(expected, abs=1e-4)
    below = np.trapezoid(density * (y < best), y)
    assert scores.probability_of_improvement(np.array([mean]), np.array([sigma]), best)[0] == pytest.approx(
        below, abs=2e-3
    )


def test_without_uncertainty_improvement_is_a_step():
    mean = np.array([0.5, 0.7])
    assert scores.expected_improvement(mean, np.zeros(2), 0.6).tolist() == pytest.approx([0.1, 0.0])
    assert scores.probability_of_improvement(mean, np.zeros(2), 0.6).tolist() == [1.0, 0.0]


def test_thompson_takes_the_minimum_of_every_draw():
    draws = RNG(0).normal(size=(4, 30))
    top = diversity.best_first(scores.thompson(draws, RNG(1)), RNG(0))[: len(set(draws.argmin(axis=1)))]
    assert set(top.tolist()) == set(draws.argmin(axis=1).tolist())


def test_a_composition_is_the_mean_of_its_orderings_with_their_spread():
    class Fixed:
        def predict(self, X, return_std=False):
            return X[:, 0] / 10, np.full(len(X), 0.3)

        def predict_members(self, X):
            return np.stack([X[:, 0] / 10, X[:, 0] / 5])

        def embed(self, X):
            return X.astype(float)

    rows = np.array([[0, 4], [2, 2]])
    estimator = CompositionEstimator(Fixed())
    mean, sigma = estimator.predict(rows, return_std=True)
    assert mean.tolist() == pytest.approx([0.2, 0.2])
    assert sigma.tolist() == pytest.approx([np.sqrt(0.09 + 0.08 / 2), 0.3])
    assert estimator.predict_members(rows).tolist() == pytest.approx(np.array([[0.2, 0.2], [0.4, 0.4]]))
    assert estimator.embed(rows).tolist() == [[2.0], [2.0]]


def test_constraints_and_pins():
    pool, features = pool_of()
    model, labelled, _ = trained(pool, features)
    allowed = np.zeros(60, dtype=bool)
    allowed[20:26] = True
    narrow = CandidatePool(pool.compositions, pool.rows, pool.clusters, allowed)
    batch = propose(model, narrow, AcquisitionConfig(), 10, Standing(labelled), RNG(0))
    assert {p.index for p in batch} == set(range(20, 26)) - {o.composition for o in labelled}
    free = [i for i in range(60) if i not in {o.composition for o in labelled}]
    pinned = propose(model, pool, AcquisitionConfig(), 4, Standing(labelled, pinned=[free[-1], free[-2]]), RNG(0))
    assert [p.index for p in pinned][:2] == [free[-1], free[-2]]
    assert pinned[0].reason.startswith("pinned by a person")
    assert len({p.index for p in pinned}) == 4


def test_a_batch_larger_than_what_is_left_is_what_is_left_and_then_nothing():
    pool, features = pool_of(10, 2)
    model, labelled, _ = trained(pool, features, labelled=7)
    assert len(propose(model, pool, AcquisitionConfig(), 5, Standing(labelled), RNG(0))) == 3
    everything = [Observation(i, 0, 0.5) for i in range(10)]
    assert propose(model, pool, AcquisitionConfig(), 5, Standing(everything), RNG(0)) == []


@pytest.mark.parametrize("strategy", ["stratified", "ei"])
@pytest.mark.parametrize("rule", DIVERSITIES)
@pytest.mark.parametrize("kind", ["one composition alone", "every composition alone", "all in one"])
def test_a_cluster_of_one(strategy, rule, kind):
    pool, features = pool_of(20)
    clusters = {
        "one composition alone": np.array([0] * 19 + [1]),
        "every composition alone": np.arange(20),
        "all in one": np.zeros(20, dtype=int),
    }[kind]
    pool = CandidatePool.of(pool.compositions, clusters, 1)
    model = Ridge(features).fit(np.arange(4)[:, None], features[:4, 0])
    labelled = [Observation(i, 0, float(features[i, 0])) for i in range(4)]
    config = AcquisitionConfig(strategy=strategy, diversity=rule, unseen_share=0.25)
    batch = [p.index for p in propose(model, pool, config, 8, Standing(labelled), RNG(0))]
    assert len(set(batch)) == 8
    assert not set(batch) & set(range(4))
    if strategy == "ei" and rule == "cluster-quota" and kind == "one composition alone":
        assert batch[0] == 19  # nobody has looked there
    rest = propose(model, pool, config, 30, Standing(labelled), RNG(0))
    assert sorted(p.index for p in rest) == list(range(4, 20))


def test_equal_predictions_give_a_random_batch():
    class Flat:
        def predict(self, X, return_std=False):
            return np.ones(len(X)), np.zeros(len(X))

        def predict_members(self, X):
            return np.ones((3, len(X)))

        def embed(self, X):
            return np.ones((len(X), 2))

    pool, _ = pool_of()
    labelled = [Observation(0, 0, 1.0)]
    for strategy in STRATEGIES:
        for rule in DIVERSITIES:
            config = AcquisitionConfig(strategy=strategy, diversity=rule)
            seen = {
                tuple(p.index for p in propose(Flat(), pool, config, 4, Standing(labelled), RNG(s))) for s in range(5)
            }
            assert len(seen) > 1 or strategy == "maximin", (strategy, rule)  # it looks at no prediction
            assert all(len(set(batch)) == 4 for batch in seen)


def test_a_promising_composition_is_asked_for_again_where_orderings_spread():
    pool, features = pool_of(orderings=3)
    model, labelled, truth = trained(pool, features, labelled=20)
    best = int(np.argmin(truth[pool.rows[:, 0]]))
    noisy = [o for o in labelled if o.composition != best]
    noisy += [Observation(o.composition, 1, o.value_eV + d) for o, d in zip(noisy, [0.5, -0.5] * 10, strict=False)]
    noisy.append(Observation(best, 0, float(truth[pool.rows[best, 0]]) - 0.5))
    once = propose(model, pool, AcquisitionConfig(strategy="lcb", diversity="none"), 5, Standing(noisy), RNG(0))
    assert best not in {p.index for p in once}
    config = AcquisitionConfig(strategy="lcb", diversity="none", max_orderings=3)
    early = propose(model, pool, config, 5, Standing(noisy, progress=0.5), RNG(0))
    assert [p.index for p in early] == [p.index for p in once], "before `repeat_from` only new ones"
    again = {p.index: p for p in propose(model, pool, config, 5, Standing(noisy, progress=0.8), RNG(0))}
    assert again[best].ordering == 1
    assert "ordering 2 of a labelled composition: one more label is worth" in again[best].reason
    waiting = propose(model, pool, config, 5, Standing(noisy, [(best, 1)], progress=0.8), RNG(0))
    assert best not in {p.index for p in waiting}


@pytest.mark.parametrize(
    ("batch", "labelled", "message"),
    [
        (0, [], "at least 1"),
        (1, [Observation(3, 0, float("nan"))], "composition 3 is not finite"),
        (1, [Observation(60, 0, 0.5)], "outside the pool of 60"),
    ],
)
def test_bad_input_is_one_clear_line(batch, labelled, message):
    pool, _ = pool_of()
    with pytest.raises(ValueError, match=message):
        propose(None, pool, AcquisitionConfig(), batch, Standing(labelled))
    with pytest.raises(ValueError, match="clusters has 3 entries for 60"):
        CandidatePool.of(pool.compositions, np.zeros(3, int))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 12), st.integers(0, 1000), st.sampled_from(DIVERSITIES))
def test_no_composition_twice_over_a_whole_campaign(batch, seed, rule):
    pool, features = pool_of(40, 5, seed=seed % 7)
    truth = features @ np.array([0.3, -0.2, 0.1, 0.05])
    labelled, model = [], None
    while chosen := propose(
        model, pool, AcquisitionConfig(diversity=rule), batch, Standing(labelled), RNG(seed + len(labelled))
    ):
        labelled += [Observation(p.index, 0, float(truth[p.index])) for p in chosen]
        model = Ridge(features).fit(
            np.array([[o.composition] for o in labelled]), np.array([o.value_eV for o in labelled])
        )
    assert sorted(o.composition for o in labelled) == list(range(40))


def test_one_by_one_the_quota_is_that_of_the_last_few_together():
    """Without `recent` every single proposal would be a batch of its own, and its cluster's share all of it."""
    order, clusters = np.arange(12), np.array([0] * 8 + [1] * 4)
    asked: list[int] = []
    for _ in range(4):
        free = np.array([p for p in order if p not in asked])
        mine = clusters[asked]
        pick = diversity.cluster_quota(np.arange(len(free)), clusters[free], 1, 0.5, mine, 0.0, mine)
        asked.append(int(free[pick[0]]))
    assert sorted(clusters[asked]) == [0, 0, 1, 1]
    assert sorted(clusters[diversity.cluster_quota(order, clusters, 4, 0.5, np.array([]), 0.0)]) == [0, 0, 1, 1]


def test_one_by_one_exploration_keeps_its_share():
    """A quarter of a batch of four: one goes to an unseen cluster, and not each of the four."""
    order, clusters = np.arange(12), np.repeat([0, 1, 2], 4)
    seen = [0] * 5
    first = diversity.cluster_quota(order, clusters, 1, 1.0, np.array(seen), 0.25, seen[-3:])
    assert clusters[first[0]] == 1
    seen.append(1)
    after = diversity.cluster_quota(order, clusters, 1, 1.0, np.array(seen), 0.25, seen[-3:])
    assert clusters[after[0]] == 0


def test_one_by_one_kmeans_leaves_the_groups_that_are_taken():
    blobs = np.concatenate([np.full((4, 2), 10.0 * k) for k in range(4)]) + RNG(0).normal(0, 0.1, (16, 2))
    order = np.arange(16)
    pick = diversity.kmeans_of_top(order, blobs, 1, 16.0, RNG(1), blobs[[0, 4, 8]])
    assert pick[0] == 12
