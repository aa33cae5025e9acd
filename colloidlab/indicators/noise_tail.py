"""How often noise alone makes a sum of squares as large as the one that was found."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaincc, ndtr

from colloidlab.indicators.trajectories import Floats


def tail_probability(value: Floats, first: Floats, second: Floats, third: Floats) -> Floats:
    """Probability that a positive quadratic form of Gaussian noise is at least `value`.

    The law of the form is a generalised chi-square. It is replaced by a shifted gamma law of the
    same mean, variance and skewness (Pearson III): exact when all its non-zero eigenvalues are equal. For
    D²min it is slightly short: what it calls 1e-3 is truly 1.0e-3 to 1.2e-3.

    Parameters
    ----------
    value : float array, shape (n,)
    first, second, third : float array, shape (n,)
        Cumulants of the form wᵀQw with w of covariance W: tr QW, 2 tr (QW)², 8 tr (QW)³.

    Returns
    -------
    probability : float array, shape (n,)
        NaN where something is not known; 1 without any noise to a value of 0, else 0.

    References
    ----------
    Imhof, Biometrika 48, 419 (1961), section 4 (after Pearson).

    Examples
    --------
    The 99.9th percentile of chi-square with 6 degrees of freedom:

    >>> tail_probability(*np.array([22.458, 6, 12, 48])).round(6)
    np.float64(0.001)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        shape = 4 * second**3 / third**2
        argument = shape + (value - first) * np.sqrt(shape / second)
        found = gammaincc(shape, np.maximum(argument, 0.0))
    still = np.isfinite(value) & (third == 0)
    return np.where(still, np.where(value > first, 0.0, 1.0), found)


def saddlepoint_tail(value: Floats, eigenvalues: Floats, multiplicity: Floats) -> Floats:
    """Probability that Σ m λ χ² is at least `value`, where the eigenvalues of the form are known.

    Within about a tenth of the true probability, also where many small eigenvalues go with a few
    large ones.

    Parameters
    ----------
    value : float array, shape (n,)
    eigenvalues, multiplicity : float array, shape (n, k)

    Returns
    -------
    probability : float array, shape (n,)
        1 where the value is not above the mean; 0 above the mean without noise; NaN where not known.

    References
    ----------
    Lugannani & Rice, Adv. Appl. Prob. 12, 475 (1980); Kuonen, Biometrika 86, 929 (1999).
    """
    mean = np.sum(multiplicity * eigenvalues, axis=1)
    known = np.isfinite(value) & np.isfinite(mean)
    found = np.where(known, np.where(value > mean, 0.0, 1.0), np.nan)
    above = np.flatnonzero(known & (value > mean * (1 + 1e-6)) & (mean > 0))
    # In units of the largest eigenvalue the saddlepoint lies between 0 and 1/2.
    scale = eigenvalues[above].max(axis=1, keepdims=True)
    ratio, number, x = eigenvalues[above] / scale, multiplicity[above], value[above] / scale[:, 0]
    low, high = np.zeros(above.size), np.full(above.size, 0.5)
    for _ in range(50):
        s = 0.5 * (low + high)
        short = np.sum(number * ratio / (1 - 2 * ratio * s[:, None]), axis=1) < x
        low, high = np.where(short, s, low), np.where(short, high, s)
    left = 1 - 2 * ratio * low[:, None]
    w = np.sqrt(2 * low * x + np.sum(number * np.log(left), axis=1))
    v = low * np.sqrt(2 * np.sum(number * (ratio / left) ** 2, axis=1))
    found[above] = ndtr(-w) + np.exp(-0.5 * w**2) / np.sqrt(2 * np.pi) * (1 / v - 1 / w)
    return found
