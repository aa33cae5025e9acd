"""D²min and local strain against exact deformations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulated_tracks import relaxed, table, triangular

from colloidlab.errors import InputError
from colloidlab.indicators import d2min, d2min_table
from colloidlab.indicators.adjacency import adjacency_of
from colloidlab.indicators.affine_fit import fit_affine
from colloidlab.indicators.neighbours import pairs_within


def _rotation(n_dim: int, angle: float) -> np.ndarray:
    turn = np.eye(n_dim)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn


@pytest.mark.parametrize("n_dim", [2, 3])
def test_rigid_motion_is_neither_strain_nor_rearrangement(n_dim: int) -> None:
    points = np.random.default_rng(1).uniform(0, 10, (300, n_dim))
    found = d2min(points, points @ _rotation(n_dim, 1.1).T + 5.0, cutoff=2.5)
    solid = found.n_neighbours > n_dim
    assert solid.sum() > 250
    assert np.abs(found.d2min[solid]).max() < 1e-10
    assert np.abs(found.strain[solid]).max() < 1e-10


@pytest.mark.parametrize("n_dim", [2, 3])
def test_homogeneous_deformation_gives_the_exact_strain(n_dim: int) -> None:
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 10, (300, n_dim))
    f = np.eye(n_dim) + rng.normal(0, 0.2, (n_dim, n_dim))
    found = d2min(points, points @ f.T, cutoff=2.5)
    solid = np.isfinite(found.d2min)
    assert solid.sum() > 250
    assert found.d2min[solid].max() < 1e-10
    np.testing.assert_allclose(
        found.strain[solid],
        np.broadcast_to(0.5 * (f.T @ f - np.eye(n_dim)), found.strain[solid].shape),
        atol=1e-10,
    )


def test_one_displaced_particle_in_a_lattice() -> None:
    # Six neighbours at distance 1: Y = 3·1 by symmetry. The centre moves by u, so that every
    # separation changes by −u, X is unchanged (ΣR = 0), and D²min = 6 u². A neighbour sees one bond
    # of six change by u: F − 1 = u Rᵀ/3, residual u² (1 − 2/3 · 1 + 1/9 · Σ(R·R')²) = u² (1 − 1/3).
    points = triangular(9, 10)
    centre = 4 * 10 + 4
    u = np.array([0.03, 0.04])
    moved = points.copy()
    moved[centre] += u
    found = d2min(points, moved, cutoff=1.2)
    assert found.n_neighbours[centre] == 6
    assert found.d2min[centre] == pytest.approx(6 * u @ u, rel=1e-10)
    beside = np.flatnonzero(np.abs(np.hypot(*(points - points[centre]).T) - 1) < 1e-9)
    np.testing.assert_allclose(found.d2min[beside], u @ u * 2 / 3, rtol=1e-10)


def test_periodic_neighbourhoods_cross_the_box() -> None:
    points = triangular(8, 10)
    box = np.array([8, 10 * np.sqrt(3) / 2])
    shifted = (points + [3.3, -2.2]) % box
    found = d2min(points, shifted, cutoff=1.2, box=box)
    assert (found.n_neighbours == 6).all()
    assert found.d2min.max() < 1e-12
    # Without the box, particles that left on one side seem to have crossed it.
    assert np.nanmax(d2min(points, shifted, cutoff=1.2).d2min) > 1


def test_agrees_with_a_direct_least_squares_fit() -> None:
    rng = np.random.default_rng(4)
    before = relaxed(rng, 80, 10.0, 1.1)
    after = before + rng.normal(0, 0.1, before.shape)
    found = d2min(before, after, cutoff=1.8)
    for i in range(80):
        near = np.flatnonzero((np.hypot(*(before - before[i]).T) <= 1.8) & (np.arange(80) != i))
        if near.size < 3:
            assert np.isnan(found.d2min[i])
            continue
        _, residual, _, _ = np.linalg.lstsq(before[near] - before[i], after[near] - after[i], rcond=None)
        assert found.d2min[i] == pytest.approx(residual.sum(), rel=1e-9)


def test_too_few_or_collinear_neighbours_give_nan_and_absent_ones_do_not_count() -> None:
    line = np.column_stack([np.arange(6.0), np.zeros(6)])
    assert np.isnan(d2min(line, line, cutoff=3).d2min).all()
    square = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1], [9, 9]])
    found = d2min(square, square, cutoff=2)
    assert np.isfinite(found.d2min).tolist() == [True] * 4 + [False]
    gone = square.copy()
    gone[3] = np.nan
    assert d2min(square, gone, cutoff=2).n_neighbours.tolist() == [2, 2, 2, 0, 0]


def test_table_takes_the_frame_a_lag_earlier_and_only_particles_in_both() -> None:
    base = triangular(6, 6, spacing=10)
    shear = np.array([[1, 0.02], [0, 1]])
    frames = np.stack([base @ np.linalg.matrix_power(shear, k).T for k in range(5)])
    tracks = table(frames)
    tracks = tracks[~((tracks.particle == 14) & (tracks.frame == 3)) & (tracks.frame != 2)]
    found = d2min_table(tracks, lag_frames=3, cutoff_px=12)
    assert sorted(found.frame.unique()) == [3, 4]
    assert 14 not in found[found.frame == 3].particle.to_numpy()
    assert 14 in found[found.frame == 4].particle.to_numpy()
    total = np.linalg.matrix_power(shear, 3)
    strain = 0.5 * (total.T @ total - np.eye(2))
    own = found[(found.frame == 3) & (found.particle == 15)].iloc[0]
    assert own[["strain_xx", "strain_xy", "strain_yy"]].tolist() == pytest.approx(
        [strain[0, 0], strain[0, 1], strain[1, 1]], abs=1e-12
    )
    assert own.n_neighbours == 5
    assert found.d2min_px2.max() < 1e-10
    nothing = d2min_table(tracks, lag_frames=50, cutoff_px=12)
    assert nothing.empty and list(nothing.columns) == list(found.columns)
    assert isinstance(nothing, pd.DataFrame) and nothing.frame.dtype == np.int64


@pytest.mark.parametrize("n_dim", [2, 3])
def test_far_from_the_origin_no_digits_are_lost(n_dim: int) -> None:
    points = np.random.default_rng(5).uniform(0, 10, (200, n_dim))
    far = 2.0**23 + np.round(points * 2**20) / 2**20  # whole multiples of 2^-20 stay exact out there
    turned = (far - 2.0**23) @ np.diag([1.5, 0.75, 2.0][:n_dim]) + 2.0**23  # and so do these products
    found = d2min(far, turned, cutoff=2.5)
    solid = np.isfinite(found.d2min)
    assert solid.sum() > 150
    assert found.d2min[solid].max() < 1e-10
    np.testing.assert_allclose(
        found.gradient[solid],
        np.broadcast_to(np.diag([1.5, 0.75, 2.0][:n_dim]), (solid.sum(), n_dim, n_dim)),
        atol=1e-9,
    )


def test_neighbours_may_be_given_averaged_or_from_a_triangulation() -> None:
    rng = np.random.default_rng(6)
    before = triangular(12, 12) + rng.normal(0, 0.02, (144, 2))
    after = before + rng.normal(0, 0.05, before.shape)
    own = d2min(before, after, cutoff=1.3)
    given = fit_affine(before, after, adjacency_of(pairs_within(before, 1.3), 144), mean=True)
    known = np.isfinite(own.d2min)
    np.testing.assert_allclose(
        given.d2min[known] * own.n_neighbours[known], own.d2min[known], rtol=1e-12, atol=0
    )
    # In a nearly perfect lattice the Delaunay neighbours are those of the first shell, away from the edge.
    mesh = d2min(before, after, neighbours="delaunay")
    inside = ((before > 1.5) & (before < [10, 8])).all(axis=1)
    assert inside.sum() > 50
    np.testing.assert_allclose(mesh.d2min[inside], own.d2min[inside], rtol=1e-12)
    np.testing.assert_allclose(
        d2min(before, after, neighbours="delaunay", cutoff=1.3).d2min, own.d2min, rtol=1e-12
    )
    # Someone who left is no neighbour, but still keeps those on either side of him apart.
    gone = after.copy()
    gone[70] = np.nan
    assert d2min(before, gone, neighbours="delaunay").n_neighbours[71] == mesh.n_neighbours[71] - 1
    with pytest.raises(InputError, match="cutoff"):
        d2min(before, after)
    with pytest.raises(InputError, match="100 particles"):
        fit_affine(before, after, adjacency_of(pairs_within(before[:100], 1.3), 100))


def test_table_since_one_frame_and_in_three_dimensions() -> None:
    rng = np.random.default_rng(7)
    base = rng.uniform(0, 60, (150, 3))
    shear = np.eye(3) + rng.normal(0, 0.02, (3, 3))
    tracks = table(np.stack([base @ np.linalg.matrix_power(shear, k).T for k in range(4)]))
    found = d2min_table(tracks, reference_frame=1, cutoff_px=16)
    assert sorted(found.frame.unique()) == [0, 2, 3]
    last = found[(found.frame == 3) & found.d2min_px2.notna()]
    total = shear @ shear
    strain = 0.5 * (total.T @ total - np.eye(3))
    for name, (a, b) in {"xx": (0, 0), "xy": (0, 1), "yz": (1, 2), "xz": (0, 2), "zz": (2, 2)}.items():
        np.testing.assert_allclose(last[f"strain_{name}"], strain[a, b], atol=1e-10)
    assert found.d2min_error_px2.isna().all() and found.rearranged.isna().all()
    assert not d2min_table(tracks, lag_frames=1, cutoff_px=16, sigma_px=1e-3).d2min_error_px2.isna().all()
    with pytest.raises(InputError, match="not both"):
        d2min_table(tracks, cutoff_px=16)
    with pytest.raises(InputError, match="reference frame 9"):
        d2min_table(tracks, reference_frame=9, cutoff_px=16)
