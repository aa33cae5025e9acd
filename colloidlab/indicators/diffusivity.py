"""Diffusion coefficient and localisation error from successive displacements, and the test for inertia."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.bootstrap import standard_error
from colloidlab.indicators.displacement import finite_velocities
from colloidlab.indicators.drift import Drift, remove_drift
from colloidlab.indicators.trajectories import Floats, Integers, Trajectories, successive_rows, trajectories


@dataclass(frozen=True)
class Diffusion:
    """Covariance estimate of diffusion; every error is one standard error.

    Parameters
    ----------
    d_px2_per_frame, d_error : float
        Diffusion coefficient per axis: the mean squared displacement grows as 2 D (axes) t.
    sigma_px, sigma_error : float
        Localisation error per axis; 0 where the estimated variance is negative.
    n_displacements : int
        Displacements between consecutive frames that were used.
    """

    d_px2_per_frame: float
    d_error: float
    sigma_px: float
    sigma_error: float
    n_displacements: int


@dataclass(frozen=True)
class StepCorrelation:
    """How much a displacement remembers the ones before it.

    Parameters
    ----------
    c1, c1_error : float
        Correlation of successive displacements, corrected for localisation noise.
    c2, c2_error : float
        Correlation two frames apart. White localisation noise does not enter its
        numerator, so its *sign* is right whatever sigma is.
    sigma_px : float
        Localisation error that was corrected for; 0 where none was known, and c1 is then
        a lower bound.
    n_pairs : int
        Pairs of successive displacements.
    """

    c1: float
    c1_error: float
    c2: float
    c2_error: float
    sigma_px: float
    n_pairs: int


def diffusion(tracks: pd.DataFrame, *, motion_blur: float = 0.0, drift: Drift = "mean") -> Diffusion:
    """Covariance-based estimator of diffusion, unbiased under localisation noise.

    With displacements Δ_n between consecutive frames, per axis and in px²/frame,

        D  = ⟨Δ_n²⟩/2 + ⟨Δ_n Δ_{n+1}⟩ ,    σ² = R ⟨Δ_n²⟩ + (2R − 1) ⟨Δ_n Δ_{n+1}⟩ .

    Averages run over all particles (each weighted by its number of displacements) and
    axes. A gap ends a run: displacements over it are not used. The motion must be free
    diffusion at the time scale of a frame; caged or inertial motion has no such D.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px.
    motion_blur : float
        Motion-blur coefficient R: 0 for an exposure much shorter than the frame
        interval (the default), 1/6 for a shutter that is always open.
    drift : {"none", "mean", "affine"}
        Common motion to take out first; see `remove_drift`.

    Raises
    ------
    InputError
        No particle is in three consecutive frames, or `motion_blur` is out of bounds.

    References
    ----------
    Vestergaard, Blainey & Flyvbjerg, Phys. Rev. E 89, 022726 (2014), equations 14 and 15.
    """
    if not 0 <= motion_blur <= 0.25:
        raise InputError(f"motion_blur is {motion_blur}; it lies between 0 (short exposure) and 0.25")
    steps = finite_velocities(remove_drift(trajectories(tracks), drift))
    first = _pairs(steps)
    square = _Mean.of(_dot(steps.values, steps.values), np.arange(steps.frames.size), steps)
    covariance = _Mean.of(_dot(steps.values[first], steps.values[first + 1]), first, steps)
    r = motion_blur
    d = 0.5 * square.value + covariance.value
    variance = r * square.value + (2 * r - 1) * covariance.value
    variance_error = _error((square, r), (covariance, 2 * r - 1))
    sigma = float(np.sqrt(max(variance, 0.0)))
    return Diffusion(
        d_px2_per_frame=d,
        d_error=_error((square, 0.5), (covariance, 1.0)),
        sigma_px=sigma,
        # δσ = δσ²/(2σ) holds well above zero; at zero σ is only known to be below √δσ².
        sigma_error=variance_error / max(2 * sigma, variance_error**0.5, 1e-300),
        n_displacements=int(steps.frames.size),
    )


def step_correlation(
    tracks: pd.DataFrame, *, sigma_px: float | None = None, drift: Drift = "mean"
) -> StepCorrelation:
    """Correlation of successive displacements: above zero is inertia, zero free diffusion, below zero a cage.

        c1 = (⟨Δ_n Δ_{n+1}⟩ + σ²) / (⟨Δ_n²⟩ − 2σ²) ,    c2 = ⟨Δ_n Δ_{n+2}⟩ / (⟨Δ_n²⟩ − 2σ²)

    Localisation noise alone makes c1 = −1/2, hence the correction. A flow in which
    neighbours move differently also gives c1 > 0: take it out with `drift="affine"`.
    Inertia forgets, c2 < c1; where c2 is as large as c1, particles keep velocities of
    their own (stuck beside moving ones, sinking, convection).

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px.
    sigma_px : float, optional
        Localisation error per axis. By default from the columns sigma_x_px and
        sigma_y_px; without them nothing is corrected. Its own error is not propagated.
    drift : {"none", "mean", "affine"}
        Common motion to take out first; see `remove_drift`.

    Raises
    ------
    InputError
        No particle is in three consecutive frames.
    """
    variance = _noise_variance(tracks, sigma_px)
    steps = finite_velocities(remove_drift(trajectories(tracks), drift))
    first = _pairs(steps)
    square = _Mean.of(_dot(steps.values, steps.values), np.arange(steps.frames.size), steps)
    second = first[np.isin(first + 1, first)]
    next_one = _Mean.of(_dot(steps.values[first], steps.values[first + 1]), first, steps)
    after_next = _Mean.of(_dot(steps.values[second], steps.values[second + 2]), second, steps)
    c1, c1_error = _relative(next_one, variance, square, variance)
    c2, c2_error = _relative(after_next, 0.0, square, variance)
    return StepCorrelation(
        c1, c1_error, c2, c2_error, sigma_px=float(np.sqrt(variance)), n_pairs=int(first.size)
    )


@dataclass(frozen=True)
class _Mean:
    """A mean over rows, with the deviation of each row for the error."""

    value: float
    influence: Floats
    track: Integers
    frame: Integers

    @classmethod
    def of(cls, values: Floats, rows: Integers, steps: Trajectories) -> _Mean:
        mean = float(values.mean()) if values.size else float("nan")
        return cls(mean, (values - mean) / max(values.size, 1), steps.track[rows], steps.frames[rows])


def _relative(product: _Mean, bias: float, square: _Mean, variance: float) -> tuple[float, float]:
    """Correlation (product + bias) / (square − 2 variance) and its standard error; NaN where noise is all."""
    motion = square.value - 2 * variance
    if not motion > 0:
        return float("nan"), float("nan")
    c = (product.value + bias) / motion
    return c, _error((product, 1 / motion), (square, -c / motion))


def _error(*terms: tuple[_Mean, float]) -> float:
    """Standard error of Σ weight · mean, all terms taken from the same blocks."""
    return standard_error(
        np.concatenate([mean.influence * weight for mean, weight in terms]),
        np.concatenate([mean.track for mean, _ in terms]),
        np.concatenate([mean.frame for mean, _ in terms]),
    )


def _pairs(steps: Trajectories) -> Integers:
    """Displacements that the next one follows without a gap."""
    first = successive_rows(steps.frames, steps.offsets)
    if first.size == 0:
        raise InputError("no particle is in three consecutive frames, so diffusion cannot be told from noise")
    return first


def _dot(a: Floats, b: Floats) -> Floats:
    """Product of displacements, averaged over the axes."""
    return np.asarray(np.mean(a * b, axis=1))


def _noise_variance(tracks: pd.DataFrame, sigma_px: float | None) -> float:
    if sigma_px is not None:
        return sigma_px**2
    columns = [c for c in ("sigma_x_px", "sigma_y_px") if c in tracks.columns]
    squares = tracks[columns].to_numpy(dtype=np.float64) ** 2
    squares = squares[np.isfinite(squares)]
    return float(squares.mean()) if squares.size else 0.0
