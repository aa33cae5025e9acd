"""Wrong calls of the indicators end in one sentence, not in a foreign traceback."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from simulated_tracks import brownian, table

from colloidlab.errors import InputError
from colloidlab.indicators import (
    d2min,
    d2min_table,
    diffusion,
    msd,
    pair_correlation,
    psi6,
    step_correlation,
    vacf,
)

TRACKS = table(brownian(np.random.default_rng(0), 10, 5, d=0.1))
POINTS = np.random.default_rng(0).uniform(0, 10, (20, 2))
SQUARE = ((0, 0), (10, 10))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: msd(TRACKS.drop(columns="particle"), max_lag=2), "no column particle"),
        (lambda: msd(TRACKS.assign(particle=1), max_lag=2), "particle 1 is in frame 0 twice"),
        (lambda: msd(TRACKS, max_lag=0), "at least one frame"),
        (lambda: msd(TRACKS[TRACKS.frame == 0], max_lag=3), "link the features"),
        (lambda: vacf(TRACKS, max_lag=-1), "zero or more"),
        (lambda: vacf(TRACKS[TRACKS.frame % 2 == 0], max_lag=3), "consecutive frames"),
        (lambda: vacf(TRACKS.assign(x=0.0, y=0.0), max_lag=3, normalised=True), "no particle moves"),
        (lambda: diffusion(TRACKS[TRACKS.frame < 2]), "three consecutive frames"),
        (lambda: diffusion(TRACKS, motion_blur=0.5), "between 0"),
        (lambda: step_correlation(TRACKS[TRACKS.frame < 2]), "three consecutive frames"),
        (lambda: d2min(POINTS, POINTS[:5], cutoff=2), "one shape"),
        (lambda: d2min(POINTS[:, :1], POINTS[:, :1], cutoff=2), "one shape"),
        (lambda: d2min(POINTS, POINTS, cutoff=0), "larger than zero"),
        (lambda: d2min(POINTS, POINTS, cutoff=6, box=np.array([10.0, 10])), "half the shortest side"),
        (lambda: d2min_table(TRACKS, lag_frames=0, cutoff_px=3), "at least 1"),
        (lambda: psi6(np.zeros((4, 3))), "shape (n, 2)"),
        (lambda: pair_correlation([], r_max=2, n_bins=5, region=SQUARE), "no frame holds two particles"),
        (
            lambda: pair_correlation([POINTS[:1]], r_max=2, n_bins=5, region=SQUARE),
            "no frame holds two particles",
        ),
        (lambda: pair_correlation([POINTS], r_max=2, n_bins=5), "either the rectangle"),
        (lambda: pair_correlation([POINTS], r_max=10, n_bins=5, region=SQUARE), "beyond the 10"),
        (lambda: pair_correlation([POINTS], r_max=6, n_bins=5, box=(10, 10)), "beyond the 5"),
        (lambda: pair_correlation([POINTS], r_max=2, n_bins=0, region=SQUARE), "at least one bin"),
        (lambda: pair_correlation([POINTS], r_max=2, n_bins=5, region=((0, 0), (0, 10))), "positive"),
        (
            lambda: pair_correlation([POINTS], r_max=2, n_bins=5, region=SQUARE, radii=[np.zeros(20)]),
            "positive radius",
        ),
    ],
)
def test_one_sentence_says_what_is_wrong(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_with_nan_positions_are_absent_not_contagious() -> None:
    holes = TRACKS.assign(x=TRACKS.x.where(TRACKS.frame != 4))
    whole = TRACKS[TRACKS.frame != 4]
    np.testing.assert_array_equal(msd(holes, max_lag=3).y, msd(whole, max_lag=3).y)
    points = np.vstack([POINTS, [[np.nan, 1.0]]])
    one = pair_correlation([points], r_max=4, n_bins=8, region=SQUARE)
    np.testing.assert_array_equal(one.y, pair_correlation([POINTS], r_max=4, n_bins=8, region=SQUARE).y)


def test_two_particles_on_opposite_edges_of_the_region() -> None:
    # The translation weight of such a pair is infinite; it is out of reach and must not be formed.
    frame = np.array([[0.0, 0.0], [0.5, 10.0], [3.0, 4.0], [4.0, 5.0]])
    curve = pair_correlation([frame], r_max=4.0, n_bins=8, region=((0.0, 0.0), (10.0, 10.0)))
    assert np.isfinite(curve.y).all() and curve.y.sum() > 0
