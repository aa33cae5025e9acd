"""How often noise alone makes a sum of squares as large as the one that was found."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaincc

from colloidlab.indicators.trajectories import Floats


def tail_probability(value: Floats, first: Floats, second: Floats, third: Floats) -> Floats:
    """Probability that a positive quadratic form of Gaussian noise is at least `value`.

    The law of the form is a generalised chi-square. It is replaced by a shifted gamma law of the
    same mean, variance and skewness (Pearson III): exact when all its non-zero eigenvalues are equal. For
    D²min and p_hop it is slightly short: what it calls 1e-3 is truly 1.0e-3 to 1.3e-3, the latter where
    the errors along the axes differ several-fold.

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
