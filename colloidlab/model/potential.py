"""A pair potential beside the energy of the volume: the one way in which particles can attract each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from colloidlab.model.envelope import envelope_derivatives
from colloidlab.model.tensors import float64


@dataclass(frozen=True)
class PotentialValues:
    """Energy of a pair and its first two derivatives with the reduced distance x, each shape (n_pairs,)."""

    u: Tensor
    du: Tensor
    d2u: Tensor


class RadialPotential(nn.Module):
    """Phi(x) = u (1 - x)^3 (1 + 3x) sum_k g_k T_k(2x - 1): any shape that ends smoothly at the cutoff.

    The envelope has two continuous derivatives there. T_k are Chebyshev polynomials.

    Parameters
    ----------
    coefficients : sequence of float
        g_k.
    unit : float, energy
        u; with the thermal energy for it, coefficients that are fitted are of order one.
    """

    unit: Tensor

    def __init__(self, coefficients: list[float], unit: float = 1.0) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(float64(coefficients))
        self.register_buffer("unit", float64(unit))

    def forward(self, x: Tensor) -> PotentialValues:
        p, dp, d2p = _series(2 * x - 1, self.unit * self.coefficients)
        f, df, d2f = envelope_derivatives(x)
        return PotentialValues(u=f * p, du=df * p + 2 * f * dp, d2u=d2f * p + 4 * df * dp + 4 * f * d2p)


def _series(y: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """sum_k g_k T_k(y) and its first two derivatives with y, by the recurrence of T_k."""
    zero, one = torch.zeros_like(y), torch.ones_like(y)
    before, here = (y, one, zero), (one, zero, zero)  # T_(-1) = T_1 = y
    total = [zero, zero, zero]
    for g in coefficients:
        total = [t + g * value for t, value in zip(total, here, strict=True)]
        after = (
            2 * y * here[0] - before[0],
            2 * here[0] + 2 * y * here[1] - before[1],
            4 * here[1] + 2 * y * here[2] - before[2],
        )
        before, here = here, after
    return total[0], total[1], total[2]
