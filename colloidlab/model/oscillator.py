"""A damped oscillator kicked by white noise: what its displacements from frame to frame have in common.

One coordinate of a particle in the cage of its neighbours, dv = -(g v + k x) dt + (2 g T)^(1/2) dW, is the simplest motion
with the scales that a fit starts from. Its mean square displacement is known (Uhlenbeck and Ornstein, Phys. Rev. 36, 823
(1930), eq. 34), and covariances of displacements are second differences of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

_FRICTION = 0.03, 2.0
"""Range searched, 1/frame: from what hardly shows in a few frames to what the verdict calls overdamped."""
_STIFFNESS = 0.01, 1.0
"""1/frame^2."""
_TEMPERATURE = 0.01, 3.0
"""Of the variance of displacements."""
_FIRST_SHARE = 0.25
"""Of the largest variance of an error, where the search for it begins."""
_LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class Oscillator:
    """Scales of a motion.

    Attributes
    ----------
    temperature : float, px^2/frame^2
        Variance of the velocity.
    friction : float, 1/frame
    stiffness : float, 1/frame^2
    error_variance : float, px^2
        Of a localisation error that is new in every frame.
    """

    temperature: float
    friction: float
    stiffness: float
    error_variance: float = 0.0

    def autocovariance(self, n: int) -> np.ndarray:
        """Covariance of displacements of one frame that are 0, 1, ... n - 1 frames apart, shape (n,), px^2."""
        covariance = 0.5 * np.diff(self._mean_square(np.arange(-1, n + 1)), 2)
        covariance[0] += 2 * self.error_variance
        if n > 1:
            covariance[1] -= self.error_variance
        return covariance

    def _mean_square(self, t: np.ndarray) -> np.ndarray:
        """Mean square displacement of the true positions after t frames, px^2."""
        g, k, t = self.friction, self.stiffness, np.abs(t)
        rate = np.sqrt(complex(0.25 * g * g - k))
        # sinh(x)/x, which is 1 at critical damping.
        x = rate * t
        shape = np.where(np.abs(x) > 0, np.sinh(x) / np.where(np.abs(x) > 0, x, 1), 1)
        remembered = np.exp(-0.5 * g * t) * (np.cosh(x) + 0.5 * g * t * shape).real
        return 2 * self.temperature / k * (1 - remembered)


def fit_oscillator(autocovariance: np.ndarray, most_error: float) -> Oscillator:
    """The oscillator whose displacements have these covariances, as nearly as can be.

    Parameters
    ----------
    autocovariance : float array, shape (n,), px^2
        Of displacements 0, 1, ... n - 1 frames apart.
    most_error : float, px^2
        Largest variance of a localisation error; 0 where there is none.

    Returns
    -------
    Oscillator
    """
    c = np.asarray(autocovariance, dtype=float)
    bounds = [(_TEMPERATURE[0] * c[0], _TEMPERATURE[1] * c[0]), _FRICTION, _STIFFNESS]
    start = [c[0], 0.3, 0.1]
    if most_error > 0:
        bounds.append((_LEAST_SHARE * most_error, most_error))
        start.append(_FIRST_SHARE * most_error)

    def residual(logs: np.ndarray) -> np.ndarray:
        return (Oscillator(*np.exp(logs)).autocovariance(len(c)) - c) / c[0]

    found = least_squares(residual, np.log(start), bounds=np.log(np.array(bounds)).T)
    return Oscillator(*np.exp(found.x).tolist())
