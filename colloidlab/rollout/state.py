"""The state of a simulation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class State:
    """Positions, velocities and entropies.

    Attributes
    ----------
    r, v : tensor, shape (n, D)
        px and px/frame (or any consistent units).
    S : tensor, shape (n,)
        In units of k_B.
    """

    r: Tensor
    v: Tensor
    S: Tensor
