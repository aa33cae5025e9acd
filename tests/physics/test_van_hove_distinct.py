"""Distinct van Hove function: g(r) at no lag, ideal gas and drift in an open view, a lattice that wanders."""

from __future__ import annotations

import numpy as np
import pytest
from simulated_tracks import brownian, table, triangular

from colloidlab.errors import InputError
from colloidlab.indicators import pair_correlation
from colloidlab.indicators.van_hove_distinct import van_hove_distinct


@pytest.mark.parametrize("n_dim", [2, 3])
def test_is_g_of_r_at_no_lag(n_dim: int) -> None:
    rng = np.random.default_rng(1)
    sides = np.array([20.0, 13.0, 17.0])[:n_dim]
    paths = rng.uniform(0, 1, (5, 120, n_dim)) * sides
    for place in ({"region": (np.zeros(n_dim), sides)}, {"box": sides}):
        g = pair_correlation(list(paths), r_max=6, n_bins=20, **place)
        distinct = van_hove_distinct(table(paths), lag=0, r_max=6, n_bins=20, **place)
        np.testing.assert_allclose(distinct.y, g.y, rtol=1e-10)
        np.testing.assert_allclose(distinct.y_low, g.y_low, rtol=1e-8)


@pytest.mark.parametrize("drift", ["none", "mean"])
def test_gas_that_comes_and_goes_is_one_everywhere(drift: str) -> None:
    rng = np.random.default_rng(2)
    flow = np.arange(80)[:, None, None] * np.array([0.25, -0.1])
    tracks = table((brownian(rng, 80, 1200, d=0.1, side=40.0) + flow) % 40)
    view = tracks[(tracks.x < 22) & (tracks.y < 13)]
    options = {"lag": 8, "r_max": 10, "n_bins": 12, "region": ((0, 0), (22, 13))}
    curve = van_hove_distinct(view, drift=drift, **options)
    assert np.abs(curve.y[1:] - 1).max() < 0.04
    scores = (curve.y - 1) / ((curve.y_high - curve.y_low) / 4)
    assert np.abs(scores).max() < 4.5


@pytest.mark.parametrize("periodic", [True, False])
def test_a_lattice_that_moves_as_a_whole_keeps_its_shells(periodic: bool) -> None:
    box = np.array([12.0, 7 * np.sqrt(3) * 2])
    points = triangular(12, 28)
    shift = np.array([0.31, -0.17])
    paths = np.stack([points + k * shift for k in range(12)])
    place = {"box": box} if periodic else {"region": ((-6.0, -6.0), (18.0, 30.0))}
    options = {"r_max": 2.53, "n_bins": 46, **place}
    still = van_hove_distinct(table(paths), lag=0, **options)
    moved = van_hove_distinct(table(paths), lag=9, drift="mean", **options)
    assert ((moved.y > 0) == (still.y > 0)).all()
    if periodic:
        np.testing.assert_allclose(moved.y, still.y, atol=1e-10)
    left = van_hove_distinct(table(paths), lag=9, **options)
    assert np.abs(left.y - still.y).max() > 0.5 * still.y.max()


def test_neighbours_take_the_place_at_long_times() -> None:
    rng = np.random.default_rng(3)
    box = np.array([20.0, 12 * np.sqrt(3)])
    start = triangular(20, 24)
    paths = start + np.concatenate(
        [np.zeros((1, 480, 2)), np.cumsum(rng.normal(0, 0.1, (200, 480, 2)), axis=0)]
    )
    origin, late = (
        van_hove_distinct(table(paths[[0, k]] % box), lag=1, r_max=5, n_bins=20, box=box) for k in (1, 200)
    )
    assert origin.y[:2].max() == 0 and origin.y.max() > 1.5
    # After 2 D τ = 2 per axis the lattice has melted: others stand where each one stood, as anywhere else.
    np.testing.assert_allclose(late.y, 1, atol=0.25)


def test_what_cannot_be_computed_is_refused() -> None:
    rng = np.random.default_rng(4)
    tracks = table(rng.uniform(0, 10, (3, 5, 2)))
    with pytest.raises(InputError, match="no two frames 7 apart"):
        van_hove_distinct(tracks, lag=7, r_max=3, n_bins=5, box=(10, 10))
    with pytest.raises(InputError, match="beyond the 5"):
        van_hove_distinct(tracks, lag=1, r_max=6, n_bins=5, box=(10, 10))
    running = table(np.arange(3)[:, None, None] * np.array([4.0, 0]) + rng.uniform(0, 2, (3, 5, 2)))
    with pytest.raises(InputError, match="shorter lag"):
        van_hove_distinct(running, lag=1, r_max=7, n_bins=5, region=((0, 0), (10, 10)), drift="mean")
