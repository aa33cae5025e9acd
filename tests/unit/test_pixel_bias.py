"""A bias towards the centres of pixels is told from chance, and its size is right."""

from __future__ import annotations

import numpy as np
import pytest
from rendered_scenes import expose, gaussian_image
from scipy.spatial import cKDTree
from scipy.special import j1

from colloidlab.features import locate
from colloidlab.features.pixel_bias import pixel_bias, subpixel_shares


def test_an_even_spread_has_no_bias_within_its_error() -> None:
    rng = np.random.default_rng(0)
    found = [pixel_bias(rng.uniform(0, 100, (200, 2))) for _ in range(400)]
    pulls = np.array([bias.amplitude_px / bias.error_px for bias in found])
    assert abs(pulls.mean()) < 4 / np.sqrt(400) and abs(pulls.std() - 1) < 0.15
    assert sum(bias.matters for bias in found) <= 1  # four standard errors: one in 16 000


@pytest.mark.parametrize("amplitude", [0.02, 0.06, -0.05])
def test_a_known_bias_is_found(amplitude: float) -> None:
    true = np.random.default_rng(1).uniform(0, 500, (4000, 2))
    found = pixel_bias(true - amplitude * np.sin(2 * np.pi * true))
    exact = j1(2 * np.pi * amplitude) / np.pi
    assert found.amplitude_px == pytest.approx(exact, abs=4 * found.error_px)
    assert abs(exact / amplitude - 1) < 0.02 and found.matters


def test_a_disc_that_is_too_small_is_biased_and_a_wide_one_is_not() -> None:
    """Positions from a disc that cuts the particle's light off stay near the pixel it is centred on."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:20, :20]
    true = np.column_stack([x.ravel(), y.ravel()]) * 24.0 + 20.0 + rng.uniform(-2, 2, (400, 2))
    clean = gaussian_image((500, 500), true, np.full(400, 2.5), np.full(400, 150.0), 30)
    image = expose(clean, rng, read=1.0, gain=0.02)
    small, middling, wide = (
        locate(image, d, method="centroid", minmass=100.0, separation_px=12.0)[["x", "y"]].to_numpy()
        for d in (7, 9, 13)
    )
    assert len(small) == len(middling) == len(wide) == 400
    assert pixel_bias(small).amplitude_px > 0.1 and not pixel_bias(wide).matters
    # As far as the positions are from the truth.
    error = middling - true[cKDTree(true).query(middling)[1]]
    wave = np.sin(2 * np.pi * (middling - error))
    amplitude = -float((error * wave).sum() / (wave**2).sum())
    found = pixel_bias(middling)
    assert found.matters and amplitude == pytest.approx(found.amplitude_px, abs=4 * found.error_px)


def test_without_positions_nothing_is_known() -> None:
    assert not pixel_bias(np.empty((0, 2))).matters


def test_shares_are_counts_over_an_even_spread() -> None:
    shares, spread = subpixel_shares(np.array([[3.05, 4.95], [7.05, 1.55], [0.25, -0.05], [9.05, 2.55]]))
    np.testing.assert_allclose(shares[0], [7.5, 0, 2.5, *[0] * 7])
    np.testing.assert_allclose(shares[1], [*[0] * 5, 5, 0, 0, 0, 5])
    assert spread == pytest.approx(2 * np.sqrt(0.9 / 0.4))
