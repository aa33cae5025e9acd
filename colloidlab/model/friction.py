"""Pair amplitudes of shear noise A, bulk noise B and heat conduction C."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from colloidlab.model.envelope import envelope
from colloidlab.model.tensors import float64


@dataclass(frozen=True)
class PairAmplitudes:
    """Squared amplitudes and their derivatives with the temperatures of the two ends, shape (n_pairs,).

    `A2_i` is dA^2/dT_i and so on.
    """

    A2: Tensor
    B2: Tensor
    C2: Tensor
    A2_i: Tensor
    A2_j: Tensor
    B2_i: Tensor
    B2_j: Tensor
    C2_i: Tensor
    C2_j: Tensor


class PowerLawAmplitudes(nn.Module):
    """A^2(x, T_i, T_j) = (1 - x)^3 (1 + 3x) exp(sum_k g_k P_k(x)) (T_i T_j)^(p/2), B and C alike.

    Factorised over the two ends and symmetric, as the noise requires. The envelope has two
    continuous derivatives at the cutoff. P_k are Chebyshev polynomials of 2x - 1;
    temperatures are taken relative to `reference_temperature`.

    Parameters
    ----------
    A, B, C : sequence of float
        Coefficients g_k of ln A^2, ln B^2, ln C^2.
    powers : (float, float, float)
        Exponents p of temperature in A^2, B^2, C^2. Zero for an isothermal law.
    """

    reference_temperature: Tensor

    def __init__(
        self,
        A: list[float],
        B: list[float],
        C: list[float],
        powers: tuple[float, float, float] = (0.0, 0.0, 0.0),
        reference_temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.A = nn.Parameter(float64(A))
        self.B = nn.Parameter(float64(B))
        self.C = nn.Parameter(float64(C))
        self.powers = nn.Parameter(float64(powers))
        self.register_buffer("reference_temperature", float64(reference_temperature))

    def forward(self, x: Tensor, T_i: Tensor, T_j: Tensor) -> PairAmplitudes:
        ends = envelope(x)
        basis = chebyshev(x, max(len(self.A), len(self.B), len(self.C)))
        log_t = 0.5 * (torch.log(T_i) + torch.log(T_j)) - torch.log(self.reference_temperature)

        def squared(g: Tensor, power: Tensor) -> Tensor:
            return ends * torch.exp(basis[:, : len(g)] @ g + power * log_t)

        pa, pb, pc = 0.5 * self.powers
        A2, B2, C2 = squared(self.A, 2 * pa), squared(self.B, 2 * pb), squared(self.C, 2 * pc)
        return PairAmplitudes(
            A2=A2,
            B2=B2,
            C2=C2,
            A2_i=pa * A2 / T_i,
            A2_j=pa * A2 / T_j,
            B2_i=pb * B2 / T_i,
            B2_j=pb * B2 / T_j,
            C2_i=pc * C2 / T_i,
            C2_j=pc * C2 / T_j,
        )


def chebyshev(x: Tensor, n: int) -> Tensor:
    """Chebyshev polynomials T_0 … T_(n-1) of 2x - 1, shape (len(x), n)."""
    y = 2 * x - 1
    columns = [torch.ones_like(y), y]
    for _ in range(n - 2):
        columns.append(2 * y * columns[-1] - columns[-2])
    return torch.stack(columns[:n], dim=-1)
