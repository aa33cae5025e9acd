"""Diffusion coefficient of every single particle, with its error."""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.drift import Drift, remove_drift
from colloidlab.indicators.trajectories import Floats, Integers, Trajectories, particle_names, trajectories

DIFFUSION_COLUMNS = (
    "particle",
    "n_displacements",
    "diffusion_px2_per_frame",
    "diffusion_error_px2_per_frame",
    "noise_variance_px2",
    "noise_variance_error_px2",
)


def diffusion_table(
    tracks: pd.DataFrame, *, stride_frames: int = 1, motion_blur: float = 0.0, drift: Drift = "mean"
) -> pd.DataFrame:
    """Covariance estimate of diffusion of each particle by itself.

    | symbol | meaning |
    |---|---|
    | c₀ = ⟨Δ_n²⟩ | mean square of the particle's displacements, along an axis |
    | c₁ = ⟨Δ_n Δ_n+1⟩ | mean product of successive ones |
    | N, M | their numbers; a gap ends a run, so that M is smaller by the number of runs |
    | D = c₀/2 + c₁ | diffusion coefficient |
    | s² = R c₀ + (2R − 1) c₁ | variance of the localisation error |

    The displacements of free diffusion seen with localisation error are Gaussian and remember one step only, so that their
    own c₀ and c₁ tell the variances, to leading order

        var c₀ = (2 N c₀² + 4 M c₁²)/N² ,   var c₁ = (c₀² + 3 c₁²)/M ,   cov(c₀, c₁) = 4 c₀ c₁/N ,

    all of them divided by the number of axes. For one run this is D²(6 + 4ε + 2ε²)/N with ε = s²/D, the leading
    term of the reference. Both estimates are unbiased, and so may be negative where they are smaller than their
    errors: averages over particles are right, and leaving out negative values would make them wrong.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px.
    stride_frames : int
        Displacements over so many frames, from all of them; for motion that remembers single frames, see
        `free_diffusion`. The error is then that of one starting frame alone, which is on the safe side.
    motion_blur, drift
        As for `diffusion`.

    Returns
    -------
    DataFrame
        particle, n_displacements (N), diffusion_px2_per_frame, diffusion_error_px2_per_frame (one standard error),
        noise_variance_px2, noise_variance_error_px2; one row for each particle with a position, NaN where it has not
        two successive displacements. Below some 20 displacements the errors themselves are rough.

    Raises
    ------
    InputError
        The stride or `motion_blur` is out of bounds.

    References
    ----------
    Vestergaard, Blainey & Flyvbjerg, Phys. Rev. E 89, 022726 (2014), equations 14 and 15.
    """
    if stride_frames < 1:
        raise InputError(f"the stride is {stride_frames} frames; it must be at least 1")
    if not 0 <= motion_blur <= 0.25:
        raise InputError(f"motion_blur is {motion_blur}; it lies between 0 (short exposure) and 0.25")
    moved = remove_drift(trajectories(tracks), drift)
    later = _rows_later(moved, stride_frames)
    one = np.flatnonzero(later >= 0)
    two = one[later[later[one]] >= 0]
    steps = np.zeros_like(moved.values)
    steps[one] = moved.values[later[one]] - moved.values[one]
    n, c0 = _means(moved, one, (steps[one] ** 2).mean(axis=1))
    m, c1 = _means(moved, two, (steps[two] * steps[later[two]]).mean(axis=1))
    r, n_axes = motion_blur, moved.values.shape[1]
    number = n / stride_frames, m / stride_frames
    columns = (
        particle_names(tracks),
        n.astype(np.int64),
        (0.5 * c0 + c1) / stride_frames,
        _error(c0, c1, number, (0.5, 1.0)) / stride_frames / np.sqrt(n_axes),
        r * c0 + (2 * r - 1) * c1,
        _error(c0, c1, number, (r, 2 * r - 1)) / np.sqrt(n_axes),
    )
    return pd.DataFrame(dict(zip(DIFFUSION_COLUMNS, columns)))


def _rows_later(tracks: Trajectories, stride: int) -> Integers:
    """Row of the same track `stride` frames later; -1 where there is none."""
    if tracks.frames.size == 0:
        return np.zeros(0, dtype=np.int64)
    span = int(np.ptp(tracks.frames)) + stride + 1
    key = tracks.track * span + tracks.frames - tracks.frames.min()
    place = np.minimum(np.searchsorted(key, key + stride), key.size - 1)
    return np.where(key[place] == key + stride, place, -1)


def _means(tracks: Trajectories, rows: Integers, values: Floats) -> tuple[Floats, Floats]:
    """Number and mean of values of some rows, for each track; NaN for the mean of none."""
    track = tracks.track[rows]
    number = np.bincount(track, minlength=tracks.n_tracks).astype(np.float64)
    total = np.bincount(track, values, tracks.n_tracks)
    return number, np.divide(total, number, out=np.full(number.size, np.nan), where=number > 0)


def _error(c0: Floats, c1: Floats, number: tuple[Floats, Floats], weight: tuple[float, float]) -> Floats:
    """Standard error of a c₀ + b c₁ along one axis, from the c₀ and c₁ of the same particle."""
    n, m = (np.maximum(values, 1.0) for values in number)
    a, b = weight
    # No stationary displacements that remember one step have |c₁| > c₀/2: more is chance.
    c1 = np.clip(c1, -0.5 * c0, 0.5 * c0)
    squares = (2 * n * c0**2 + 4 * m * c1**2) / n**2
    products = (c0**2 + 3 * c1**2) / m
    return np.sqrt(a**2 * squares + b**2 * products + 2 * a * b * 4 * c0 * c1 / n)
