"""Errors of D²min and strain against many draws of localisation noise; the flag's rate on a rigid crystal."""

from __future__ import annotations

import numpy as np
import pytest
from simulated_tracks import relaxed, table, triangular

from colloidlab.indicators import d2min_table
from colloidlab.indicators.adjacency import find_neighbours
from colloidlab.indicators.affine_fit import fit_affine
from colloidlab.indicators.localisation import localisation_sigma
from colloidlab.indicators.noise_tail import saddlepoint_tail, tail_probability
from colloidlab.indicators.nonaffine_noise import NonAffineNoise, nonaffine_noise

DRAWS = 3000


def _drawn(
    n_dim: int, nonaffine: float, *, mean: bool = False
) -> tuple[NonAffineNoise, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Stated errors; D²min without noise; D²min, strain and stated variance of D²min in every draw."""
    rng = np.random.default_rng(n_dim)
    before = relaxed(rng, 60, 8.0, 1.1) if n_dim == 2 else rng.uniform(0, 3.4, (40, 3))
    shear = np.eye(n_dim)
    shear[0, 1] = 0.1
    after = before @ shear.T + rng.normal(0, nonaffine, before.shape)
    then, now = rng.uniform(0.003, 0.015, (2, *before.shape))
    adjacency = find_neighbours(before, "cutoff", cutoff=1.6)

    def seen(r: np.ndarray, s: np.ndarray) -> tuple:
        fit = fit_affine(r, s, adjacency, mean=mean)
        return fit, nonaffine_noise(r, s, fit, adjacency, sigma_reference=then, sigma_current=now)

    true, stated = seen(before, after)
    found, strain, variance = [], [], []
    for _ in range(DRAWS):
        fit, noise = seen(
            before + rng.normal(0, 1, then.shape) * then, after + rng.normal(0, 1, now.shape) * now
        )
        found.append(fit.d2min)
        strain.append(fit.strain)
        variance.append(noise.d2min_error**2)
    return stated, true.d2min, np.array(found), np.array(strain), np.array(variance)


@pytest.mark.parametrize(("n_dim", "mean"), [(2, False), (2, True), (3, False)])
def test_errors_of_a_rearranging_neighbourhood(n_dim: int, mean: bool) -> None:
    stated, _, found, strain, variance = _drawn(n_dim, 0.15, mean=mean)
    known = np.isfinite(stated.d2min_error)
    assert known.sum() > 30
    # One standard deviation from 3000 draws is known to 1.3 %.
    ratio = found.std(axis=0)[known] / np.sqrt(variance.mean(axis=0))[known]
    assert np.median(ratio) == pytest.approx(1, abs=0.03)
    assert np.abs(ratio - 1).max() < 0.15
    strain_ratio = strain.std(axis=0)[known] / stated.strain_error[known]
    assert np.median(strain_ratio) == pytest.approx(1, abs=0.01)
    assert np.abs(strain_ratio - 1).max() < 0.06


def test_errors_of_a_neighbourhood_that_only_shears() -> None:
    stated, true, found, strain, _ = _drawn(2, 0.0)
    known = np.isfinite(stated.d2min_error)
    assert true[known].max() < 1e-20
    mean, spread = found.mean(axis=0)[known], found.std(axis=0)[known]
    assert np.median(mean / stated.d2min_noise[known]) == pytest.approx(1, abs=0.01)
    assert np.abs(mean / stated.d2min_noise[known] - 1).max() < 0.08
    assert np.median(spread / stated.d2min_error[known]) == pytest.approx(1, abs=0.03)
    assert np.median(strain.std(axis=0)[known] / stated.strain_error[known]) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("stated", [False, True])
def test_a_rigid_noisy_crystal_is_flagged_at_the_nominal_rate(stated: bool) -> None:
    rng = np.random.default_rng(8)
    base = triangular(30, 30, 10.0)
    sigma = np.full((120, 900, 2), 0.05)
    if stated:
        sigma = np.broadcast_to(rng.uniform(0.03, 0.09, (1, 900, 1)), sigma.shape)
        sigma = sigma * rng.uniform(0.9, 1.1, sigma.shape)
    tracks = table(base + 400 + rng.normal(0, 1, sigma.shape) * sigma)
    if stated:
        tracks["sigma_x_px"], tracks["sigma_y_px"] = sigma.reshape(-1, 2).T
    options = {"lag_frames": 1, "cutoff_px": 14.0, "sigma_px": None if stated else 0.05}
    found = d2min_table(tracks, **options)
    known = found["d2min_error_px2"].notna()
    assert known.sum() > 1e5
    assert (found["d2min_px2"] / found["d2min_noise_px2"])[known].mean() == pytest.approx(1, abs=0.01)
    # A flagged particle has flagged neighbours: the count scatters by about twice the root of 107.
    assert found["rearranged"][known].mean() == pytest.approx(1e-3, rel=0.3)
    assert d2min_table(tracks, **options, false_positive_rate=0.05)["rearranged"][
        known
    ].mean() == pytest.approx(0.05, rel=0.05)


def test_a_true_rearrangement_is_flagged() -> None:
    frames = np.stack([triangular(9, 10, 10.0)] * 2)
    frames[1, 44] += [0.3, 0.4]
    found = d2min_table(table(frames), lag_frames=1, cutoff_px=14, sigma_px=0.02)
    assert found["rearranged"].sum() == 7  # the particle and its six neighbours
    assert d2min_table(table(frames), lag_frames=1, cutoff_px=14)["rearranged"].isna().all()


@pytest.mark.parametrize("eigenvalues", [[1.0] * 5, [1.0] * 6 + [7.0] * 2, [1.0] * 36 + [4.0] * 2])
def test_tail_of_a_generalised_chi_square(eigenvalues: list[float]) -> None:
    weights = np.array(eigenvalues)
    drawn = np.random.default_rng(9).normal(size=(600_000, weights.size)) ** 2 @ weights
    cumulants = [np.array(c * np.sum(weights**k)) for k, c in ((1, 1), (2, 2), (3, 8))]
    for rate in (0.05, 1e-3):
        limit = np.quantile(drawn, 1 - rate)
        assert tail_probability(limit, *cumulants) == pytest.approx(rate, rel=0.4)
        exact = saddlepoint_tail(np.array([limit]), weights[None], np.ones((1, weights.size)))
        assert exact[0] == pytest.approx(rate, rel=0.15)


def test_errors_are_those_that_the_table_states() -> None:
    tracks = table(np.zeros((1, 3, 3)))
    tracks["sigma_x_px"] = [0.1, np.nan, 0.3]
    np.testing.assert_array_equal(
        localisation_sigma(tracks), [[0.1, np.nan, np.nan], [np.nan] * 3, [0.3, np.nan, np.nan]]
    )
    np.testing.assert_array_equal(
        localisation_sigma(tracks, 0.2), [[0.1, 0.2, 0.2], [0.2] * 3, [0.3, 0.2, 0.2]]
    )
