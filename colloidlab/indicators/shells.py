"""Where the first shell of neighbours is: first peak and first minimum of g(r)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from colloidlab.indicators.curve import Curve
from colloidlab.indicators.trajectories import Floats, Integers

_FINE_BINS = 1.5
_COARSE_SHARE = 0.08
"""Smoothing that tells shells from sub-peaks of a mixture, as a share of the first peak's position."""

_LEAST_RELIEF = 0.05
_TIME_FACTOR = 5.0
_COUNTING_FACTOR = 3.5
_ERROR_BINS = 4.0


def first_peak(curve: Curve) -> float | None:
    """Distance of the first peak of g(r), in the curve's unit; None when nothing stands out of the noise.

    The curve is smoothed over 1.5 bins. The first maximum counts that is at least half as
    high as the highest, and that rises above the curve around it, and above 1, by more
    than 5 standard errors, 3.5 times the counting noise of a single frame, and 0.05.
    """
    y = gaussian_filter1d(curve.y, _FINE_BINS)
    relief = _relief(curve, _FINE_BINS)
    # Zeros on the left let the contact peak of hard particles stand out even in the first bin.
    peaks, found = find_peaks(np.concatenate([[0.0], y, y[-1:]]), prominence=0.0)
    peaks = peaks - 1
    peaks = peaks[(found["prominences"] > relief[peaks]) & (y[peaks] > 1.0 + relief[peaks])]
    peaks = peaks[y[peaks] >= 0.5 * y[peaks].max(initial=0.0)]
    return None if peaks.size == 0 else _refine(curve.x, y, int(peaks[0]))


def first_minimum(curve: Curve) -> float | None:
    """Distance of the minimum after the first peak, where the first shell ends; None when there is none.

    Smoothing over 8 % of the peak's position joins the sub-peaks of a mixture of sizes;
    the minimum must then lie below what follows it by as much as a peak must stand out.
    Its place is refined on the finely smoothed curve. In a dilute gas g(r) falls to 1
    and never rises again: None.
    """
    peak = first_peak(curve)
    if peak is None:
        return None
    width = max(_COARSE_SHARE * peak / float(curve.x[1] - curve.x[0]), _FINE_BINS)
    coarse, fine = gaussian_filter1d(curve.y, width), gaussian_filter1d(curve.y, _FINE_BINS)
    wells, found = find_peaks(-coarse, prominence=0.0)
    wells = wells[(curve.x[wells] > peak) & (found["prominences"] > _relief(curve, width)[wells])]
    if wells.size == 0:
        return None
    around = np.flatnonzero(np.abs(np.arange(coarse.size) - wells[0]) <= width)
    # Between the shells of a crystal g(r) is zero over a range: its middle is meant.
    return float(np.mean(curve.x[around[_is_lowest(fine, around)]]))


def _is_lowest(y: Floats, around: Integers) -> NDArray[np.bool_]:
    floor = float(y[around].min())
    return y[around] <= floor + 1e-6 * max(float(y.max()), 1.0)


def _relief(curve: Curve, width_bins: float) -> Floats:
    """How far a feature of the smoothed curve must stand out, at each bin.

    Frames that are nearly copies of each other repeat the same chance pairs, and no band from
    blocks of time can show that. So a feature must also exceed the counting noise of one frame.
    """
    spread = np.nan_to_num((curve.y_high - curve.y_low) / 2 / 1.96)
    # Twenty blocks give a rough error: neighbouring bins are averaged.
    spread = np.sqrt(gaussian_filter1d(spread**2, max(width_bins, _ERROR_BINS)))
    relief = np.maximum(_TIME_FACTOR * spread, _COUNTING_FACTOR * _counting_noise(curve))
    # Gaussian weights of standard deviation w lower the variance 2 √π w times, half as much at the ends.
    relief /= np.sqrt(2 * np.sqrt(np.pi) * width_bins)
    relief[: int(np.ceil(width_bins))] *= np.sqrt(2.0)
    return np.maximum(_LEAST_RELIEF, relief)


def _counting_noise(curve: Curve) -> Floats:
    """Standard deviation of each bin in a single frame."""
    height = np.maximum(curve.y, 1.0)
    if curve.pairs_per_frame is not None:
        return np.asarray(np.sqrt(height / np.maximum(curve.pairs_per_frame, 1e-300)))
    # Read from a file: counting noise goes as √(g/r), and third differences (of variance 20 for
    # noise 1) see it and little of a smooth curve.
    shape = np.sqrt(height / curve.x)
    jumps = np.abs(np.diff(curve.y, 3)) / shape[1:-2] if curve.y.size > 3 else np.zeros(1)
    return np.asarray(shape * 1.48 * np.median(jumps) / np.sqrt(20.0))


def _refine(x: Floats, y: Floats, k: int) -> float:
    """Vertex of the parabola through three bins."""
    if k == 0 or k == y.size - 1:
        return float(x[k])
    left, middle, right = y[k - 1], y[k], y[k + 1]
    bend = left - 2 * middle + right
    return float(x[k] if bend == 0 else x[k] + 0.5 * (left - right) / bend * (x[1] - x[0]))
