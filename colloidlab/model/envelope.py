"""How functions of a pair end at its cutoff."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

Values = TypeVar("Values", Tensor, np.ndarray)


def envelope(x: Values) -> Values:
    """(1 - x)^3 (1 + 3x): 1 at contact, and zero at x = r/h = 1 with two continuous derivatives.

    Parameters
    ----------
    x : tensor or float array, shape (n_pairs,)
        Reduced distance, 0 to 1.
    """
    return (1 - x) ** 3 * (1 + 3 * x)


def envelope_derivatives(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The envelope and its first two derivatives with x, each shape (n_pairs,)."""
    y = 1 - x
    return envelope(x), -12 * x * y**2, -12 * y * (1 - 3 * x)
