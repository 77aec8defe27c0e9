"""Continuous symmetry measures: zero for ideal polyhedra, blind to what does not matter, equal to ChemEnv's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from models.polyhedra import ideal_corners, symmetry_measure

SHAPES = ("T:4", "O:6")
shapes = st.sampled_from(SHAPES)
seeds = st.integers(0, 2**31)


def distorted(geometry: str, amount: float, seed: int) -> np.ndarray:
    corners = ideal_corners(geometry)
    return corners + amount * np.random.default_rng(seed).normal(size=corners.shape)


@pytest.mark.parametrize("geometry", [*SHAPES, "C:8", "T:6"])
def test_an_ideal_polyhedron_measures_zero(geometry: str) -> None:
    assert symmetry_measure(ideal_corners(geometry)[None] * 2.07, geometry)[0] == pytest.approx(0, abs=1e-10)


@settings(max_examples=60, deadline=None)
@given(shapes, st.floats(0.01, 0.6), seeds)
def test_rotation_reflection_size_and_the_order_of_corners_do_not_matter(geometry, amount, seed) -> None:
    corners = distorted(geometry, amount, seed)
    rng = np.random.default_rng(seed + 1)
    turned = Rotation.random(rng=rng).as_matrix() * rng.choice([-1, 1])
    other = rng.permutation(corners) @ turned * rng.uniform(0.5, 4)
    both = symmetry_measure(np.stack([corners, other]), geometry)
    assert both[0] == pytest.approx(both[1], abs=1e-8)
    assert 0 <= both[0] <= 100


@settings(max_examples=30, deadline=None)
@given(shapes, st.floats(0.001, 0.15), seeds)
def test_small_distortions_cost_their_square(geometry, amount, seed) -> None:
    small = symmetry_measure(distorted(geometry, amount / 10, seed)[None], geometry)[0]
    large = symmetry_measure(distorted(geometry, amount, seed)[None], geometry)[0]
    assert large == pytest.approx(100 * small, rel=0.5)


def test_the_wrong_polyhedron_is_far_from_ideal() -> None:
    """A trigonal prism as an octahedron: 16.74 in the literature (without the central atom)."""
    prism = symmetry_measure(ideal_corners("T:6")[None], "O:6")[0]
    assert prism == pytest.approx(16.7, abs=0.8)
    square = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], float)
    assert symmetry_measure(square[None], "T:4")[0] == pytest.approx(33.3, abs=0.4)  # 33.33 in the literature


@pytest.mark.parametrize("geometry", SHAPES)
@pytest.mark.parametrize("amount", [0.05, 0.2, 0.5])
def test_it_is_chemenvs_measure(geometry: str, amount: float) -> None:
    from pymatgen.analysis.chemenv.coordination_environments import coordination_geometry_finder as chemenv
    from pymatgen.analysis.chemenv.coordination_environments.coordination_geometries import AllCoordinationGeometries

    corners, ideal = distorted(geometry, amount, 7), AllCoordinationGeometries()[geometry]
    finder, how = (
        chemenv.LocalGeometryFinder(),
        {"centering_type": "centroid", "include_central_site_in_centroid": True},
    )
    finder.setup_parameters(**how)
    finder.local_geometry = chemenv.AbstractGeometry(central_site=np.zeros(3), bare_coords=corners, **how)
    finder.perfect_geometry = chemenv.AbstractGeometry.from_cg(ideal, **how)
    perfect = finder.perfect_geometry.points_wcs_ctwcc()
    measures = finder.coordination_geometry_symmetry_measures(ideal, points_perfect=perfect)[0]
    expected = min(one["symmetry_measure"] for one in measures)
    assert symmetry_measure(corners[None], geometry)[0] == pytest.approx(expected, abs=1e-8)


def test_unknown_polyhedra_and_wrong_numbers_of_corners_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'Q:9' is not one of .*T:4"):
        ideal_corners("Q:9")
    with pytest.raises(ValueError, match=r"O:6 has corners of shape \(n, 6, 3\), got \(1, 4, 3\)"):
        symmetry_measure(np.zeros((1, 4, 3)), "O:6")
