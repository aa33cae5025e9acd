"""Diffusion over several frames where the camera or the codec blends successive ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from colloidlab.indicators.stride import free_diffusion
from colloidlab.synthetic.crystal import as_tracks

D_TRUE = 0.3
N_PARTICLES, N_FRAMES = 120, 200


def brownian(rng: np.random.Generator, blend: float, sigma: float) -> pd.DataFrame:
    """Brownian positions; each recorded one is a running average that keeps the share `blend` of the last."""
    steps = rng.normal(scale=np.sqrt(2 * D_TRUE), size=(N_FRAMES, N_PARTICLES, 2))
    path = np.cumsum(steps, axis=0)
    seen = np.empty_like(path)
    seen[0] = path[0]
    for k in range(1, N_FRAMES):
        seen[k] = (1 - blend) * path[k] + blend * seen[k - 1]
    seen += sigma * rng.normal(size=seen.shape)
    frame, particle = np.mgrid[:N_FRAMES, :N_PARTICLES]
    columns = {"frame": frame.ravel(), "particle": particle.ravel()}
    return pd.DataFrame({**columns, "x": seen[..., 0].ravel(), "y": seen[..., 1].ravel()})


def test_single_frames_are_used_where_they_are_independent() -> None:
    result = free_diffusion(brownian(np.random.default_rng(1), blend=0.0, sigma=0.2))
    assert result.free and result.stride_frames == 1
    assert abs(result.estimate.d_px2_per_frame - D_TRUE) < 3 * result.estimate.d_error


@pytest.mark.parametrize("blend", [0.4, 0.6])
def test_blended_frames_do_not_bias_diffusion(blend: float) -> None:
    """A memory that decays as blend^n biases the single-frame estimate by about blend^2; strides remove it."""
    tracks = brownian(np.random.default_rng(2), blend=blend, sigma=0.1)
    result = free_diffusion(tracks)
    assert result.free and result.stride_frames > 1
    # What remains is at most the memory that passes for none, twice 0.02.
    assert abs(result.estimate.d_px2_per_frame / D_TRUE - 1) < 0.04 + 3 * result.estimate.d_error / D_TRUE


def test_error_of_a_stride_is_not_too_small() -> None:
    deviations = []
    for seed in range(30):
        result = free_diffusion(brownian(np.random.default_rng(100 + seed), blend=0.5, sigma=0.1))
        deviations.append((result.estimate.d_px2_per_frame - D_TRUE) / result.estimate.d_error)
    # 30 deviations of standard error at most 1, around a bias that is allowed to be 4 %.
    assert np.std(deviations) < 1.35


def test_ballistic_motion_is_never_called_free() -> None:
    rng = np.random.default_rng(3)
    velocity = rng.normal(size=(N_PARTICLES, 2))
    path = np.arange(N_FRAMES)[:, None, None] * velocity
    frame, particle = np.mgrid[:N_FRAMES, :N_PARTICLES]
    columns = {"frame": frame.ravel(), "particle": particle.ravel()}
    tracks = pd.DataFrame({**columns, "x": path[..., 0].ravel(), "y": path[..., 1].ravel()})
    result = free_diffusion(tracks)
    assert not result.free and result.stride_frames == 1


def test_a_shear_is_not_free_diffusion_whatever_its_memory() -> None:
    """Steps along x of twice the variance of those along y: no memory, but no one coefficient."""
    rng = np.random.default_rng(3)
    steps = rng.normal(0, 1, (80, 200, 2)) * [2**0.5, 1.0]
    unlike = free_diffusion(as_tracks(np.cumsum(steps, axis=0)), drift="none")
    assert not unlike.free and unlike.axes == pytest.approx((1.0, 0.5), rel=0.1)
    alike = free_diffusion(as_tracks(np.cumsum(rng.normal(0, 1, (80, 200, 2)), axis=0)), drift="none")
    assert alike.free and alike.axes == ()
