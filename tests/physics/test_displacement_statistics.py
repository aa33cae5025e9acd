"""Van Hove function, non-Gaussian parameter and F_s: exact laws, gaps, localisation error, and sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import j0
from simulated_tracks import brownian, table

from colloidlab.errors import InputError
from colloidlab.indicators import msd, non_gaussian, self_scattering, van_hove
from colloidlab.indicators.curve import Curve

D, Q = 0.1, 1.3


def inside(curve: Curve, truth: np.ndarray) -> float:
    """Share of the points whose band, twice as wide, holds the truth."""
    low, high = 2 * curve.y_low - curve.y, 2 * curve.y_high - curve.y
    return float(np.mean((low <= truth) & (truth <= high)))


def test_brownian_motion_has_its_exact_statistics_through_gaps() -> None:
    rng = np.random.default_rng(1)
    sigma = 0.2
    tracks = table(brownian(rng, 200, 300, d=D, sigma=sigma), drop=0.3, rng=rng)
    alpha = non_gaussian(tracks, max_lag=12)
    assert np.abs(alpha.y).max() < 0.02 and inside(alpha, np.zeros(12)) == 1
    scattered = self_scattering(tracks, q=Q, max_lag=12)
    truth = np.exp(-(Q**2) * (D * scattered.x + sigma**2))
    np.testing.assert_allclose(scattered.y, truth, atol=0.01)
    assert inside(scattered, truth) == 1
    found = van_hove(tracks, lag=5)
    assert found.curve.y.sum() * np.diff(found.curve.x)[0] == pytest.approx(1, abs=1e-4)
    variance = 2 * D * 5 + 2 * sigma**2
    exact = np.exp(-(found.curve.x**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    # Beyond three standard deviations bins are empty, and an empty bin has no band.
    middle = np.abs(found.curve.x) < 3 * np.sqrt(variance)
    bands = Curve(*(v[middle] for v in vars(found.curve).values() if isinstance(v, np.ndarray)), "", "")
    assert inside(bands, exact[middle]) > 0.95
    assert np.sqrt(np.mean((found.curve.y - exact) ** 2)) < 0.03 * np.sqrt(np.mean(exact**2))
    assert np.abs(found.gaussian.y - exact).max() < 0.01 * exact.max()


def test_ballistic_gas_in_three_dimensions() -> None:
    rng = np.random.default_rng(2)
    speed = 0.3
    velocity = rng.normal(0, speed, (40_000, 3))
    tracks = table(np.arange(5)[:, None, None] * velocity)
    scattered = self_scattering(tracks, q=Q, max_lag=4)
    np.testing.assert_allclose(scattered.y, np.exp(-0.5 * (Q * speed * scattered.x) ** 2), atol=0.01)
    assert np.abs(non_gaussian(tracks, max_lag=4).y).max() < 0.03
    found = van_hove(tracks, lag=2)
    exact = np.exp(-0.5 * (found.curve.x / (2 * speed)) ** 2) / (2 * speed * np.sqrt(2 * np.pi))
    assert np.abs(found.curve.y - exact).max() < 0.03 * exact.max()


@pytest.mark.parametrize("sigma", [0.0, 0.4])
def test_two_populations_have_the_excess_of_their_diffusivities(sigma: float) -> None:
    rng = np.random.default_rng(3)
    slow, fast = brownian(rng, 150, 300, d=0.02), brownian(rng, 150, 300, d=0.3)
    paths = np.concatenate([slow, fast], axis=1)
    curve = non_gaussian(table(paths + rng.normal(0, sigma, paths.shape)), max_lag=10)
    d = np.array([0.02, 0.3])
    # Localisation error dilutes: true value times (MSD / (MSD + 4 sigma^2))^2.
    true_msd = 4 * d.mean() * curve.x
    truth = (np.mean(d**2) / d.mean() ** 2 - 1) * (true_msd / (true_msd + 4 * sigma**2)) ** 2
    np.testing.assert_allclose(curve.y, truth, rtol=0.08)
    assert (curve.y_low > 0).all() and inside(curve, truth) == 1
    found = van_hove(table(paths), lag=10)
    # The slow half makes a peak, the fast half wings, beside the Gaussian of the same variance.
    peak, wing = len(found.curve.x) // 2, np.abs(found.curve.x) > 3 * np.sqrt(2 * 10 * d.mean())
    assert found.curve.y[peak] > 1.5 * found.gaussian.y[peak]
    assert found.curve.y[wing].sum() > 2 * found.gaussian.y[wing].sum()


@pytest.mark.parametrize("drop", [0.0, 0.4])
def test_same_as_sums_by_hand_over_every_pair(drop: float) -> None:
    rng = np.random.default_rng(4)
    tracks = table(brownian(rng, 14, 5, d=D), drop=drop, rng=rng)
    lag = 3
    steps = []
    for _, track in tracks.groupby("particle"):
        at = {int(row.frame): np.array([row.x, row.y]) for row in track.itertuples()}
        steps += [at[f + lag] - at[f] for f in at if f + lag in at]
    moved = np.array(steps)
    squares = np.sum(moved**2, axis=1)

    def at_lag(curve: Curve) -> float:
        return float(curve.y[curve.x == lag][0])

    alpha = 2 * np.mean(squares**2) / (4 * np.mean(squares) ** 2) - 1
    assert at_lag(non_gaussian(tracks, max_lag=5)) == pytest.approx(alpha, rel=1e-12)
    assert at_lag(self_scattering(tracks, q=Q, max_lag=5)) == pytest.approx(
        np.mean(j0(Q * np.sqrt(squares))), rel=1e-12
    )
    assert at_lag(msd(tracks, max_lag=5)) == pytest.approx(np.mean(squares), rel=1e-12)
    edges = np.linspace(-1, 1, 6)
    density = np.histogram(moved, edges)[0] / moved.size / np.diff(edges)
    np.testing.assert_allclose(van_hove(tracks, lag=lag, edges=edges).curve.y, density, rtol=1e-12)


def test_small_wave_numbers_see_the_mean_squared_displacement() -> None:
    tracks = table(brownian(np.random.default_rng(5), 60, 20, d=D))
    q = 1e-3
    curve, squares = self_scattering(tracks, q=q, max_lag=6), msd(tracks, max_lag=6)
    np.testing.assert_allclose(4 * (1 - curve.y) / q**2, squares.y, rtol=1e-5)


def test_what_cannot_be_computed_is_refused() -> None:
    alone = table(np.zeros((1, 3, 2)))
    still = table(np.zeros((4, 3, 2)))
    for tracks in (alone, still):
        with pytest.raises(InputError, match="link the features"):
            non_gaussian(tracks, max_lag=2)
        with pytest.raises(InputError, match="link the features"):
            van_hove(tracks, lag=1)
    with pytest.raises(InputError, match="link the features"):
        self_scattering(alone, q=1.0, max_lag=2)
    with pytest.raises(InputError, match="positive wave number"):
        self_scattering(still, q=0.0, max_lag=2)
