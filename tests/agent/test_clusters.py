"""Descriptors against matminer, clusters against SciPy, the two-stage form against the exact one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition as Formula
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from agent.clusters import ClusterConfig, agreement, cluster, plot_dendrogram
from agent.composition import Composition
from agent.descriptors import describe
from agent.hosts import load_host
from agent.space import build_space

NZSP = load_host("nzsp")
SPACE = build_space(NZSP).compositions
FEATURES = describe(NZSP, SPACE).scaled()


def test_formula_statistics_are_matminers():
    from matminer.featurizers.composition import ElementProperty

    preset = ElementProperty.from_preset("magpie", impute_nan=True)
    ours = describe(NZSP, SPACE[::150], scope="formula")
    theirs = [preset.featurize(Formula(c.formula(NZSP))) for c in SPACE[::150]]
    np.testing.assert_allclose(ours.values[:, :132], theirs, atol=1e-9)
    assert ours.names[:6] == tuple(label.removeprefix("MagpieData ") for label in preset.feature_labels()[:6])


def test_the_entropy_papers_descriptors():
    """Zuo et al.: mean radius, electronegativity, valence and entropy of the metal site; here of Zr4+ alone."""
    values = describe(NZSP, [Composition.of(NZSP, {})]).values[0, -4:]
    assert values == pytest.approx([0.72, 1.33, 4.0, 0.0])
    mixed = describe(NZSP, [Composition.of(NZSP, {"Sc": 1, "Nb": 1})]).values[0, -4:]
    assert mixed[0] == pytest.approx((6 * 0.72 + 0.745 + 0.64) / 8)
    assert mixed[2] == pytest.approx(4.0)


def test_scaled_columns_vary_and_have_unit_variance():
    assert np.isfinite(FEATURES).all()
    np.testing.assert_allclose(FEATURES.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(FEATURES.std(axis=0), 1)
    assert describe(NZSP, SPACE[:1]).scaled().shape == (1, 0)


def test_exact_clusters_are_scipys_and_the_largest_is_0():
    ours = cluster(FEATURES)
    assert not ours.two_stage
    theirs = fcluster(linkage(FEATURES, method="average"), 20, criterion="maxclust")
    assert adjusted_rand_score(ours.labels, theirs) == pytest.approx(1)
    assert len(ours.sizes) == 20
    assert (np.diff(ours.sizes) <= 0).all()


def test_two_stages_find_well_separated_clusters_exactly():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 6)) * 20
    points = np.concatenate([c + rng.normal(size=(60, 6)) for c in centres])
    assert agreement(points, ClusterConfig(micro_clusters=200)) == pytest.approx(1)


def test_two_stages_agree_with_the_exact_tree_on_the_real_space():
    assert agreement(FEATURES) > 0.7


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(1, 25), st.integers(0, 5))
def test_any_number_of_rows_and_groups(rows, groups, seed):
    points = np.random.default_rng(seed).normal(size=(rows, 3))
    labels = cluster(points, ClusterConfig(groups=groups)).labels
    assert len(labels) == rows
    assert len(set(labels.tolist())) == min(rows, groups)


def test_identical_compositions_are_one_cluster():
    assert set(cluster(np.zeros((30, 2))).labels) == {0}


@pytest.mark.parametrize(
    ("points", "message"), [(np.empty((0, 3)), "no compositions"), (np.array([[1, np.nan]] * 2), "row 0")]
)
def test_bad_features_say_which(points, message):
    with pytest.raises(ValueError, match=message):
        cluster(points)


def test_dendrogram_is_drawn(tmp_path):
    path = tmp_path / "tree.png"
    plot_dendrogram(cluster(FEATURES), path, 20)
    assert path.stat().st_size > 10_000
