"""The time scale on which motion is diffusion: how many frames a displacement must span."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.diffusivity import Diffusion, diffusion, step_correlation
from colloidlab.indicators.drift import Drift, remove_drift
from colloidlab.indicators.trajectories import trajectories

_STRIDES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20)
_LEAST_SPANS = 12
"""A recording must hold this many strides, or the average is over too few independent stretches."""

_NEGLIGIBLE = 0.02


@dataclass(frozen=True)
class FreeDiffusion:
    """Diffusion coefficient at the shortest stride at which displacements have no memory.

    Attributes
    ----------
    estimate : Diffusion
        Per frame; the error is one standard error.
    stride_frames : int
    free : bool
        False when displacements keep a memory at every stride, or are pulled back by a cage; the estimate is then that of
        single frames, and only nominal.
    memory : float
        Correlation of displacements two strides apart, at the stride used.
    """

    estimate: Diffusion
    stride_frames: int
    free: bool
    memory: float


def free_diffusion(tracks: pd.DataFrame, *, drift: Drift = "mean") -> FreeDiffusion:
    """Covariance estimator of diffusion over displacements of several frames where single frames are not independent.

    Video compression that blends successive frames, a long exposure, inertia or a fast
    rattling make displacements remember the one before the last. The estimator of `diffusion`
    is unbiased only without such a memory, so displacements are taken over the smallest number of frames at which
    those two strides apart are uncorrelated (within two standard errors, or below 0.02).

    All starting frames are used. Displacements that begin at different frames overlap, so the error is that of one
    starting frame alone, which is on the safe side.

    Raises
    ------
    InputError
        No particle is in three consecutive frames.
    """
    span = int(tracks["frame"].max() - tracks["frame"].min()) + 1 if len(tracks) else 0
    still = _without_drift(tracks, drift)
    first: FreeDiffusion | None = None
    for stride in _STRIDES:
        if stride > 1 and span < _LEAST_SPANS * stride:
            break
        part = _every(still, stride)
        try:
            memory = step_correlation(part, sigma_px=0.0, drift="none")
            estimate = diffusion(part, drift="none")
        except InputError:
            if first is None:
                raise
            break
        noise = max(2 * memory.c2_error * stride**0.5, _NEGLIGIBLE)
        free = not abs(memory.c2) > noise
        found = FreeDiffusion(_per_frame(estimate, stride), stride, free, memory.c2)
        if free:
            return found
        first = first or found
        if memory.c2 < -noise:
            break  # a cage pulls back: longer strides would only hide it
    assert first is not None
    return first


def _without_drift(tracks: pd.DataFrame, drift: Drift) -> pd.DataFrame:
    moved = remove_drift(trajectories(tracks), drift)
    columns = dict(zip("xyz", moved.values.T, strict=False))
    return pd.DataFrame({"frame": moved.frames, "particle": moved.track, **columns})


def _every(tracks: pd.DataFrame, stride: int) -> pd.DataFrame:
    """Each track as `stride` tracks of every stride-th frame."""
    if stride == 1:
        return tracks
    frame = tracks["frame"].to_numpy()
    phase = frame % stride
    return tracks.assign(frame=frame // stride, particle=tracks["particle"].to_numpy() * stride + phase)


def _per_frame(estimate: Diffusion, stride: int) -> Diffusion:
    widen = float(np.sqrt(stride))
    return replace(
        estimate,
        d_px2_per_frame=estimate.d_px2_per_frame / stride,
        d_error=estimate.d_error / stride * widen,
        sigma_error=estimate.sigma_error * widen,
    )
