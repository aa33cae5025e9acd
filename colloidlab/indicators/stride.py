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
_UNLIKE_ERRORS, _UNLIKE_SHARE = 3.0, 0.2


@dataclass(frozen=True)
class FreeDiffusion:
    """Diffusion coefficient at the shortest stride at which displacements have no memory.

    Attributes
    ----------
    estimate : Diffusion
        Per frame; the error is one standard error.
    stride_frames : int
    free : bool
        False when displacements keep a memory at every stride, or are pulled back by a cage (the estimate is then that of
        single frames), or where they are not the same along all axes; the estimate is then only nominal.
    memory : float
        Correlation of displacements two strides apart, at the stride used.
    axes : tuple of float
        Coefficients along x, y[, z] where they differ, px²/frame; empty where they do not, or no stride was free.
    """

    estimate: Diffusion
    stride_frames: int
    free: bool
    memory: float
    axes: tuple[float, ...] = ()


def free_diffusion(tracks: pd.DataFrame, *, drift: Drift = "mean") -> FreeDiffusion:
    """Covariance estimator of diffusion over displacements of several frames where single frames are not independent.

    Video compression that blends successive frames, a long exposure, inertia or a fast
    rattling make displacements remember the one before the last. The estimator of `diffusion`
    is unbiased only without such a memory, so displacements are taken over the smallest number of frames at which
    those two strides apart are uncorrelated (within two standard errors, or below 0.02).

    Free diffusion is the same along all axes. Where it is not, a flow, a wall or a field moves particles along one of them:
    a shear can have too little memory to be told by it, and doubles the coefficient.

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
            axes = _unlike_axes(part, stride)
            return replace(found, free=not axes, axes=axes)
        first = first or found
        if memory.c2 < -noise:
            break  # a cage pulls back: longer strides would only hide it
    assert first is not None
    return first


def _unlike_axes(part: pd.DataFrame, stride: int) -> tuple[float, ...]:
    """Coefficients along each axis, if two of them differ by three standard errors and a fifth; else nothing."""
    names = [name for name in "xyz" if name in part]
    # The estimator averages over axes: with the same coordinate for all of them it is that of one.
    each = [
        _per_frame(diffusion(part.assign(**{other: part[name] for other in names}), drift="none"), stride)
        for name in names
    ]
    d = np.array([one.d_px2_per_frame for one in each])
    error = np.array([one.d_error for one in each])
    apart = np.abs(d[:, None] - d)
    significant = apart > _UNLIKE_ERRORS * np.hypot(error[:, None], error)
    unlike = significant & (apart > _UNLIKE_SHARE * np.abs(d).mean())
    return tuple(float(value) for value in d) if unlike.any() else ()


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
