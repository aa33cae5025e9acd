"""Each particle by itself: its MSD beside trackpy's, its diffusion within its error, and motion since one moment."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import trackpy
from simulated_tracks import brownian, table

from colloidlab.errors import InputError
from colloidlab.indicators import diffusion, diffusion_table, msd, msd_since, msd_table
from colloidlab.indicators.stride import free_diffusion


def test_the_msd_of_each_is_that_of_trackpy_and_their_mean_that_of_all() -> None:
    rng = np.random.default_rng(1)
    tracks = table(brownian(rng, 60, 8, d=0.5, sigma=0.2))
    found = msd_table(tracks.assign(particle=10 + 3 * tracks.particle), max_lag=15)
    theirs = trackpy.imsd(tracks.assign(particle=10 + 3 * tracks.particle), mpp=1, fps=1, max_lagtime=15)
    ours = found.pivot(index="lag_frames", columns="particle", values="msd_px2")
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert ours.columns.tolist() == theirs.columns.tolist()
    # With gaps, where trackpy interpolates nothing either, every pair that is there counts once.
    holes = table(brownian(rng, 60, 8, d=0.5), drop=0.2, rng=rng)
    single, curve = msd_table(holes, max_lag=10), msd(holes, max_lag=10)
    total = (single.msd_px2 * single.n_pairs).groupby(single.lag_frames).sum()
    np.testing.assert_allclose(total / single.groupby("lag_frames").n_pairs.sum(), curve.y, rtol=1e-12)


@pytest.mark.parametrize(("sigma", "n_dim"), [(0.0, 2), (0.7, 2), (1.5, 2), (0.7, 3)])
def test_errors_of_single_particles_hold(sigma: float, n_dim: int) -> None:
    rng = np.random.default_rng(2)
    walk = np.cumsum(rng.normal(0, 1.0, (100, 400, n_dim)), axis=0)  # D = 0.5
    tracks = table(walk[..., :2] + rng.normal(0, sigma, (100, 400, 2)))
    if n_dim == 3:
        tracks = tracks.assign(z=(walk[..., 2] + rng.normal(0, sigma, (100, 400))).ravel())
    found = diffusion_table(tracks, drift="none")
    assert (found.n_displacements == 99).all()
    pull = (found.diffusion_px2_per_frame - 0.5) / found.diffusion_error_px2_per_frame
    assert np.mean(np.abs(pull) < 1.96) == pytest.approx(0.95, abs=0.035)
    assert pull.std() == pytest.approx(1, abs=0.12)
    noise = (found.noise_variance_px2 - sigma**2) / found.noise_variance_error_px2
    assert np.mean(np.abs(noise) < 1.96) > 0.9
    # Unbiased also where single values are far off, so that their mean is that of all.
    assert found.diffusion_px2_per_frame.mean() == pytest.approx(0.5, abs=4 * pull.std() * 0.5 / 20)
    assert found.diffusion_px2_per_frame.mean() == pytest.approx(
        diffusion(tracks, drift="none").d_px2_per_frame, rel=0.02
    )


def test_two_kinds_of_particles_are_told_apart_and_gaps_end_runs() -> None:
    rng = np.random.default_rng(3)
    steps = np.where(np.arange(60) < 30, 1.0, 0.3)[:, None] * rng.normal(0, 1, (200, 60, 2))
    tracks = table(np.cumsum(steps, axis=0), drop=0.1, rng=rng)
    found = diffusion_table(tracks, drift="none").set_index("particle")
    fast, slow = found.diffusion_px2_per_frame[:30], found.diffusion_px2_per_frame[30:]
    assert fast.mean() == pytest.approx(0.5, rel=0.1) and slow.mean() == pytest.approx(0.045, rel=0.1)
    assert fast.min() > slow.max()
    apart = pd.DataFrame(
        {"frame": [0, 1, 5, 6, 0], "particle": [0, 0, 0, 0, 1], "x": [0.0, 1, 9, 9, 4], "y": 0.0}
    )
    lone = diffusion_table(apart, drift="none")
    assert lone.n_displacements.tolist() == [2, 0] and lone.diffusion_px2_per_frame.isna().all()


def test_strides_see_the_diffusion_beyond_a_short_memory() -> None:
    rng = np.random.default_rng(4)
    steps = rng.normal(0, 1.0, (401, 150, 2))
    blended = np.cumsum(0.5 * (steps[1:] + steps[:-1]), axis=0)  # every frame shows half of the one before
    tracks = table(blended)
    whole = free_diffusion(tracks, drift="none")
    found = diffusion_table(tracks, stride_frames=4, drift="none")
    assert found.diffusion_px2_per_frame.mean() == pytest.approx(0.5, rel=0.06)
    assert whole.stride_frames >= 1 and found.diffusion_error_px2_per_frame.mean() < 0.3
    pull = (found.diffusion_px2_per_frame - 0.5) / found.diffusion_error_px2_per_frame
    assert np.mean(np.abs(pull) < 1.96) > 0.9


def test_an_ageing_sample_differs_since_one_moment_and_over_all() -> None:
    rng = np.random.default_rng(5)
    d = 0.5 / (1 + np.arange(80) / 10)  # slows down
    steps = rng.normal(size=(80, 500, 2)) * np.sqrt(2 * d)[:, None, None]
    tracks = table(np.cumsum(steps, axis=0))
    for origin in (0, 30):
        curve = msd_since(tracks, origin_frame=origin, max_lag=40)
        expected = np.array([4 * d[origin + 1 : origin + 1 + int(lag)].sum() for lag in curve.x])
        inside = (curve.y_low <= expected) & (expected <= curve.y_high)
        assert inside.mean() > 0.8 and np.abs(curve.y / expected - 1).max() < 0.15
    assert msd_since(tracks, origin_frame=0, max_lag=10).y[-1] > 1.5 * msd(tracks, max_lag=10).y[-1]
    with pytest.raises(InputError, match="no particle is in frame 900"):
        msd_since(tracks, origin_frame=900, max_lag=3)
