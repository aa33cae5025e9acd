"""ψ6 against the perfect lattice, against freud, and its honesty at the edge."""

from __future__ import annotations

from dataclasses import replace

import freud
import numpy as np
import pytest
from scipy.spatial import Delaunay
from simulated_tracks import relaxed, table, triangular

from colloidlab.indicators import psi, psi6, psi6_table, psi_table
from colloidlab.indicators.bond_order import PSI6_COLUMNS, bond_order, bond_order_error
from colloidlab.indicators.triangulation import triangulate


@pytest.mark.parametrize("angle", [0.0, 0.2, 0.5])
def test_perfect_lattice_has_order_one_in_its_direction(angle: float) -> None:
    points = triangular(20, 20, spacing=7.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    order = psi6(points @ turn.T + 1000.0)
    sure = np.isfinite(order)
    assert 200 < sure.sum() < 400
    np.testing.assert_allclose(np.abs(order[sure]), 1.0, atol=1e-9)
    np.testing.assert_allclose(np.exp(1j * (np.angle(order[sure]) - 6 * angle)), 1.0, atol=1e-9)


def test_a_square_packing_has_four_folds_whichever_diagonals_are_neighbours() -> None:
    rng = np.random.default_rng(4)
    i, j = np.mgrid[:16, :16]
    points = 5.0 * np.column_stack([i.ravel(), j.ravel()]) + rng.normal(0, 0.02, (256, 2))
    weighted, plain = psi(points, 4, weighted=True), psi(points, 4)
    sure = np.isfinite(weighted)
    assert sure.sum() == 144
    # The shorter of the two diagonals is a neighbour: each takes the sum by −1 and the number by 1.
    assert np.abs(weighted[sure]).min() > 0.95 and np.abs(plain[sure]).mean() < 0.5
    np.testing.assert_allclose(np.angle(weighted[sure]) / 4, 0, atol=0.02)
    found = psi_table(table(points[None]), 4)
    np.testing.assert_allclose(found["psi4"], np.abs(weighted))
    np.testing.assert_allclose(found["psi4_angle_rad"], np.angle(weighted) / 4)
    # A triangular lattice has cells with equal edges, for which weights change nothing.
    hexagons = triangular(12, 12, spacing=7.0) + 50.0
    np.testing.assert_allclose(psi(hexagons, 6, weighted=True), psi6(hexagons), atol=1e-9)


def test_same_as_freud_with_the_same_neighbours() -> None:
    points = relaxed(np.random.default_rng(3), 200, 30.0, 1.9)
    order = psi6(points)
    starts, neighbours = Delaunay(points).vertex_neighbor_vertices
    pairs = np.column_stack([np.repeat(np.arange(200), np.diff(starts)), neighbours])
    gap = points[pairs[:, 1]] - points[pairs[:, 0]]
    flat = np.column_stack([gap, np.zeros(len(gap))])
    nlist = freud.locality.NeighborList.from_arrays(200, 200, pairs[:, 0], pairs[:, 1], flat)
    box = freud.box.Box.square(70)  # freud has single precision: keep the numbers small
    peer = freud.order.Hexatic(k=6).compute(
        (box, np.column_stack([points - 15, np.zeros(200)])), neighbors=nlist
    )
    sure = np.isfinite(order)
    assert sure.sum() > 100
    np.testing.assert_allclose(order[sure], peer.particle_order[sure], atol=2e-5)


def test_what_is_finite_in_a_view_is_what_the_whole_sample_gives() -> None:
    points = relaxed(np.random.default_rng(5), 400, 40.0, 2.0)
    whole = psi6(points)
    view = (10.0, 10.0, 30.0, 30.0)
    inside = np.flatnonzero(((points > 10) & (points < 30)).all(axis=1))
    seen = psi6(points[inside], region=view)
    sure = np.isfinite(seen)
    assert sure.sum() > 0.4 * inside.size
    np.testing.assert_allclose(seen[sure], whole[inside][sure], atol=1e-12)


def test_degenerate_positions_are_nan() -> None:
    assert np.isnan(psi6(np.zeros((0, 2)))).all() and psi6(np.zeros((0, 2))).size == 0
    assert np.isnan(psi6(np.array([[0.0, 0], [1, 0], [0, 1]]))).all()
    assert np.isnan(psi6(np.column_stack([np.arange(9.0), np.arange(9.0)]))).all()
    with_gap = triangular(8, 8)
    with_gap[10] = np.nan
    assert np.isnan(psi6(with_gap)[10]) and np.isfinite(psi6(with_gap)).sum() > 10


def test_table_has_every_row_with_modulus_and_direction() -> None:
    turn = np.array([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]])
    points = triangular(10, 10, spacing=9.0)
    tracks = table(np.stack([points, points @ turn.T]))
    found = psi6_table(tracks)
    assert len(found) == 200
    assert found.psi6.max() == pytest.approx(1.0)
    directions = found.dropna(subset="psi6").groupby("frame").psi6_angle_rad.mean()
    assert directions.tolist() == pytest.approx([0.0, 0.1], abs=1e-9)


@pytest.mark.parametrize("n", [6, 5])
def test_localisation_errors_scatter_the_modulus_as_stated(n: int) -> None:
    rng = np.random.default_rng(5)
    points = relaxed(rng, 200, 30.0, 1.9)
    sigma = rng.uniform(0.002, 0.008, points.shape)
    mesh = triangulate(points)
    stated = bond_order_error(mesh, sigma, n)
    i, j = mesh.edges.T
    trials = []
    for _ in range(400):
        moved = points + sigma * rng.normal(size=points.shape)
        trials.append(np.abs(bond_order(replace(mesh, bonds=moved[j] - moved[i]), n)))
    found, order = np.std(trials, axis=0), np.abs(bond_order(mesh, n))
    first_order = mesh.certain & (order > 4 * stated) & (order < 1 - 4 * stated)
    assert first_order.sum() > 80
    # 400 trials know a standard deviation to 3.5 %.
    deviation = (found / stated - 1)[first_order] / 0.035
    assert abs(deviation.mean()) < 0.5 and 0.8 < deviation.std() < 1.4
    assert np.isnan(stated[~mesh.certain]).all() and np.isfinite(stated[mesh.certain]).all()


def test_the_error_is_in_the_table_where_the_tracks_state_theirs() -> None:
    points = relaxed(np.random.default_rng(3), 120, 22.0, 1.9)
    tracks = table(np.stack([points, points + 0.1]))
    assert psi6_table(tracks)["psi6_error"].isna().all()
    known = tracks.assign(sigma_x_px=0.02, sigma_y_px=0.03).sample(frac=1, random_state=1)
    found = psi6_table(known)
    expected = bond_order_error(triangulate(points), np.full((120, 2), (0.02, 0.03)))
    np.testing.assert_allclose(found["psi6_error"][:120], expected, rtol=1e-6)
    assert tuple(found.columns) == PSI6_COLUMNS
